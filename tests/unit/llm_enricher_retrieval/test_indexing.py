"""Folder and table -> what is found, and vectors that follow; after each way to break off."""

from __future__ import annotations

import asyncio
import pickle
import shutil
import sqlite3

import pytest

from aiops_core.runtime.unreadable import SKIPPED
from llm_enricher.retrieval.corpus import Corpus
from llm_enricher.retrieval.indexing import Indexing
from llm_enricher.retrieval.retriever import Retriever
from llm_enricher.retrieval.vectors import VectorStore
from llm_enricher.retrieval.worker import RetrievalWorker
from tests.retrieval_cases import (
    POLICY,
    InlineVectors,
    TableOf,
    WordEmbedder,
    resolved,
    write_runbooks,
)

# What the client opens before it raises it closes only when it is collected.
UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
DHCP = "# DHCP\n\n## Symptoms\n\nguests get no address\n\n## Fix\n\nwiden the pool\n"
LINK = "# Link\n\n## Symptoms\n\nthe antenna lost the satellite\n"
PAST = resolved("i1", "switch restarted after a power cut", "replaced the power supply", order=1.0)
UPS = resolved("i2", "battery of the ups is worn", "changed the battery", order=2.0)


class Ship:
    """One llm-enricher after the other on the same folders."""

    def __init__(self, folder) -> None:
        self.policies, self.vectors = folder / "policies", folder / "vectors"
        self.table = TableOf(PAST, UPS)
        write_runbooks(self.policies, {"dhcp": DHCP, "link": LINK})
        self.start()

    def start(self, embedder: WordEmbedder | None = None) -> None:
        model = embedder or WordEmbedder()
        self.store = VectorStore(str(self.vectors), model.name, model.size)
        self.inline = InlineVectors(RetrievalWorker(model, self.store))
        self.corpus = Corpus(POLICY.incidents.kept)
        self.indexing = Indexing(self.corpus, self.inline, self.table, self.policies, POLICY)
        self.retriever = Retriever(self.corpus, self.inline, POLICY, str)

    def restart(self, embedder: WordEmbedder | None = None) -> None:
        self.store.close()
        self.start(embedder)

    async def round(self):
        """The next round, and what it embedded."""
        self.inline.asked.clear()
        done = await self.indexing.round()
        return done, self.inline.embedded()

    async def ask(self, text: str) -> tuple[list[str], bool]:
        found = await self.retriever.search(text)
        return [one.id for one in found.documents], found.lexical


@pytest.fixture
def ship(tmp_path):
    one = Ship(tmp_path)
    yield one
    one.store.close()


EVERYTHING = ["dhcp#fix", "dhcp#symptoms", "i1", "i2", "link#symptoms"]


async def test_all_is_embedded_once_and_found_by_meaning_in_both_collections(ship):
    done, embedded = await ship.round()
    assert (done.runbooks, done.passages, done.incidents) == (2, 3, 2)
    assert sorted(embedded) == EVERYTHING
    assert (await ship.ask("the dish sees no sky"))[0] == ["link#symptoms"]
    assert (await ship.ask("power supply"))[0][0] == "i1"
    assert (await ship.round())[1] == []


async def test_after_a_restart_nothing_is_embedded_again(ship):
    await ship.round()
    ship.restart()
    done, embedded = await ship.round()
    assert (embedded, done.dropped) == ([], 0)
    assert await ship.ask("dish") == (["link#symptoms"], False)


async def test_only_what_has_changed_is_embedded_again(ship):
    await ship.round()
    write_runbooks(ship.policies, {"dhcp": DHCP.replace("widen the pool", "shorten the lease")})
    assert (await ship.round())[1] == ["dhcp#fix"]
    assert (await ship.ask("shorten the lease"))[0] == ["dhcp#fix"]


async def test_a_runbook_that_is_gone_or_broken_is_no_longer_found_and_comes_back(ship):
    await ship.round()
    write_runbooks(ship.policies, {"link": ""})
    done, _ = await ship.round()
    assert done.dropped == 1
    assert done.left_out == {"runbooks/link.md": "there is no text below any heading"}
    assert (await ship.ask("the dish sees no sky"))[0] == []
    write_runbooks(ship.policies, {"link": LINK})
    done, embedded = await ship.round()
    assert (embedded, done.left_out) == (["link#symptoms"], {})


