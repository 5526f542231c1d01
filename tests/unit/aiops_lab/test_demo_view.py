"""What the fleet says -> what the demo shows."""

from rich.console import Console

from aiops_lab.demo.data import Snapshot, handled_in
from aiops_lab.demo.view import ROWS, Show, changes, screen


def incident(number: int, **fields: object) -> dict[str, object]:
    return {
        "id": f"i{number}",
        "severity": "high",
        "status": "open",
        "title": f"Fault [number] {number}",
        "root_cause": {"device": f"dev-{number}"},
        "anomaly_count": 3,
        "first_seen": "2026-01-01T12:00:00Z",
    } | fields


def drawn(show: Show) -> str:
    console = Console(width=160, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as capture:
        console.print(screen(show))
    return capture.get()


def test_an_empty_ship_can_be_drawn() -> None:
    assert "ship-1" in drawn(Show("ship-1", "http://127.0.0.1:8081"))


def test_incidents_show_their_title_root_and_members_as_they_are() -> None:
    show = Show("s", "u", snapshot=Snapshot(incidents=[incident(7)], p50=4.2, p99=21.0))
    picture = drawn(show)
    assert all(word in picture for word in ("Fault [number] 7", "dev-7", "4.2 ms", "21.0 ms"))


def test_more_incidents_than_rows_are_counted() -> None:
    many = [incident(number) for number in range(ROWS + 3)]
    assert "and 3 older ones" in drawn(Show("s", "u", snapshot=Snapshot(incidents=many)))


def test_a_sick_service_is_told_with_its_reason() -> None:
    show = Show("s", "u", snapshot=Snapshot(problems={"llm-enricher": "recovering"}))
    assert "llm-enricher: recovering" in drawn(show)


def test_lines_tell_only_what_changed() -> None:
    before = Snapshot(incidents=[incident(1), incident(2)], problems={"incident-api": "draining"})
    after = Snapshot(incidents=[incident(3), incident(1, status="resolved"), incident(2)])
    assert list(changes(before, after)) == [
        "now [high, resolved] Fault [number] 1 (root cause dev-1, 3 anomalies)",
        "incident [high, open] Fault [number] 3 (root cause dev-3, 3 anomalies)",
        "incident-api: ready",
    ]
    assert list(changes(after, after)) == []


def test_only_messages_handled_well_are_counted() -> None:
    text = (
        "# TYPE aiops_messages_handled_total counter\n"
        'aiops_messages_handled_total{outcome="ok",service="s"} 41.0\n'
        'aiops_messages_handled_total{outcome="malformed",service="s"} 7.0\n'
        "# TYPE other_total counter\nother_total 3.0\n"
    )
    assert handled_in(text) == 41
