"""The model of embeddings: its weights are known or refused, and with it meaning is found."""

from __future__ import annotations

import math
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from aiops_core.errors import Misconfigured
from llm_enricher.retrieval import embedding
from llm_enricher.retrieval.corpus import Corpus
from llm_enricher.retrieval.embedding import MiniLm, missing_package, weights_folder
from llm_enricher.retrieval.retriever import Retriever
from llm_enricher.retrieval.runbooks import read_folder
from llm_enricher.retrieval.vectors import VectorStore
from llm_enricher.retrieval.worker import RetrievalWorker
from tests.retrieval_cases import POLICY, InlineVectors, TableOf
from tests.unit.llm_enricher_retrieval.test_indexing import Indexing

INSTALLED = missing_package() is None
EXTRA = pytest.mark.skipif(not INSTALLED, reason="the extra of embedding.lock is not installed")
EXAMPLES = Path(__file__).parent / "runbooks"
# In words that neither titles nor texts have.
ASKED = {
    "the parabolic mirror cannot see the sky": "satellite-link",
    "telephone to headquarters is dead and email is stuck": "satellite-link",
    "storm clouds weaken our uplink": "satellite-link",
    "passengers' phones join the Wi-Fi but stay without an IP": "dhcp",
    "visitors' laptops cannot join, no IP left": "dhcp",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of weights that are not ours."""
    (tmp_path / "model").mkdir()
    spec = ModuleSpec(embedding.WEIGHTS, None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda name: spec)
    return tmp_path / "model" / "model.safetensors"


def test_weights_with_another_checksum_are_refused_and_named(package):
    package.write_bytes(b"other weights")
    with pytest.raises(Misconfigured, match=r"the weights in .* have the checksum \w{12}…, not"):
        weights_folder()
    package.unlink()
    with pytest.raises(Misconfigured, match="cannot be read: No such file"):
        weights_folder()


def test_a_package_of_the_extra_that_is_missing_is_named(monkeypatch):
    found = {"sentence_transformers": None}
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda it: found.get(it, "there"))
    assert missing_package() == "sentence_transformers"
    monkeypatch.setattr(embedding.importlib.util, "find_spec", lambda it: "there")
    assert missing_package() is None


@EXTRA
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of the libraries at their import
async def test_questions_in_other_words_find_the_runbook(tmp_path):
    (tmp_path / "runbooks").symlink_to(EXAMPLES)
    model = MiniLm()
    [vector] = model.embed(["a text"])
    assert len(vector) == model.size
    assert math.isclose(sum(x * x for x in vector), 1.0, rel_tol=1e-4)
    store = VectorStore(str(tmp_path / "vectors"), model.name, model.size)
    vectors = InlineVectors(RetrievalWorker(model, store))
    corpus = Corpus(10)
    await Indexing(corpus, vectors, TableOf(), tmp_path, POLICY).round()
    assert len(corpus.runbooks) == len(read_folder(tmp_path).runbooks) == 2
    asked = Retriever(corpus, vectors, POLICY.model_copy(update={"budget_ms": 60_000}), str)
    for text, expected in ASKED.items():
        found = await asked.search(text, ("runbook",))
        assert not found.lexical
        assert found.documents[0].id.partition("#")[0] == expected, text
    store.close()