async def test_an_incident_that_is_open_again_is_no_longer_found(ship):
    await ship.round()
    ship.table.passages.remove(PAST)
    ship.table.open = ["i1"]
    await ship.round()
    assert "i1" not in (await ship.ask("switch restarted power supply"))[0]


async def test_the_newest_incidents_are_kept(ship):
    ship.table.passages = [resolved(f"n{n}", f"fault {n}", order=float(n)) for n in range(60)]
    done, _ = await ship.round()
    assert done.incidents == POLICY.incidents.kept
    assert "n59" in ship.corpus.passages("incident")
    assert "n0" not in ship.corpus.passages("incident")


async def test_without_vectors_words_decide_and_the_answer_says_so(ship):
    ship.inline.worker = None
    done, _ = await ship.round()
    assert done.away == {"vectors": "there is none"}
    assert await ship.ask("guests without address") == (["dhcp#symptoms"], True)
    found = await ship.retriever.search("guests without address")
    assert all(one.lexical for one in found.documents)


async def test_without_the_table_incidents_come_from_what_was_stored_with_their_vectors(ship):
    await ship.round()
    ship.restart()
    ship.table.away = True
    done, embedded = await ship.round()
    assert done.away == {"clickhouse": "clickhouse does not answer"}
    assert embedded == []
    documents = (await ship.retriever.search("battery of the ups")).documents
    assert (documents[0].id, documents[0].resolution) == ("i2", "changed the battery")
    ship.table.away = False
    ship.table.passages.remove(UPS)
    await ship.round()
    assert "i2" not in ship.corpus.passages("incident")


async def test_a_folder_that_is_deleted_while_it_runs_is_made_anew(ship):
    await ship.round()
    shutil.rmtree(ship.vectors)
    _, embedded = await ship.round()
    assert sorted(embedded) == EVERYTHING
    ship.restart()
    assert (await ship.round())[1] == []


async def test_a_folder_that_is_deleted_between_two_runs_is_made_anew_without_the_table_too(ship):
    await ship.round()
    ship.store.close()
    shutil.rmtree(ship.vectors)
    ship.start()
    ship.table.away = True
    assert sorted((await ship.round())[1]) == ["dhcp#fix", "dhcp#symptoms", "link#symptoms"]
    ship.table.away = False
    assert sorted((await ship.round())[1]) == ["i1", "i2"]


async def test_vectors_of_another_size_or_model_are_made_anew(ship):
    await ship.round()
    ship.restart(WordEmbedder(size=32))
    skipped = SKIPPED["retrieval.vectors"].count if "retrieval.vectors" in SKIPPED else 0
    assert sorted((await ship.round())[1]) == EVERYTHING
    assert SKIPPED["retrieval.vectors"].count == skipped + 2
    assert "32" in SKIPPED["retrieval.vectors"].newest
    ship.restart(WordEmbedder(size=32, name="other"))
    assert sorted((await ship.round())[1]) == EVERYTHING


def cut_off_meta(vectors):
    (vectors / "meta.json").write_text('{"collections": {"run')


def other_meta(vectors):
    (vectors / "meta.json").write_text('{"collections": {"runbooks": {"vectors": 7}}}')


def garbage_storage(vectors):
    (vectors / "collection/runbooks/storage.sqlite").write_bytes(b"no database" * 999)


def foreign_point(vectors):
    with sqlite3.connect(vectors / "collection/incidents/storage.sqlite") as storage:
        storage.execute("INSERT INTO points VALUES ('x', ?)", (pickle.dumps({"id": 1}),))


def cut_off_point(vectors):
    with sqlite3.connect(vectors / "collection/incidents/storage.sqlite") as storage:
        storage.execute("UPDATE points SET point = substr(point, 1, 20)")


def storage_is_a_folder(vectors):
    storage = vectors / "collection/runbooks/storage.sqlite"
    storage.unlink()
    storage.mkdir()


