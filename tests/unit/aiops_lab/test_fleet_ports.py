"""Ports of this machine: taken by whom, free ones."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

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


def test_where_proc_cannot_be_read_the_holder_is_just_another_process(tmp_path: Path) -> None:
    assert holder(4222, proc=tmp_path) == "another process"


def test_the_holder_is_found_in_proc(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n"
        "   0: 0100007F:107E 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 777 1\n"
        "   1: 0100007F:107E 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 888 1\n"
    )
    (tmp_path / "17" / "fd").mkdir(parents=True)
    (tmp_path / "17" / "fd" / "5").symlink_to("socket:[777]")
    (tmp_path / "17" / "cmdline").write_bytes(b"nats-server\0-c\0" + b"x" * 300 + b"\0")
    named = holder(0x107E, proc=tmp_path)
    assert named.startswith("pid 17 (nats-server -c xxx")
    assert named.endswith("…)") and len(named) < 150


def test_free_ports_are_free_different_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert all(is_free(port) and port in FREE_RANGE for port in ports)
