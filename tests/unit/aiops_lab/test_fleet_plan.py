"""What was asked for -> command lines, environment and configuration of every process."""

from pathlib import Path

from aiops_core.policy.settings import PORTS, Settings
from aiops_lab.fleet.plan import (
    INFRASTRUCTURE,
    SERVICES,
    Plan,
    Ports,
    Spec,
    nats_config,
    service_environment,
    specs,
)

PLAN = Plan(Path("/d"), Path("/p"), Path("/m"), "ship-7")


def by_name(plan: Plan, environment: dict[str, str]) -> dict[str, Spec]:
    return {spec.name: spec for spec in specs(plan, environment)}


def test_every_variable_that_a_service_gets_is_a_setting_that_exists() -> None:
    fields = {f"AIOPS_{name.upper()}" for name in Settings.model_fields}
    assert set(service_environment(PLAN, 1)) <= fields


def test_a_service_learns_where_everything_is() -> None:
    env = by_name(PLAN, {"PATH": "/bin", "AIOPS_PROBE_PORT": "1"})["incident-api"].env
    assert env["PATH"] == "/bin"
    assert env["AIOPS_PROBE_PORT"] == "8081"
    assert env["AIOPS_NATS_URL"] == "nats://127.0.0.1:4222"
    assert env["AIOPS_CLICKHOUSE_URL"] == "clickhouse://default@127.0.0.1:9000/"
    assert (env["AIOPS_POLICIES"], env["AIOPS_MIGRATIONS"]) == ("/p", "/m")
    assert (env["AIOPS_SHIP_ID"], env["AIOPS_PROBE_HOST"]) == ("ship-7", "127.0.0.1")


def test_the_members_are_the_broker_the_store_and_the_five_services() -> None:
    members = by_name(PLAN, {})
    assert list(members) == [*INFRASTRUCTURE, *PORTS]
    assert list(members["llm-enricher"].argv)[1:] == ["-m", "llm_enricher"]
    assert len({spec.log for spec in members.values()}) == len(members)


def test_readiness_is_asked_of_each_in_its_own_way() -> None:
    members = by_name(PLAN, {})
    assert members["nats"].path == "/healthz?js-enabled-only=true"
    assert members["nats"].port == 8222
    ready = members["clickhouse"].ready_file
    assert members["clickhouse"].path is None
    assert str(ready) in members["clickhouse"].argv
    assert all(members[name].path == "/ready" for name in SERVICES)


def test_the_broker_fsyncs_before_it_acknowledges_and_listens_on_loopback_only() -> None:
    config = nats_config(Plan(Path('/with "quotes"'), Path("/p"), Path("/m")))
    jetstream = config[config.index("jetstream {") :]
    assert "sync_interval: always" in jetstream
    assert 'store_dir: "/with \\"quotes\\"/nats"' in jetstream
    assert "max_payload: 8388608" in config
    assert 'listen: "127.0.0.1:4222"' in config and 'http: "127.0.0.1:8222"' in config


def test_two_fleets_on_free_ports_do_not_meet() -> None:
    purposes = Ports.free().by_purpose()
    assert len(set(purposes.values())) == len(purposes) == 8
