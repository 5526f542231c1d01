"""What people declare about the ship -> what holds at a moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from aiops_core.models import ShipMode
from aiops_core.suppression.ship import (
    CHANGES_KEPT,
    LinkOutage,
    MaintenanceWindow,
    ModeChange,
    ModeLog,
    Ship,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def window(**fields) -> MaintenanceWindow:
    base = {"id": "m1", "start": NOON, "end": NOON + HOUR, "owner": "eto", "reason": "new firmware"}
    return MaintenanceWindow.model_validate(base | fields)


def outage(**fields) -> LinkOutage:
    base = {"id": "o1", "device_id": "modem", "start": NOON, "end": NOON + HOUR, "kind": "handover"}
    return LinkOutage.model_validate(base | {"reason": "beam", "source": "acu"} | fields)


def change(mode: str, at: datetime) -> ModeChange:
    return ModeChange(mode=mode, since=at, by="bridge")


def test_a_window_holds_from_its_start_until_just_before_its_end():
    held = [window().holds(NOON + n * HOUR / 2) for n in (-1, 0, 1, 2)]
    assert held == [False, True, True, False]


@pytest.mark.parametrize(
    ("fields", "covered"),
    [
        ({"devices": ["SW-*"]}, True),
        ({"devices": ["ap-*"]}, False),
        ({"devices": ["ap-*", "sw-1"]}, True),
        ({"devices": ["sw-*"], "services": ["kernel"]}, True),
        ({"devices": ["sw-*"], "services": ["dns*"]}, False),
        ({"services": ["kernel"]}, True),
        ({"devices": ["core"]}, False),
        ({"devices": ["core"], "dependants": True}, True),
    ],
)
def test_a_window_is_about_what_its_patterns_name(fields, covered):
    assert window(**fields).concerns("sw-1", "kernel", ("dist", "core")) == covered


def test_the_mode_is_that_of_the_moment_also_for_late_messages():
    log = ModeLog().then(change("at_sea", NOON)).then(change("port", NOON + HOUR))
    ship = Ship(mode=log)
    moments = [NOON - HOUR, NOON, NOON + HOUR, NOON + 9 * HOUR]
    assert [ship.mode_at(m) for m in moments] == [None, "at_sea", "port", "port"]


def test_a_change_for_the_past_replaces_what_was_said_of_that_time():
    log = ModeLog().then(change("at_sea", NOON)).then(change("port", NOON + 2 * HOUR))
    corrected = Ship(mode=log.then(change("anchor", NOON + HOUR)))
    assert corrected.mode_at(NOON + 3 * HOUR) == ShipMode.ANCHOR
    assert corrected.mode_at(NOON) == ShipMode.AT_SEA


def test_only_the_last_changes_are_kept():
    log = ModeLog()
    for n in range(CHANGES_KEPT + 5):
        log = log.then(change("port", NOON + n * HOUR))
    assert len(log.changes) == CHANGES_KEPT
    assert log.changes[-1].since == NOON + (CHANGES_KEPT + 4) * HOUR


def test_a_bucket_is_read_and_what_is_no_value_of_ours_is_named():
    ship = Ship.of(
        {
            "mode": ModeLog(changes=(change("port", NOON),)).model_dump_json().encode(),
            "maintenance.m1": window().model_dump_json().encode(),
            "maintenance.m2": b"{}",
            "outage.o1": outage().model_dump_json().encode(),
            "outage.o2": b"nonsense",
            "elsewhere": b"1",
        }
    )
    assert ship.mode_at(NOON) == ShipMode.PORT
    assert (ship.maintenance, ship.outages) == ((window(),), (outage(),))
    assert list(ship.unreadable) == ["maintenance.m2", "outage.o2"]
    assert ship.unreadable["maintenance.m2"].startswith("id: Field required; ")


@pytest.mark.parametrize("build", [window, outage])
def test_what_ends_before_it_starts_is_refused(build):
    with pytest.raises(ValidationError, match="end must be after start"):
        build(end=NOON)
