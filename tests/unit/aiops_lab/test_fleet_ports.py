"""Ports of this machine: taken by whom, free ones."""

import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from aiops_core.errors import Misconfigured
from aiops_lab.fleet.ports import FREE_RANGE, free_ports, holder, is_free, refuse_taken


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_purpose_and_its_holder(taken: int) -> None:
    [free] = free_ports(1)
    with pytest.raises(Misconfigured) as caught:
        refuse_taken({"nats": free, "incident-api": taken})
    message = str(caught.value)
    assert message.startswith(f"port {taken} (incident-api) is taken by pid {os.getpid()} (")
    assert "python" in message or "pytest" in message
    assert str(free) not in message and "\n" not in message


def test_all_taken_ports_are_in_one_line(taken: int) -> None:
    with pytest.raises(Misconfigured, match=r"\(nats\).*; port \d+ \(clickhouse\)"):
        refuse_taken({"nats": taken, "clickhouse": taken})


def test_a_process_that_this_user_may_not_see_is_just_another_process(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: int) -> psutil.Process:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "Process", forbidden)
    assert holder(taken) == "another process"


def test_a_long_command_is_cut(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil.Process, "cmdline", lambda _: ["nats-server", *["-c x"] * 100])
    named = holder(taken)
    assert named.startswith(f"pid {os.getpid()} (nats-server -c x")
    assert named.endswith("…)") and len(named) < 150


def test_free_ports_are_free_different_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(is_free(port) and port in FREE_RANGE for port in ports)
