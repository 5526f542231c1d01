"""``aiops up`` as people use it: started, hurt, stopped, started twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aiops_lab.fleet.fleet import Fleet
from aiops_lab.fleet.plan import INFRASTRUCTURE, SERVICES, Plan, Ports
from tests.conftest import ROOT
from tests.fleet import RunningFleet, running_fleet, wait_until

pytestmark = pytest.mark.e2e

STOP_WITHIN = 10.0  # seconds, a promise of `aiops up`
UP = (sys.executable, "-m", "aiops_cli", "up")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFleet]:
    with running_fleet(tmp_path_factory.mktemp("up")) as running:
        yield running


def said(fleet: RunningFleet) -> str:
    return (fleet.data / "up.log").read_text()


def test_all_members_are_ready_and_their_addresses_are_told(fleet: RunningFleet) -> None:
    about = fleet.about
    assert set(about["pids"]) == set(about["addresses"]) == {*INFRASTRUCTURE, *SERVICES}
    for service in SERVICES:
        answer = httpx.get(f"{about['addresses'][service]}/ready")
        assert (answer.status_code, answer.json()["service"]) == (200, service)
        assert service in said(fleet)


@pytest.mark.parametrize("name", ["enrichment-service", "nats", "clickhouse"])
def test_a_killed_member_comes_back_and_both_are_said(fleet: RunningFleet, name: str) -> None:
    old = fleet.kill(name)
    fleet.wait_back(name, old)
    assert f"{name} died (killed by SIGKILL), restarting in 0." in said(fleet)
    wait_until(lambda: f"{name} is ready again after " in said(fleet))


def test_a_second_fleet_on_the_same_data_is_refused_in_one_line(fleet: RunningFleet) -> None:
    second = subprocess.run(
        [*UP, "--ports", "auto", "--data", str(fleet.data / "fleet")],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=ROOT,
        check=False,
    )
    assert second.returncode == 2
    [line] = second.stderr.splitlines()
    assert line.startswith(f"aiops: {fleet.data / 'fleet'} is in use by another `aiops up` (pid ")


def test_ctrl_c_ends_all_of_it_in_time(tmp_path: Path) -> None:
    with running_fleet(tmp_path) as fleet:
        pids = list(fleet.about["pids"].values())
        began = time.monotonic()
        assert fleet.stop() == 0
        assert time.monotonic() - began < STOP_WITHIN
        assert not any(map(alive, pids))
        assert not fleet.ready_file.exists()
        assert " died " not in said(fleet) and "did not stop" not in said(fleet)


def test_nothing_outlives_a_killed_fleet_and_the_next_one_starts(tmp_path: Path) -> None:
    with running_fleet(tmp_path) as fleet:
        pids = list(fleet.about["pids"].values())
        fleet.process.send_signal(signal.SIGKILL)
        fleet.process.wait()
        wait_until(lambda: not any(map(alive, pids)), within=5)
        fleet.ready_file.unlink()  # nobody was left to do it
    with running_fleet(tmp_path) as again:
        assert again.about["pids"]


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", 0))
        squatter.listen(1)
        port = squatter.getsockname()[1]
        plan = plan_with(tmp_path, port)
        done = subprocess.run(
            [sys.executable, "-c", TAKEN, json.dumps([str(tmp_path / "data"), port])],
            capture_output=True,
            text=True,
            timeout=30,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"aiops: port {port} (incident-api) is taken by pid {os.getpid()} (")
    assert not (plan.data / "logs").exists()


def test_a_wrong_policy_ends_the_start_with_the_line_of_the_service(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    for file in (ROOT / "policies").glob("*.yaml"):
        (policies / file.name).write_text(file.read_text())
    with (policies / "detect.yaml").open("a") as detect:
        detect.write("\ncolour_of_the_sea: blue\n")
    done = subprocess.run(
        [*UP, "--ports", "auto", "--data", str(tmp_path / "d"), "--policies", str(policies)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("aiops: anomaly-detection: ")
    assert "detect.yaml:" in line and "colour_of_the_sea" in line


async def test_a_fleet_can_be_embedded_killed_and_waited_for(tmp_path: Path) -> None:
    lines: list[str] = []
    plan = Plan(tmp_path, ROOT / "policies", ROOT / "clickhouse", ports=Ports.free())
    async with Fleet(plan, say=lines.append) as fleet:
        await fleet.ready(within=60)
        old = fleet.kill("correlation-service")
        await fleet.ready("correlation-service", within=60)
        assert fleet.pids["correlation-service"] != old
        pids = list(fleet.pids.values())
    assert not any(map(alive, pids))
    assert [line.split(" ")[0] for line in lines] == ["correlation-service"] * 2


TAKEN = """
import json, sys
from pathlib import Path
from aiops_cli import main
from aiops_lab.commands import up
from tests.e2e.test_fleet import plan_with

data, port = json.loads(sys.argv[1])
up.plan_of = lambda *_: plan_with(Path(data).parent, port)
sys.argv = ["aiops", "up"]
main()
"""


def plan_with(folder: Path, api_port: int) -> Plan:
    """A fleet whose incident-api wants *api_port*."""
    free = Ports.free()
    ports = Ports(
        free.nats,
        free.nats_monitor,
        free.clickhouse,
        {**free.services, "incident-api": api_port},
    )
    return Plan(folder / "data", ROOT / "policies", ROOT / "clickhouse", ports=ports)


def alive(pid: int) -> bool:
    """A zombie, which nobody has buried yet, has no command line."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except FileNotFoundError:
        return False
