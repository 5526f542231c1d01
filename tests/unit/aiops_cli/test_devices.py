"""``aiops devices`` and ``aiops ship`` against the real API: what is shown, and what is refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aiops_cli import app, main
from aiops_cli.device_file import write_devices
from aiops_core.runtime.service import utc_now
from aiops_lab.simulator.inventory import SHIP
from incident_api.devices.models import UnknownHost
from tests.ship_api import Aboard, served


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with served(Aboard()) as url:
        monkeypatch.setenv("AIOPS_API_URL", url)
        yield url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ship.csv"
    with path.open("w", newline="") as out:
        write_devices(out, SHIP.devices)
    return path


def run(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


def leave(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, list[str]]:
    """The exit code of the whole command, and the lines of its standard error."""
    monkeypatch.setattr(sys, "argv", ["aiops", *words])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0), capsys.readouterr().err.splitlines()


def of_json(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def test_an_import_shows_its_difference_and_a_dry_run_changes_nothing(api, file):
    assert run("devices") == "no devices; `aiops devices import FILE` brings them\n"
    tried = run("devices", "import", str(file), "--dry-run")
    assert "+ wlc-01" in tried and "(dry run: nothing was changed)" in tried
    assert of_json("devices") == []
    assert "52 devices: 52 added, 0 changed" in run("devices", "import", str(file))
    rows = file.read_text().splitlines()
    rows = [row for row in rows if not row.startswith("signage-01")]
    text = "\n".join(rows).replace("sw-srv-01,Server room switch", "sw-srv-01,Server [room] rack")
    file.write_text(text + "\n")
    said = run("devices", "import", str(file))
    assert "~ sw-srv-01  name: Server room switch → Server [room] rack" in said
    assert "kept (--prune removes them): signage-01" in said
    pruned = run("devices", "import", str(file), "--prune")
    assert "- signage-01" in pruned
    assert "51 devices: 0 added, 0 changed, 1 removed, 51 unchanged" in pruned


def test_the_export_is_what_the_import_read(api, file, tmp_path):
    run("devices", "import", str(file))
    again = tmp_path / "again.csv"
    run("devices", "export", str(again))
    assert sorted(again.read_text().splitlines()) == sorted(file.read_text().splitlines())
    assert run("devices", "export") == again.read_text()


def test_a_list_is_filtered_and_a_device_is_shown_between_its_trees(api, file):
    run("devices", "import", str(file))
    listed = run("devices", "--owner", "engine", "-q", "lubricating")
    assert "me-lubeoil-01" in listed and "eng-gw-01" in listed and "gen-01" not in listed
    shown = run("devices", "show", SHIP["wlc-01"].labels["ip"])
    assert "wlc-01  Wi-Fi controller" in shown
    needs, _, needed = shown.partition("needed by ")
    assert [name in needs for name in ("sw-srv-01", "ups-rack-01", "ap-d05-01")] == [1, 1, 0]
    assert [name in needed for name in ("ap-d05-01", "app-pax-01", "ups-rack-01")] == [1, 1, 0]


def test_a_device_that_several_lead_to_is_unfolded_once(api, file):
    run("devices", "import", str(file))
    shown = run("devices", "show", "guest-wifi-01")
    lines = [line for line in shown.splitlines() if "sw-core-01  Core switch" in line]
    assert sorted(line.endswith(" (again)") for line in lines) == [False, True]
    assert sum("ups-rack-01" in line for line in shown.splitlines()) == 1


def test_hosts_that_the_inventory_lacks_are_listed(monkeypatch):
    aboard = Aboard()
    with served(aboard) as url:
        monkeypatch.setenv("AIOPS_API_URL", url)
        assert run("devices", "unknown") == "the inventory knows every host of the last 24 h\n"
        aboard.store.hosts = [
            UnknownHost(host="10.9.9.9", anomalies=7, last_seen=utc_now(), services=["dns", "ntp"])
        ]
        said = run("devices", "unknown", "--hours", "1")
    assert all(word in said for word in ("10.9.9.9", "7", " s ago", "dns, ntp"))


def test_what_the_api_refuses_has_the_line_of_the_file(api, tmp_path, monkeypatch, capsys):
    file = tmp_path / "ship.yaml"
    file.write_text(
        "- id: a\n  upstream: [b]\n- id: b\n  name: B\n  upstream: [a, gone]\n- id: A\n"
    )
    code, lines = leave(monkeypatch, capsys, "devices", "import", str(file))
    assert code == 2
    assert lines == [
        f"{file}:2: a cycle: 'a' needs 'b' needs 'a'",
        f"{file}:5: 'b' needs 'gone', which is unknown",
        f"{file}:6: device 'A' is there twice (as 'a')",
        f"aiops: {file}: 3 mistakes, nothing was imported",
    ]
    assert of_json("devices") == []


def test_what_is_wrong_in_itself_is_refused_before_anybody_is_asked(tmp_path, monkeypatch, capsys):
    file = tmp_path / "ship.csv"
    file.write_text("id,criticality\na,enormous\n")
    monkeypatch.setenv("AIOPS_API_URL", "http://127.0.0.1:1")
    code, lines = leave(monkeypatch, capsys, "devices", "import", str(file))
    assert (code, len(lines)) == (2, 2)
    assert lines[0].startswith(f"{file}:2: criticality: ")
    assert lines[1] == f"aiops: {file}: 1 mistake, nothing was imported"
    file.write_text("id\na\n")
    code, [line] = leave(monkeypatch, capsys, "devices", "import", str(file))
    assert (code, line.startswith("aiops: incident-api at http://127.0.0.1:1 is not ")) == (1, True)


def test_mistakes_are_json_for_programs(api, tmp_path):
    file = tmp_path / "ship.csv"
    file.write_text("id,upstream\na,gone\n")
    done = CliRunner().invoke(app, ["devices", "import", str(file), "--json"])
    assert done.exit_code != 0
    assert json.loads(done.stdout)["mistakes"] == [
        {"file": str(file), "line": 2, "text": "'a' needs 'gone', which is unknown"}
    ]


def test_an_unknown_device_is_one_line(api, monkeypatch, capsys):
    code, lines = leave(monkeypatch, capsys, "devices", "show", "Deck 5/6 switch")
    assert (code, lines) == (1, ["aiops: Not Found: there is no device Deck 5/6 switch"])


def test_who_declares_is_the_user_of_the_shell(api, monkeypatch):
    monkeypatch.setenv("LOGNAME", "eto")
    assert of_json("ship", "mode", "anchor")["by"] == "eto"
    monkeypatch.setenv("LOGNAME", "Jürgen")  # no header can say that
    assert of_json("ship", "mode", "port")["by"] == "anonymous"


def test_the_mode_is_shown_and_set(api):
    assert "nobody has declared one" in run("ship", "mode")
    said = run("ship", "mode", "port", "--reason", "Bergen")
    assert "mode: port for 0 s" in said and "Bergen" in said
    run("ship", "mode", "at_sea", "--since", "2026-01-01T00:00")
    assert of_json("ship", "mode")["mode"] == "at_sea"


def test_maintenance_is_added_listed_and_ended(api, file):
    run("devices", "import", str(file))
    added = run(
        "ship", "maintenance", "add", "--device", "AP-d05-*", "--service", "hostapd",
        "--for", "90min", "--reason", "new [firmware]",
    )  # fmt: skip
    assert all(w in added for w in ("running", "ap-d05-01, ap-d05-02", "new [firmware]"))
    [view] = of_json("ship", "maintenance", "list")
    assert run("ship").count(view["window"]["id"]) == 1
    assert "over" in run("ship", "maintenance", "end", view["window"]["id"])
    assert run("ship", "maintenance", "list") == "no maintenance windows\n"
    assert view["window"]["id"] in run("ship", "maintenance", "list", "--all")


def test_a_window_that_matches_nothing_says_so(api):
    said = run("ship", "maintenance", "add", "--device", "warp-*", "--for", "1h", "--reason", "why")
    assert "no known device" in said


def test_outages_are_added_listed_and_ended(api, file):
    run("devices", "import", str(file))
    words = ["--kind", "quota", "--until", "2999-01-01", "--reason", "volume is used up"]
    added = of_json(
        "ship", "outage", "add", "sat-modem-01", *words[:2], "--for", "2d", *words[4:],
        "--from", "2999-01-01T00:00:00Z",
    )  # fmt: skip
    assert added["state"] == "planned" and "rtr-edge-01" in added["dependants"]
    listed = run("ship", "outage", "list")
    assert "2999-01-01 00:00" in listed and "2999-01-03 00:00" in listed
    assert "withdrawn" in run("ship", "outage", "end", added["outage"]["id"])
    assert run("ship", "outage", "list") == "no outages\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--reason", "why"],
            "aiops: ship: say when it ends, with either --until TIME or --for SPAN",
        ),
        (["--reason", "why", "--for", "soon"], "aiops: --for soon: not a span like 45m, 2h or 3d"),
        (["--reason", "why", "--until", "soon"], "aiops: --until soon: not a time like 2026-06-01"),
    ],
)
def test_a_time_that_nobody_understands_is_one_line(api, words, line, monkeypatch, capsys):
    words = ["ship", "maintenance", "add", "--device", "a", *words]
    code, [said] = leave(monkeypatch, capsys, *words)
    assert (code, said[: len(line)]) == (2, line)
