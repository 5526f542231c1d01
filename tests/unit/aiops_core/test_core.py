"""Policies, settings, utilities, the probe: what a process is started with and says of itself."""

import asyncio
import json
from typing import ClassVar

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from structlog.contextvars import bound_contextvars

from aiops_core.errors import Misconfigured, Reject
from aiops_core.fingerprints import _VARIABLE, normalise
from aiops_core.observability.probe import Readiness, answer, probe
from aiops_core.policy.file import Policy, Section, models
from aiops_core.policy.settings import Settings
from aiops_core.utils import (
    StructuredLogger,
    compute_correlation_keys,
    compute_fingerprint,
    compute_suppress_key,
    extract_error_message,
    generate_tracking_id,
)
from tests.conftest import ROOT
from tests.unit.aiops_core.test_models import anomaly


class Inner(Section):
    size: int


class Example(Policy):
    file: ClassVar[str] = "example.yaml"
    name: str
    inner: Inner
    many: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name: a\ninner: {size: 1}\nnaem: b\n", "example.yaml:3: naem: Extra inputs"),
        ("name: a\ninner:\n  size: big\n", "example.yaml:3: inner.size: Input should be a valid"),
        ("name: a\n", "example.yaml:1: inner: Field required"),
        (
            "name: a\ninner: {size: 1}\nmany:\n  - size: 1\n  - sise: 2\n    size: 1\n",
            "example.yaml:5: many.1.sise: Extra",
        ),
        ("name: [\n", "example.yaml:2: "),
        ("", "example.yaml:1: name: Field required"),
        ("- a\n", "example.yaml:1: "),
    ],
)
def test_a_mistake_in_a_policy_is_named_with_file_line_and_key(tmp_path, text, complaint):
    (tmp_path / "example.yaml").write_text(text)
    with pytest.raises(Misconfigured) as mistake:
        Example.load(tmp_path)
    assert complaint in str(mistake.value) and "\n" not in str(mistake.value)


def test_a_missing_or_unreadable_policy_is_one_line(tmp_path):
    with pytest.raises(Misconfigured, match=r"example\.yaml: policy file is missing"):
        Example.load(tmp_path)
    (tmp_path / "example.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="cannot be read"):
        Example.load(tmp_path)


def test_every_policy_file_is_read_by_one_model_and_valid():
    announced = models()
    files = {p.name for p in (ROOT / "policies").glob("*.yaml")}  # packs are read by their own
    assert {m.file for m in announced} == files
    assert len({m.file for m in announced}) == len(announced)
    for model in announced:
        model.load(ROOT / "policies")


def test_a_wrong_setting_names_its_variable(monkeypatch):
    monkeypatch.setenv("AIOPS_PROBE_PORT", "many")
    with pytest.raises(Misconfigured, match="AIOPS_PROBE_PORT"):
        Settings.read()


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("AIOPS_SHIP_ID", "aurora")
    assert Settings.read().ship_id == "aurora"


@pytest.mark.parametrize(
    ("msg", "error"),
    [
        ("write failed: No space left on device", "No space left on device"),
        ("ERROR - pool is exhausted", "pool is exhausted"),
        ("Accepted password for root", None),
        ("error:", None),
    ],
)
def test_the_error_of_a_line(msg, error):
    assert extract_error_message(msg) == error


def test_what_varies_is_masked():
    a = "user 42 from 10.0.0.1:22 at /var/log/x.log 0xdeadbeef 5.3ms aa:bb:cc:dd:ee:ff"
    b = "user 7 from 10.9.8.7:4022 at /tmp/y/z 0x1 17.1ms 00:11:22:33:44:55"
    assert normalise(a) == normalise(b)
    assert normalise("disk full") != normalise("disk fast")


PIECES = (
    *(
        "12ab34cd-0000-4fff-8fff-0123456789AB",
        "00:1A:2b:3c:4d:5e",
        "10.0.0.1:22/24",
        "0xBEEF",
        "0X1f",
    ),
    *("/var/log", "/tmp", "-7.5", "٣", "12ms", "<n>", *"-:./0xX aﬀ_\n"),
)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3)).map("".join))
@example("0Xdead at /a/b, 1.2.3.4 saw 00:11:22:33:44:55 of 01234567-89ab-cdef-0123-456789abcdef")
def test_a_message_is_masked_as_if_all_were_searched_for(msg):
    searched = msg
    for _, _, pattern, mark in _VARIABLE:
        searched = pattern.sub(mark, searched)
    assert normalise(msg) == " ".join(searched.split())