@UNCLOSED
@pytest.mark.parametrize(
    "spoil",
    [
        cut_off_meta,
        other_meta,
        garbage_storage,
        foreign_point,
        cut_off_point,
        storage_is_a_folder,
    ],
)
async def test_a_folder_that_cannot_be_read_is_named_and_made_anew(ship, spoil):
    await ship.round()
    ship.store.close()
    spoil(ship.vectors)
    ship.start()
    before = SKIPPED["retrieval.vectors"].count if "retrieval.vectors" in SKIPPED else 0
    done, embedded = await ship.round()
    assert sorted(embedded) == EVERYTHING, done.away
    assert SKIPPED["retrieval.vectors"].count > before
    assert "could not be read" in SKIPPED["retrieval.vectors"].newest
    assert (await ship.ask("the dish sees no sky"))[0] == ["link#symptoms"]


@UNCLOSED
async def test_files_of_others_in_the_folder_survive_that_it_is_made_anew(ship):
    await ship.round()
    ship.store.close()
    (ship.vectors / "mine.txt").write_text("mine")
    cut_off_meta(ship.vectors)
    ship.start()
    await ship.round()
    assert (ship.vectors / "mine.txt").read_text() == "mine"


@UNCLOSED
async def test_a_folder_that_another_process_has_is_left_alone_and_waited_for(ship, tmp_path):
    await ship.round()
    other = Ship(tmp_path)
    done, _ = await other.round()
    assert "used by another process" in done.away["vectors"]
    ship.store.close()
    assert (await other.round())[1] == []
    other.store.close()


async def test_a_place_that_cannot_be_a_folder_is_away_and_no_crash(tmp_path):
    (tmp_path / "vectors").write_text("a file")
    ship = Ship(tmp_path)
    done, _ = await ship.round()
    assert "vectors" in done.away
    assert (await ship.ask("guests without address"))[1]


async def test_a_stored_passage_that_nobody_can_read_is_skipped_and_dropped(ship):
    await ship.round()
    for point, payload in (("i1", {"passage": 7}), ("i2", {"passage": {"id": "other"}})):
        broken = {"id": point, **payload}
        ship.store._call("set_payload", "incidents", payload=broken, points=[_point(point)])
    ship.restart()
    ship.table.away = True
    done, _ = await ship.round()
    assert (done.incidents, done.dropped) == (0, 2)
    assert "i1: " in SKIPPED["retrieval.vectors"].newest
    ship.table.away = False
    assert sorted((await ship.round())[1]) == ["i1", "i2"]


def _point(id: str) -> str:
    return {"i1": PAST, "i2": UPS}[id].point


async def test_a_round_that_breaks_off_is_continued_by_the_next_one(ship):
    ask, puts = ship.inline.ask, 0

    async def breaks(do, **request):
        nonlocal puts
        puts += do == "put"
        worker = ship.inline.worker
        if do == "put" and puts == 2:
            ship.inline.worker = None
        try:
            return await ask(do, **request)
        finally:
            ship.inline.worker = worker

    ship.indexing._vectors = type("Breaking", (), {"ask": staticmethod(breaks)})()
    done = await ship.indexing.round()
    assert done.away == {"vectors": "there is none"}
    first = ship.inline.embedded()
    ship.indexing._vectors = ship.inline
    _, rest = await ship.round()
    assert first
    assert sorted([*first, *rest]) == EVERYTHING


async def test_a_mistake_in_one_round_does_not_end_those_after_it(ship):
    ship.indexing._policy = POLICY.model_copy(update={"refresh_s": 0.01})
    rounds = 0
    changed = ship.table.changed

    async def mistaken(since):
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise KeyError("a mistake")
        return await changed(since)

    ship.table.changed = mistaken
    keeping = asyncio.ensure_future(ship.indexing.keep())
    async with asyncio.timeout(10):
        while "i1" not in ship.corpus.passages("incident"):
            await asyncio.sleep(0.01)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_a_passage_on_which_embedding_raises_is_named_and_the_others_are_embedded(ship):
    class Picky(WordEmbedder):
        def embed(self, texts):
            if any("antenna" in text for text in texts):
                raise TypeError("no text")
            return super().embed(texts)

    ship.restart(Picky())
    done, _ = await ship.round()
    assert (done.embedded, done.away) == (len(EVERYTHING) - 1, {})
    assert "link#symptoms: put failed: TypeError: no text" in SKIPPED["retrieval.vectors"].newest
    assert (await ship.round())[1] == []
    assert (await ship.ask("battery of the ups"))[0] == ["i2"]
