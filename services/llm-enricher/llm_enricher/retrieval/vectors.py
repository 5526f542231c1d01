"""Vectors in Qdrant, in a folder of ours or on a server: one point for each passage.

All that is here can be made anew from runbooks and incidents. So what cannot be read, or is of
another size, is made anew.
"""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from aiops_core.errors import Unavailable, in_words
from llm_enricher.retrieval.passage import ANY, Passage

COLLECTIONS = {"runbook": "runbooks", "incident": "incidents"}  # by the kind of passage
FILTERED = ("ship", "domain", "category")
FETCHED = 4  # times as many from a folder: there a filter takes 0.1 ms for each point it looks at
TIMEOUT = 5  # seconds for an answer of the server
PAGE = 256  # points
META, POINTS, STORAGE = "meta.json", "collection", "storage.sqlite"  # in a folder of Qdrant's
LOCKED = "already accessed"  # in the error of a folder that another process has
# What the client raises on a folder with files that are cut off, of another make, or gone.
BROKEN = (
    ValueError, LookupError, TypeError, AttributeError, EOFError, ImportError,
    pickle.UnpicklingError, sqlite3.Error, OSError, RuntimeError,
)  # fmt: skip


class VectorHit(NamedTuple):
    id: str  # of the passage
    score: float  # cosine


class StoredPassage(NamedTuple):
    """*digest*: of the passage when it was embedded; empty if the model was another one."""

    point: str
    id: str
    digest: str


