"""A service that is started wrongly says so in one line; one whose dependency is away waits and
says so."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from tests.conftest import ROOT, free_port
from tests.fleet import wait_until

pytestmark = pytest.mark.e2e

POLICY_OF = {
    "anomaly_detection": "detect.yaml",
    "enrichment_service": "enrich.yaml",
    "correlation_service": "correlate.yaml",
    "llm_enricher": "llm.yaml",
    "incident_api": "slo.yaml",
}


@pytest.fixture
def policies(tmp_path):
    return shutil.copytree(ROOT / "policies", tmp_path / "policies")


def environment(**settings):
    """Nothing is where these settings say, unless a test says otherwise."""
    defaults = {
        "AIOPS_NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "AIOPS_CLICKHOUSE_URL": f"clickhouse://default@127.0.0.1:{free_port()}/",
        "AIOPS_POLICIES": str(ROOT / "policies"),
        "AIOPS_MIGRATIONS": str(ROOT / "clickhouse"),
        "AIOPS_PROBE_PORT": str(free_port()),
    }
    return os.environ | defaults | settings


def refused(module, **settings):
    """What a service that cannot start says; it must be one line, and leave with 2."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.strip().splitlines()
    return line


@contextmanager
def started(module, **settings):
    env = environment(**settings)
    process = subprocess.Popen([sys.executable, "-m", module], env=env, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{env['AIOPS_PROBE_PORT']}"
    try:
        wait_until(lambda: answers(url))
        yield process, url
    finally:
        process.kill()
        process.wait()


def answers(url):
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize(("module", "file"), POLICY_OF.items())
def test_an_unknown_policy_key_is_named_with_its_file_and_line(module, file, policies):
    text = (policies / file).read_text()
    (policies / file).write_text(f"{text}\nsurprise: 1\n")
    line = refused(module, AIOPS_POLICIES=str(policies))
    assert f"{file}:{len(text.splitlines()) + 2}: surprise" in line


@pytest.mark.parametrize(("module", "file"), POLICY_OF.items())
def test_a_missing_policy_file_is_named(module, file, policies):
    (policies / file).unlink()
    assert f"{file}: policy file is missing" in refused(module, AIOPS_POLICIES=str(policies))


@pytest.mark.parametrize("module", POLICY_OF)
def test_a_taken_port_is_named(module):
    with started("correlation_service") as (_, url):
        port = url.rpartition(":")[2]
        assert port in refused(module, AIOPS_PROBE_PORT=port)


def test_a_wrong_setting_is_named():
    line = refused("enrichment_service", AIOPS_PROBE_PORT="many")
    assert "AIOPS_PROBE_PORT" in line


@pytest.mark.parametrize("module", POLICY_OF)
def test_without_a_broker_a_service_waits_says_so_and_still_stops_when_told(module):
    with started(module) as (process, url):
        ready = httpx.get(f"{url}/ready")
        assert ready.status_code == 503
        assert ready.json()["dependencies"]["nats"].startswith("down")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_without_clickhouse_the_fast_path_serves_and_the_api_waits(own_nats):
    with started("enrichment_service", AIOPS_NATS_URL=own_nats.url) as (_, url):
        wait_until(lambda: httpx.get(f"{url}/ready").json()["ready"])
        assert httpx.get(f"{url}/ready").json()["dependencies"]["clickhouse"].startswith("down")
    with started("incident_api", AIOPS_NATS_URL=own_nats.url) as (process, url):
        wait_until(
            lambda: "not answer" in httpx.get(f"{url}/ready").json()["dependencies"]["clickhouse"]
        )
        assert httpx.get(f"{url}/ready").status_code == 503
        answer = httpx.get(f"{url}/api/v3/incidents")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.fixture
def silent():
    """Accepts every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"nats://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("module", ["anomaly_detection", "incident_api"])
def test_a_service_stops_while_a_broker_accepts_and_does_not_answer(module, silent):
    with started(module, AIOPS_NATS_URL=silent) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
@pytest.mark.parametrize("module", ["anomaly_detection", "correlation_service", "incident_api"])
def test_a_service_stops_in_time_after_its_broker_has_hung_or_gone(module, how, own_nats):
    """incident-api waits for its store; the others serve."""
    state = "recovering" if module == "incident_api" else "serving"
    with started(module, AIOPS_NATS_URL=own_nats.url) as (process, url):
        wait_until(lambda: httpx.get(f"{url}/ready").json()["state"] == state)
        own_nats.signal(how)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
