"""The client of a server, on Qdrant's own engine behind its REST wire."""

from __future__ import annotations

import shutil

import pytest

from aiops_core.errors import Unavailable
from llm_enricher.retrieval.vectors import VectorStore
from llm_enricher.retrieval.worker import RetrievalWorker
from tests.qdrant_wire import QdrantServer, qdrant_server
from tests.retrieval_cases import InlineVectors, WordEmbedder, resolved, runbook
from tests.unit.llm_enricher_retrieval.test_indexing import EVERYTHING, Ship

SIZE = WordEmbedder().size


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with qdrant_server(tmp_path_factory.mktemp("qdrant")) as started:
        yield started


@pytest.fixture
def ship(server: QdrantServer, tmp_path):
    """llm-enricher with that server, whose collections are empty."""
    one = Ship(tmp_path)
    one.vectors = server.url
    one.start()
    for name in ("runbooks", "incidents"):
        one.store._call("delete_collection", name) if one.store._call(
            "collection_exists", name
        ) else None
    yield one
    one.store.close()


async def test_all_is_embedded_once_and_found(ship):
    _, embedded = await ship.round()
    assert sorted(embedded) == EVERYTHING
    assert await ship.ask("the dish sees no sky") == (["link#symptoms"], False)
    ship.restart()
    assert (await ship.round())[1] == []


@pytest.mark.parametrize("place", ["server", "folder"])
async def test_filters_and_thresholds_are_obeyed(ship, place, tmp_path):
    model = WordEmbedder()
    if place == "folder":
        ship.store = VectorStore(str(tmp_path / "vectors"), model.name, model.size)
    ship.store.ensure()
    passages = [
        runbook("all#x", "antenna"),
        runbook("comms#x", "antenna", domain=("comms",)),
        runbook("s2#x", "antenna", ship=("s2",)),
    ]
    ship.store.put("runbook", passages, model.embed([one.whole for one in passages]))
    [vector] = model.embed(["antenna"])

    def found(similarity: float = 0.1, **wanted) -> set[str]:
        hits = ship.store.search("runbook", vector, wanted=wanted, limit=9, similarity=similarity)
        return {hit.id for hit in hits}

    assert found() == {"all#x", "comms#x", "s2#x"}
    assert found(domain="net") == {"all#x", "s2#x"}
    assert found(domain="comms", ship="s1") == {"all#x", "comms#x"}
    assert found(similarity=0.99) == {"all#x"}


async def test_more_points_than_a_page_are_read_back_and_dropped(ship):
    ship.table.passages = [resolved(f"n{n}", f"fault {n}", order=float(n)) for n in range(50)]
    many = [runbook(f"r{n}#x", f"disk {n}") for n in range(600)]
    model = WordEmbedder()
    ship.store.ensure()
    ship.store.put("runbook", many, model.embed([one.whole for one in many]))
    assert len(ship.store.stored("runbook")) == 600
    done, _ = await ship.round()
    assert done.dropped == 600
    assert ship.store.counts() == {"runbook": 3, "incident": 50}


async def test_a_collection_of_another_dimension_is_made_anew(ship):
    await ship.round()
    ship.restart(WordEmbedder(size=SIZE // 2))
    assert sorted((await ship.round())[1]) == EVERYTHING
    assert (await ship.ask("the dish sees no sky"))[0] == ["link#symptoms"]


async def test_a_collection_that_somebody_deletes_meanwhile_is_made_anew(ship):
    await ship.round()
    ship.store._call("delete_collection", "runbooks")
    assert (await ship.ask("guests without address")) == (["dhcp#symptoms"], True)
    assert sorted((await ship.round())[1]) == [id for id in EVERYTHING if "#" in id]


async def test_points_that_somebody_deletes_meanwhile_are_made_anew(ship):
    await ship.round()
    [point] = [point for point, id, _ in ship.store.stored("incident") if id == "i1"]
    ship.store.drop("incident", [point])
    assert (await ship.round())[1] == ["i1"]


async def test_the_error_of_the_engine_is_away_and_no_crash(ship):
    ship.store.ensure()
    with pytest.raises(Unavailable, match=r"Qdrant: .*Wrong input"):
        ship.store.put("runbook", [runbook("a#x", "a")], [[0.5, 0.5]])


async def test_after_a_kill_of_the_server_nothing_is_lost_and_without_it_words_decide(tmp_path):
    with qdrant_server(tmp_path / "storage") as server:
        ship = Ship(tmp_path)
        ship.vectors = server.url
        ship.start()
        await ship.round()
        server.kill()
        done, _ = await ship.round()
        assert "Qdrant" in done.away["vectors"]
        assert await ship.ask("guests without address") == (["dhcp#symptoms"], True)
        server.start()
        assert (await ship.round())[1] == []
        assert await ship.ask("the dish sees no sky") == (["link#symptoms"], False)
        server.kill()
        shutil.rmtree(server.folder)
        server.start()
        assert sorted((await ship.round())[1]) == EVERYTHING
        ship.store.close()


def test_the_worker_says_that_a_server_is_away(tmp_path):
    store = VectorStore("http://127.0.0.1:9", "m", SIZE)
    worker = RetrievalWorker(WordEmbedder(), store)
    answer = worker.answer({"id": 4, "do": "ensure"})
    assert answer["id"] == 4
    assert answer["away"].startswith("Qdrant: ")
    assert InlineVectors(worker).embedded() == []