def test_a_fingerprint_is_never_the_type_alone():
    base = compute_fingerprint(anomaly(msg="port 3 down"))
    assert base == compute_fingerprint(anomaly(msg="port 7 down", tracking_id="t2"))
    others = [{"host": "sw-2"}, {"service": "x"}, {"anomaly_type": "y"}, {"ship_id": "s2"}]
    others += [{"msg": "fan broken"}, {"template_id": "T1"}]
    assert base not in {compute_fingerprint(anomaly(**o)) for o in others}


def test_a_suppress_key_ignores_the_message():
    assert compute_suppress_key(anomaly(msg="a")) == compute_suppress_key(anomaly(msg="b"))
    assert compute_suppress_key(anomaly()) != compute_suppress_key(anomaly(host="sw-2"))


def test_empty_values_make_no_correlation_key():
    kinds = [k.split("|")[1] for k in compute_correlation_keys(anomaly(service="unknown"))]
    assert kinds == ["device", "type"]
    attack = anomaly(domain="security", meta={"peer": "1.2.3.4"})
    assert [k.split("|")[1] for k in compute_correlation_keys(attack)] == [
        "peer", "service", "attacked", "type",
    ]  # fmt: skip


def test_tracking_ids_differ():
    assert len({generate_tracking_id() for _ in range(1000)}) == 1000


def test_logs_are_json_lines_with_the_service(capsys):
    StructuredLogger.configure("info")
    log = StructuredLogger.get_logger(name="n", service="s", version="1")
    log.info("hello", port=1)
    log.debug("hidden")
    [logged] = capsys.readouterr().err.splitlines()
    record = json.loads(logged)
    assert {"event": "hello", "service": "s", "version": "1", "port": 1}.items() <= record.items()


def test_the_core_speaks_with_the_name_of_the_service_that_it_runs_in(capsys):
    StructuredLogger.configure("info")
    log = StructuredLogger.get_logger(name="nats", service="aiops_core", version="1")
    with bound_contextvars(service="incident-api"):
        log.info("waiting")
    assert json.loads(capsys.readouterr().err)["service"] == "incident-api"


def test_the_docstring_is_the_default_message():
    assert "bury it" in str(Reject())


def test_ready_only_while_serving_and_all_required_are_up():
    state = Readiness("s")
    state.needs("nats", required=True)
    state.needs("clickhouse", required=False)
    assert not state.ready and state.report()["dependencies"]["nats"].startswith("down")
    state.up("nats")
    assert not state.ready
    state.state = "serving"
    assert state.ready and answer("/ready", state)[0] == 200
    assert state.report()["dependencies"]["clickhouse"] == "down: not reached yet"
    state.down("nats", "connection lost")
    assert answer("/ready", state)[0] == 503


async def test_the_probe_answers_over_http():
    state = Readiness("s")
    async with probe(state, "127.0.0.1", 0) as port, httpx.AsyncClient() as http:
        base = f"http://127.0.0.1:{port}"
        assert (await http.get(f"{base}/health?x=1")).json() == {"service": "s", "status": "ok"}
        assert (await http.get(f"{base}/ready")).status_code == 503
        text = (await http.get(f"{base}/metrics")).text
        assert "aiops_dead_letters" in {f.name for f in text_string_to_metric_families(text)}
        assert (await http.get(f"{base}/else")).status_code == 404


async def test_a_service_may_answer_paths_of_its_own_beside_the_probe():
    async def told(asked):
        return 201, {"asked": asked}

    routes = {"POST /things": told}
    async with probe(Readiness("s"), "127.0.0.1", 0, routes) as port, httpx.AsyncClient() as http:
        base = f"http://127.0.0.1:{port}"
        answer = await http.post(f"{base}/things", params={"name": "a b", "n": 1})
        assert (answer.status_code, answer.json()) == (201, {"asked": {"name": "a b", "n": "1"}})
        assert (await http.get(f"{base}/things")).status_code == 404
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /" + b"x" * 100_000 + b"\r\n\r\n")
        assert b"404" in await reader.readline()
        writer.close()
        assert (await http.get(f"{base}//[")).status_code == 404
        assert (await http.get(f"{base}/health")).status_code == 200


async def test_a_taken_probe_port_is_one_line():
    async with probe(Readiness("s"), "127.0.0.1", 0) as port:
        with pytest.raises(Misconfigured, match=f"127.0.0.1:{port}"):
            async with probe(Readiness("t"), "127.0.0.1", port):
                pass


def test_a_traceback_in_the_log_tells_no_values_of_variables(capsys):
    StructuredLogger.configure("info")
    password = "hunter" + "2"

    def fails(secret):
        raise RuntimeError("it failed")

    try:
        fails(password)
    except RuntimeError as exc:
        StructuredLogger.get_logger(name="x", service="y", version="1").error("oh", exc_info=exc)
    said = capsys.readouterr().err
    assert "it failed" in said
    assert "fails" in said
    assert password not in said
