"""What incident-api writes of incidents, as retrieval reads it back from the real tables."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from aiops_core.adapters.clickhouse import ClickHouse, QueryFailed
from aiops_core.errors import Unavailable
from aiops_core.runtime.unreadable import SKIPPED
from llm_enricher.retrieval import incident_table
from llm_enricher.retrieval.incident_table import ResolvedIncidents
from tests.api_parts import Platform, empty_tables, platform_on
from tests.incident_cases import cleared, created, evidence, receive, transitioned, updated


class Written:
    def __init__(self, clickhouse: ClickHouse) -> None:
        self.clickhouse = clickhouse
        self.platform: Platform = platform_on(clickhouse)
        self.read = ResolvedIncidents(clickhouse, lambda text: text.replace("sw-0", "[device]"))

    async def after(self, *facts) -> None:
        await receive(self.platform.recorder, self.platform.components.store, *facts)


@pytest.fixture
async def written(clickhouse_url: str) -> AsyncIterator[Written]:
    async with empty_tables(clickhouse_url) as clickhouse:
        yield Written(clickhouse)


async def test_an_incident_is_read_with_what_ended_it_once_it_is_over(written):
    await written.after(created())
    page = await written.read.changed()
    assert (page.passages, page.open) == ([], ["i1"])
    await written.after(
        transitioned(1, "comment", comment="saw a loose cable"),
        cleared(2, note="the link is up again"),
    )
    [passage] = (await written.read.changed()).passages
    assert passage.id == "i1"
    assert passage.title == "Link down on [device]"
    assert "link down" in passage.text
    assert "saw a loose cable" in passage.resolution
    assert "the link is up again" in passage.resolution
    assert (passage.ship, passage.domain, passage.category) == (("ship-1",), ("net",), ("network",))


async def test_what_a_person_wrote_when_resolving_is_what_ended_it(written):
    await written.after(
        created(),
        transitioned(
            1, "resolve", comment="replaced the optic", resolve_reason="hardware",
            to_status="resolved",
        ),
    )  # fmt: skip
    [passage] = (await written.read.changed()).passages
    assert passage.resolution.startswith("replaced the optic; reason hardware")


async def test_merged_and_reopened_ones_are_not_among_them(written):
    await written.after(
        created("i1"),
        created("i2", 5),
        cleared(2, "i1", resolve_reason="merged", merged_into="i2"),
        cleared(2, "i2"),
    )
    page = await written.read.changed()
    assert [one.id for one in page.passages] == ["i2"]
    await written.after(updated(3, 9, incident="i2", reopens=True))
    later = await written.read.changed(page.next)
    assert (later.passages, later.open) == ([], ["i2"])


async def test_pages_have_everything_once_also_what_was_written_at_one_time(written, monkeypatch):
    monkeypatch.setattr(incident_table, "PAGE", 3)
    await written.after(*(created(f"i{n}", n, evidence=(evidence(n),)) for n in range(8)))
    await written.after(*(cleared(2, f"i{n}") for n in range(8)))
    found, place, full = [], (incident_table.EARLIEST, ""), True
    while full:
        page = await written.read.changed(place)
        found += [one.id for one in page.passages]
        place, full = page.next, page.full
    assert sorted(found) == sorted({*found}) == [f"i{n}" for n in range(8)]
    assert not (await written.read.changed(place)).passages


async def test_a_row_that_cannot_be_read_is_skipped_and_counted(written):
    await written.after(created("i1"), created("i2", 5), cleared(2, "i1"), cleared(2, "i2"))
    await written.clickhouse.execute(
        "INSERT INTO aiops.incidents (id, ship_id, status, domain, title, body, version) VALUES "
        "('i2', 'ship-1', 'resolved', 'net', '', 'no json', 99999999999999)"
    )
    before = skipped()
    page = await written.read.changed()
    assert [one.id for one in page.passages] == ["i1"]
    assert skipped() == before + 1
    assert SKIPPED["retrieval.incidents"].newest.startswith("i2: title")


def skipped() -> int:
    return SKIPPED["retrieval.incidents"].count if "retrieval.incidents" in SKIPPED else 0


async def test_without_tables_or_server_the_error_says_so(clickhouse_url):
    async with ClickHouse.open("clickhouse://default@127.0.0.1:9/") as nobody:
        with pytest.raises(Unavailable):
            await ResolvedIncidents(nobody, str).changed()
    async with empty_tables(clickhouse_url) as clickhouse:
        await clickhouse.execute("RENAME TABLE aiops.incidents TO aiops.elsewhere")
        try:
            with pytest.raises(QueryFailed):
                await ResolvedIncidents(clickhouse, str).changed()
        finally:
            await clickhouse.execute("RENAME TABLE aiops.elsewhere TO aiops.incidents")
