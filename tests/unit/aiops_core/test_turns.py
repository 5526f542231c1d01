"""Processes that take turns: the kernel knows of it, and so do their threads and children."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from aiops_core.runtime.turns import GIVING_WAY, take_turns
from aiops_lab.fleet.plan import Spec
from aiops_lab.fleet.process import spawn

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")

POLICY = "import os; print(os.sched_getscheduler(0))"
LATER = (
    "import subprocess, sys, threading\n"
    "from aiops_core.runtime.turns import take_turns\n"
    "take_turns()\n"
    f"thread = threading.Thread(target=lambda: exec({POLICY!r}))\n"
    "thread.start(); thread.join(); sys.stdout.flush()\n"
    f"subprocess.run([sys.executable, '-c', {POLICY!r}], check=True)\n"
)


def test_later_threads_and_children_take_turns_as_well() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LATER], capture_output=True, text=True, check=True
    ).stdout
    assert said.split() == [str(os.SCHED_BATCH)] * 2


async def test_a_member_of_the_fleet_takes_turns_and_its_parent_does_not(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spec = Spec("member", [sys.executable, "-c", POLICY], os.environ, log, 0)
    with log.open("wb") as file:
        process = await spawn(spec, file)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert log.read_text().strip() == str(os.SCHED_BATCH)
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


NICE = (
    "import os, pathlib; print(os.nice(0))\n"
    "try: print(pathlib.Path('/proc/self/autogroup').read_text().split()[-1])\n"
    "except OSError: print('no groups')\n"
)


@pytest.mark.parametrize("patient", [False, True])
async def test_a_patient_member_lets_others_go_first_and_its_parent_does_not(
    tmp_path: Path, patient: bool
) -> None:
    log, before = tmp_path / "log", os.nice(0)
    spec = Spec("member", [sys.executable, "-c", NICE], os.environ, log, 0, patient=patient)
    with log.open("wb") as file:
        process = await spawn(spec, file)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    nice, group = log.read_text().split("\n")[:2]
    assert int(nice) == (max(before, GIVING_WAY) if patient else before)
    assert group in ("no groups", str(GIVING_WAY if patient else 0))
    assert os.nice(0) == before


def test_where_it_is_forbidden_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    take_turns()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
