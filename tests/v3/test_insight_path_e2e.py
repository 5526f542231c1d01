"""Insight path: every incident gets an explanation, whose citations exist."""

from tests.fleet import wait_until
from tests.v3.conftest import entry, incident_with


def explained(api, incident_id):
    wait_until(lambda: api.get(f"/api/v3/incidents/{incident_id}").json()["llm_insights"])
    return api.get(f"/api/v3/incidents/{incident_id}").json()


async def test_every_incident_is_explained_with_evidence_that_exists(sink, api, device):
    line = entry(
        device,
        "Failed password for invalid user admin from 10.66.7.8 port 4022 ssh2",
        level="warning",
        service="sshd",
    )
    await sink.send([line])
    whole = explained(api, incident_with(api, line.tracking_id)["id"])
    insight = whole["llm_insights"]
    assert insight["source"] == "rules" and insight["recommendations"]
    assert device in insight["root_cause"] + insight["narrative"]
    known = {e["anomaly_id"] for e in whole["evidence"]}
    cited = [c["id"] for c in insight["citations"] if c["kind"] == "evidence"]
    assert cited and set(cited) <= known
    assert insight["latency_ms"] < 300


async def test_an_unknown_problem_is_explained_too(sink, api, device):
    line = entry(device, "the flux capacitor has lost its temper", service="fluxd")
    await sink.send([line])
    whole = explained(api, incident_with(api, line.tracking_id)["id"])
    assert whole["llm_insights"]["root_cause"]


async def test_the_first_answer_comes_within_five_seconds(sink, api, device):
    line = entry(device, "database connection pool exhausted", service="postgres")
    await sink.send([line])
    incident = incident_with(api, line.tracking_id)
    explained(api, incident["id"])
    trace = api.get(f"/api/v3/trace/{line.tracking_id}").json()
    assert 0 <= trace["insight"]["latency_ms"] < 5000


async def test_it_is_explained_anew_when_it_is_another_incident_than_it_was(sink, api, device):
    line = entry(device, "database connection pool exhausted", service="postgres")
    await sink.send([line])
    incident = incident_with(api, line.tracking_id)
    assert explained(api, incident["id"])["llm_insights"]["of_change"] == 0
    path = f"/api/v3/incidents/{incident['id']}"
    assert api.patch(path, json={"severity": "low", "title": "The pool"}).status_code == 200
    wait_until(lambda: api.get(path).json()["llm_insights"]["of_change"] == 1)
    assert api.get(path).json()["llm_insights"]["narrative"].startswith("Low ")