class VectorStore:
    """The two collections. All methods raise Unavailable while Qdrant is away.

    *model* names what made the vectors, *size* says how many numbers they have. *problems* tells
    what was found broken and made anew.
    """

    def __init__(self, place: str, model: str, size: int) -> None:
        """*place*: the URL of a server, or the path of a folder."""
        self._url = place if "://" in place else None
        self._folder = None if self._url else Path(place)
        self._model, self._size = model, size
        self._client: QdrantClient | None = None
        self._made: dict[str, str] = {}
        self.problems: list[str] = []

    def close(self) -> None:
        if self._client:
            self._client.close()
        self._client, self._made = None, {}

    def ensure(self) -> dict[str, str]:
        """Both collections are there afterwards, and fit.

        By kind a token that is another one when the points of a collection may have gone.
        """
        if self._folder and self._client and not self._is_whole(self._folder):
            self.problems.append(f"{self._folder} was deleted: made anew")
            self.close()
        for kind, name in COLLECTIONS.items():
            if self._ensure(name) or kind not in self._made:
                self._made[kind] = uuid4().hex
        return dict(self._made)

    def counts(self) -> dict[str, int]:
        """Points, by kind."""
        return {
            kind: self._call("count", collection_name=name, exact=True).count
            for kind, name in COLLECTIONS.items()
        }

    def stored(self, kind: str) -> list[StoredPassage]:
        """All points of the collection."""
        return [
            StoredPassage(
                str(point.id),
                str(payload.get("id", "")),
                str(payload.get("digest", "")) if payload.get("model") == self._model else "",
            )
            for point, payload in self._points(kind, ["id", "digest", "model"])
        ]

    def passages(self, kind: str) -> Iterator[tuple[str, Any]]:
        """The passages as they were stored, as JSON, each with its id; anything may be in it."""
        for point, payload in self._points(kind, ["id", "passage"]):
            yield str(payload.get("id", point.id)), payload.get("passage")

    def put(self, kind: str, passages: Sequence[Passage], vectors: Sequence[list[float]]) -> None:
        points = [
            models.PointStruct(id=one.point, vector=vector, payload=self._payload(one))
            for one, vector in zip(passages, vectors, strict=True)
        ]
        self._call("upsert", collection_name=COLLECTIONS[kind], points=points, wait=True)

    def drop(self, kind: str, points: Sequence[str]) -> None:
        selector = models.PointIdsList(points=list(points))
        self._call("delete", collection_name=COLLECTIONS[kind], points_selector=selector, wait=True)

    def search(
        self,
        kind: str,
        vector: list[float],
        *,
        wanted: Mapping[str, str],
        limit: int,
        similarity: float,
    ) -> list[VectorHit]:
        """The nearest that are for all values in *wanted*, by field, and at least so similar."""
        must = [
            models.FieldCondition(key=key, match=models.MatchAny(any=[value, ANY]))
            for key, value in wanted.items()
        ]
        found = self._call(
            "query_points",
            collection_name=COLLECTIONS[kind],
            query=vector,
            query_filter=models.Filter(must=[*must]) if must and self._url else None,
            limit=limit if self._url else limit * FETCHED,
            score_threshold=similarity,
            with_payload=["id", *FILTERED],
        )
        hits = [(point.payload or {}, point.score) for point in found.points]
        fitting = [
            VectorHit(str(it.get("id", "")), score) for it, score in hits if _fits(it, wanted)
        ]
        return fitting[:limit]

    def _payload(self, passage: Passage) -> dict[str, Any]:
        about = {name: list(getattr(passage, name)) for name in FILTERED}
        known = {"id": passage.id, "digest": passage.digest, "model": self._model}
        return about | known | {"passage": passage.model_dump(mode="json")}

    def _points(self, kind: str, fields: list[str]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        offset = None
        while True:
            points, offset = self._call(
                "scroll",
                collection_name=COLLECTIONS[kind],
                limit=PAGE,
                offset=offset,
                with_payload=fields,
                with_vectors=False,
            )
            yield from ((point, point.payload or {}) for point in points)
            if offset is None:
                return

    def _ensure(self, name: str) -> bool:
        """Whether the collection was made, or made anew."""
        if not self._call("collection_exists", name):
            self._create(name)
            return True
        vectors = self._call("get_collection", name).config.params.vectors
        size = getattr(vectors, "size", None)
        if size == self._size and getattr(vectors, "distance", None) == models.Distance.COSINE:
            return False
        self.problems.append(
            f"collection {name} has vectors of {size or 'other'} numbers, the model {self._size}: "
            "made anew"
        )
        self._call("delete_collection", name)
        self._create(name)
        return True

    def _create(self, name: str) -> None:
        params = models.VectorParams(size=self._size, distance=models.Distance.COSINE)
        self._call("create_collection", collection_name=name, vectors_config=params)
        if self._url:  # a folder has no such indexes
            for field in FILTERED:
                self._call(
                    "create_payload_index",
                    collection_name=name,
                    field_name=field,
                    field_schema=models.PayloadSchemaType.KEYWORD,
                )

    def _is_whole(self, folder: Path) -> bool:
        """Whether the files that the client has open are still those of the folder."""
        paths = [folder / POINTS / name / STORAGE for name in COLLECTIONS.values()]
        return all(path.exists() for path in paths) or not self._made

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        client = self._client or self._open()
        try:
            return getattr(client, method)(*args, **kwargs)
        except ApiException as exc:
            raise Unavailable(f"Qdrant: {_short(exc)}") from exc
        except BROKEN as exc:
            self.close()  # the next call opens it again, and makes it anew if it must
            raise Unavailable(f"Qdrant: {_short(exc)}") from exc

    def _open(self) -> QdrantClient:
        if self._url:
            self._client = QdrantClient(url=self._url, timeout=TIMEOUT, check_compatibility=False)
            return self._client
        assert self._folder
        try:
            self._client = self._opened(self._folder)
        except BROKEN as exc:
            if LOCKED in str(exc):
                raise Unavailable(f"{self._folder} is used by another process") from exc
            self._client = self._anew(self._folder, exc)
        return self._client

    def _anew(self, folder: Path, problem: Exception) -> QdrantClient:
        """An empty store in the place of one that cannot be opened."""
        self.problems.append(f"{folder} could not be read and was made anew: {_short(problem)}")
        try:
            (folder / META).unlink(missing_ok=True)
            shutil.rmtree(folder / POINTS, ignore_errors=True)
            return self._opened(folder)
        except BROKEN as exc:
            raise Unavailable(f"{folder} cannot be written: {_short(exc)}") from exc

    def _opened(self, folder: Path) -> QdrantClient:
        """Only we may write there: the client unpickles what it finds."""
        os.makedirs(folder, mode=0o700, exist_ok=True)
        return QdrantClient(path=str(folder))


def _fits(payload: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    stated = {key: payload.get(key) for key in wanted}
    return all(
        isinstance(names, list) and (wanted[key] in names or ANY in names)
        for key, names in stated.items()
    )


def _short(exc: Exception) -> str:
    return (in_words(exc) or type(exc).__name__)[:200]
