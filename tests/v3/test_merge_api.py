"""``POST /api/v3/incidents/{id}/merge`` on a running fleet: correlation moves the members."""

from __future__ import annotations

from tests.fleet import wait_until
from tests.v3.conftest import entry, incident_with


async def test_what_is_merged_goes_on_in_the_other(sink, api, device):
    lines = [entry(f"{device}-{n}", "EXT4-fs error", service="kernel") for n in range(2)]
    await sink.send(lines)
    gone, home = (incident_with(api, line.tracking_id) for line in lines)
    path = f"/api/v3/incidents/{gone['id']}"
    answer = api.post(f"{path}/merge", json={"into": home["id"], "comment": "one disk shelf"})
    assert answer.status_code == 200
    assert answer.json()["resolve_reason"] == f"merged into {home['id']}"

    def shown(incident: dict) -> dict:
        return api.get(f"/api/v3/incidents/{incident['id']}").json()

    wait_until(lambda: shown(home)["anomaly_count"] == 2)
    wait_until(lambda: shown(gone)["anomaly_count"] == 0)
    assert shown(home)["tracking_ids"] == [line.tracking_id for line in lines]
    assert f"merged incident {gone['id']} into it" in str(shown(home)["timeline"])
    wait_until(lambda: incident_with(api, lines[0].tracking_id)["id"] == home["id"])

    later = entry(f"{device}-0", "EXT4-fs error", service="kernel")
    await sink.send([later])
    assert incident_with(api, later.tracking_id)["id"] == home["id"]
    assert api.post(f"{path}/reopen").status_code == 409
