"""Real servers for tests, on free ports, stopped when the session ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

from aiops_core.adapters.nats import NatsBus
from aiops_core.models import LogEntry, MetricSample
from aiops_core.observability.probe import Readiness
from aiops_core.policy import file as policy_file
from aiops_core.policy.file import S, Section
from aiops_core.policy.retention import RetentionPolicy
from aiops_core.utils import StructuredLogger
from aiops_lab.fleet.plan import nats_server
from anomaly_detection import packs
from tests import clickhouse_server as embedded

# `make test` looks at the same examples wherever it runs; `make fuzz` looks for others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("others", deadline=None)
settings.load_profile("same")

_constants_of_loaded_modules = providers._get_local_constants


def _constants() -> providers.Constants:
    """Hypothesis tries constants of all modules that are loaded, and so other examples after other
    tests: what failed once in a worker could not be repeated."""
    same = settings.default is not None and settings.default.derandomize
    return providers.Constants() if same else _constants_of_loaded_modules()


providers._get_local_constants = _constants

_read_model = policy_file.read_model
_models: dict[tuple[type[Section], bytes], Any] = {}


def _read_once(path: Path, model: type[S]) -> S:
    """A policy file as a model, which is frozen: equal files, wherever they lie, are read once in a
    process. All packs take more than a second, and some sixty modules of tests load them."""
    try:
        key = model, path.read_bytes()
    except OSError:
        return _read_model(path, model)
    if key not in _models:
        _models[key] = _read_model(path, model)
    return _models[key]


policy_file.read_model = packs.read_model = _read_once

# As in production: structlog's own default writes every local variable of a traceback, which takes
# seconds.
StructuredLogger.configure()


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """A command under test may raise the level; the next test has that of production again."""
    yield
    StructuredLogger.configure()


ROOT = Path(__file__).parents[1]
FILLER = "filler"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def sample(value: float, *, n: int = 0, metric: str = "cpu_percent", **fields) -> MetricSample:
    ts = NOON + timedelta(seconds=n)
    base = {"tracking_id": f"m{n}", "ship_id": "s1", "ts": ts, "host": "srv-1", "metric": metric}
    return MetricSample.model_validate(base | {"value": value} | fields)


def line(msg: str, *, n: int = 0, **fields) -> LogEntry:
    ts = NOON + timedelta(seconds=n)
    base = {"tracking_id": f"l{n}", "ship_id": "s1", "ts": ts, "host": "srv-1", "service": "app"}
    return LogEntry.model_validate(base | {"msg": msg} | fields)


def free_port() -> int:
    with closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def wait_for_port(port: int, within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with closing(socket.socket()) as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


@asynccontextmanager
async def tcp_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], port: int = 0
) -> AsyncIterator[int]:
    """Its port. At the end every connection is closed: *serve* has returned or is cancelled."""
    open_connections: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        open_connections.add(task)
        try:
            with suppress(OSError):
                await serve(reader, writer)
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()
            open_connections.discard(task)

    async with await asyncio.start_server(handle, "127.0.0.1", port) as server:
        yield server.sockets[0].getsockname()[1]
    async with asyncio.timeout(5):
        await asyncio.sleep(0.01)  # what the kernel had accepted becomes a connection
        while open_connections:
            for task in open_connections:
                task.cancel()
            await asyncio.sleep(0.01)


class NatsServer:
    """A real nats-server that can be killed and started again on the same port and store."""

    def __init__(self, store: Path, config: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.store = store
        self._config = ["-c", str(config)] if config else []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> None:
        address = ["-a", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(
            [nats_server(), *self._config, *address, "-js", "-sd", self.store],
            stderr=subprocess.DEVNULL,
        )
        if wait:
            wait_for_port(self.port)

    def reload(self) -> None:
        """Read the configuration again."""
        self.signal(signal.SIGHUP)

    def signal(self, number: int) -> None:
        assert self._process
        self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._process
        self._process.wait()

    @contextmanager
    def running(self) -> Iterator[NatsServer]:
        self.start()
        try:
            yield self
        finally:
            self.kill()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Small files come last, so that no worker is left alone with a long one."""
    items.sort(key=lambda item: "tests/unit/" in item.path.as_posix())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Workers get whole files, and one of them all of tests/v3, whose files share a fleet."""
    from xdist.scheduler import LoadFileScheduling

    class ByFleet(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "tests/v3" if nodeid.startswith("tests/v3/") else super()._split_scope(nodeid)

    return ByFleet(config, log)


@pytest.fixture(scope="session")
def nats_server_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(tmp_path_factory.mktemp("jetstream")).running() as server:
        yield server


@pytest.fixture
def nats_url(nats_server_shared: NatsServer) -> str:
    return nats_server_shared.url


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A broker of one test's own, which it may kill."""
    with NatsServer(tmp_path / "jetstream").running() as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded ClickHouse of the session. Tests share its tables: empty them first."""
    with embedded.running(tmp_path_factory.mktemp("clickhouse")) as port:
        yield f"clickhouse://default@127.0.0.1:{port}/"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options: str) -> None:
        done = subprocess.run(
            ["mount", *options, "-t", "tmpfs", "tmpfs", folder], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")

    mount("-o", "size=8m")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> None:
    """Take all room that is left where *folder* is, until its ``FILLER`` is removed."""
    with suppress(OSError), (folder / FILLER).open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


@pytest.fixture
def policies() -> Path:
    return ROOT / "policies"


@asynccontextmanager
async def nats_bus(url: str, readiness: Readiness | None = None) -> AsyncIterator[NatsBus]:
    limits = RetentionPolicy.load(ROOT / "policies").streams
    bus = NatsBus(url, limits, readiness or Readiness("test"), "test")
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()
