"""``aiops devices suggest``, ``accept`` and ``reject`` against the real API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ship_api import Aboard, served
from tests.unit.aiops_cli.test_devices import leave, of_json, run
from tests.unit.aiops_cli.test_topology import DNSMASQ, NAMED, lldpctl, neighbour


@pytest.fixture(autouse=True)
def aboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aboard]:
    ship = Aboard()
    with served(ship) as url:
        monkeypatch.setenv("AIOPS_API_URL", url)
        yield ship


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "lldp.json").write_text(lldpctl({"eth0": neighbour("sw-acc-09", "Bridge")}))
    (tmp_path / "walk.txt").write_text(NAMED)
    (tmp_path / "leases").write_text(DNSMASQ)
    return tmp_path


def suggest(files: Path, *options: str) -> str:
    walk, leases = files / "walk.txt", files / "leases"
    asked = (f"srv-1={files / 'lldp.json'}", str(walk), str(leases))
    return run("devices", "suggest", *asked, *options)


def test_files_suggest_edges_and_devices_which_are_listed_accepted_and_rejected(files):
    assert "nothing is suggested" in run("devices", "suggest")
    tried = suggest(files, "--dry-run")
    assert "3 dependencies: 3 new (dry run: nothing was kept)" in tried
    assert "nothing is suggested" in run("devices", "suggest")
    said = suggest(files)
    assert "2 entries without a name left out" in said
    assert "2 new devices: sw-acc-09, cabin-tv-91" in said
    assert "3 seen again" in suggest(files)

    listed = run("devices", "suggest")
    assert "deck-cam (new)" in listed and "10.20.7.91" in listed and "uplink deck 3" in listed
    assert len(of_json("devices", "suggest", "--least", "0.7")["items"]) < 3

    tried = run("devices", "accept", "srv-1", "--dry-run")
    assert "+ srv-1 needs sw-acc-09" in tried and "nothing was changed" in tried
    done = run("devices", "accept", "srv-1", "sw-acc-09")
    assert "new devices: srv-1, sw-acc-09" in done
    assert "2 new devices accepted; 2 devices" in done
    assert "- deck-cam needs sw-acc-09" in run("devices", "reject", "deck-cam")
    assert "1 new device accepted" in run("devices", "accept", "cabin-tv-91", "--alone")
    again = suggest(files)
    assert "1 rejected earlier" in again and "1 in the inventory already" in again
    assert of_json("devices", "suggest", "--status", "accepted")["items"][0]["device"] == "srv-1"
    assert "+ sw-acc-09 needs lucy" in run("devices", "accept", "--least", "0.5")
    assert {one["id"] for one in of_json("devices")} == {
        *("srv-1", "sw-acc-09", "lucy", "cabin-tv-91"),
    }


def test_what_tells_nothing_is_one_line_with_the_file_and_the_way_out(
    files, tmp_path, monkeypatch, capsys
):
    (tmp_path / "links.json").write_text(
        json.dumps({"links": [{"local_device_id": 1, "remote_hostname": "fw-1"}]})
    )
    cases = {
        (str(files / "lldp.json"),): "give it as NAME=FILE",
        (str(files / "none"),): "cannot be read: No such file or directory",
        (str(tmp_path / "links.json"),): "LibreNMS device 1 has no name in these files",
        (str(files),): "cannot be read: Is a directory",
    }
    for names, reason in cases.items():
        code, lines = leave(monkeypatch, capsys, "devices", "suggest", *names)
        assert (code, len(lines)) == (2, 1)
        assert reason in lines[0]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("accept",), 2, "name a device, or give --least CONFIDENCE"),
        (("reject", "a", "--least", "0.5"), 2, "name a device, or give"),
        (("accept", "a", "b", "--alone"), 2, "--alone is of one device"),
        (("accept", "a"), 1, "nothing suggests what a needs"),
        (("suggest", "--status", "odd"), 1, "query.status"),
    ],
)
def test_a_decision_about_nothing_is_refused(words, code, reason, monkeypatch, capsys):
    left, lines = leave(monkeypatch, capsys, "devices", *words)
    assert (left, len(lines)) == (code, 1)
    assert reason in lines[0]
