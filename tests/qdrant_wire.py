"""Qdrant's own engine behind the part of its REST wire that our client uses, as a process:
``python -m tests.qdrant_wire FOLDER PORT``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import qdrant_edge as engine
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import JSONResponse

from tests.conftest import ROOT, free_port
from tests.fleet import wait_until

VERSION = "1.15.3"  # as docker-compose.yml pins the server
CONFIG = "config.json"  # beside the shard: what its vectors are


class Shards:
    """The collections of one folder, which may be that of a process that was killed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)
        self._open = {one.parent.name: self._load(one.parent) for one in root.glob(f"*/{CONFIG}")}

    def _load(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        return engine.EdgeShard.load(str(folder / "shard")), json.loads(
            (folder / CONFIG).read_text()
        )

    def __contains__(self, name: str) -> bool:
        return name in self._open

    def names(self) -> list[str]:
        return list(self._open)

    def __getitem__(self, name: str) -> Any:
        return self._known(name)[0]

    def vectors(self, name: str) -> dict[str, Any]:
        return self._known(name)[1]

    def _known(self, name: str) -> tuple[Any, dict[str, Any]]:
        if name not in self._open:
            raise HTTPException(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._open[name]

    def create(self, name: str, vectors: dict[str, Any]) -> None:
        if name in self._open:
            raise HTTPException(409, f"Wrong input: Collection `{name}` already exists!")
        folder = self._root / name
        (folder / "shard").mkdir(parents=True)
        distance = getattr(engine.Distance, vectors["distance"])
        params = engine.EdgeVectorParams(size=vectors["size"], distance=distance)
        shard = engine.EdgeShard.create(str(folder / "shard"), engine.EdgeConfig(vectors=params))
        (folder / CONFIG).write_text(json.dumps(vectors))
        self._open[name] = shard, vectors

    def delete(self, name: str) -> None:
        self[name].close()
        del self._open[name]
        shutil.rmtree(self._root / name)

    def update(self, name: str, operation: Any) -> None:
        self[name].update(operation)
        self[name].flush()


def matching(asked: dict[str, Any] | None) -> Any:
    if not asked:
        return None
    must = [
        engine.FieldCondition(key=one["key"], match=engine.MatchAny(one["match"]["any"]))
        for one in asked["must"]
    ]
    return engine.Filter(must=must)


def chosen(payload: dict[str, Any] | None, fields: Any) -> dict[str, Any] | None:
    if isinstance(fields, list):
        return {key: value for key, value in (payload or {}).items() if key in fields}
    return payload if fields else None


def application(shards: Shards) -> FastAPI:  # noqa: C901 - one small function for each path
    app = FastAPI()

    @app.exception_handler(HTTPException)
    async def refused(request: Request, exc: HTTPException) -> JSONResponse:
        answer = await http_exception_handler(request, exc)
        return JSONResponse({"status": {"error": exc.detail}, "time": 0}, answer.status_code)

    def done(result: object) -> dict[str, object]:
        return {"result": result, "status": "ok", "time": 0.0}

    def engine_says(work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Exception as exc:  # the engine's own errors have no common class
            raise HTTPException(400, f"Wrong input: {exc}") from exc

    @app.get("/")
    async def about() -> dict[str, str]:
        return {"title": "qdrant - vector search engine", "version": VERSION}

    @app.get("/collections/{name}/exists")
    async def exists(name: str) -> Any:
        return done({"exists": name in shards})

    @app.put("/collections/{name}")
    async def create(name: str, request: Request) -> Any:
        shards.create(name, (await request.json())["vectors"])
        return done(True)

    @app.delete("/collections/{name}")
    async def delete(name: str) -> Any:
        shards.delete(name)
        return done(True)

    @app.get("/collections/{name}")
    async def info(name: str) -> Any:
        said = shards[name].info()
        return done(
            {
                "status": "green",
                "optimizer_status": "ok",
                "points_count": said.points_count,
                "indexed_vectors_count": said.indexed_vectors_count,
                "segments_count": said.segments_count,
                "payload_schema": {},
                "config": {
                    "params": {"vectors": shards.vectors(name)},
                    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                    "optimizer_config": {
                        "deleted_threshold": 0.2,
                        "vacuum_min_vector_number": 1000,
                        "default_segment_number": 0,
                        "flush_interval_sec": 5,
                    },
                },
            }
        )

    @app.put("/collections/{name}/index")
    async def index(name: str) -> Any:
        assert shards[name]
        return done({"operation_id": 0, "status": "completed"})

    @app.put("/collections/{name}/points")
    async def upsert(name: str, request: Request) -> Any:
        asked = (await request.json())["points"]
        points = [engine.Point(p["id"], p["vector"], p.get("payload") or {}) for p in asked]
        operation = engine.UpdateOperation.upsert_points(points)
        engine_says(lambda: shards.update(name, operation))
        return done({"operation_id": 1, "status": "completed"})

    @app.post("/collections/{name}/points/delete")
    async def drop(name: str, request: Request) -> Any:
        operation = engine.UpdateOperation.delete_points((await request.json())["points"])
        engine_says(lambda: shards.update(name, operation))
        return done({"operation_id": 2, "status": "completed"})

    @app.post("/collections/{name}/points/query")
    async def query(name: str, request: Request) -> Any:
        asked = await request.json()
        vector = asked["query"]
        nearest = vector["nearest"] if isinstance(vector, dict) else vector
        request_of_engine = engine.QueryRequest(
            query=engine.Query.Nearest(nearest),
            limit=asked["limit"],
            filter=matching(asked.get("filter")),
            with_payload=True,
            score_threshold=asked.get("score_threshold"),
        )
        hits = engine_says(lambda: shards[name].query(request_of_engine))
        fields = asked.get("with_payload")
        points = [
            {"id": h.id, "version": h.version, "score": h.score}
            | {"payload": chosen(h.payload, fields)}
            for h in hits
        ]
        return done({"points": points})

    @app.post("/collections/{name}/points/scroll")
    async def scroll(name: str, request: Request) -> Any:
        asked = await request.json()
        page = engine.ScrollRequest(
            offset=asked.get("offset"), limit=asked["limit"], with_payload=True
        )
        records, offset = engine_says(lambda: shards[name].scroll(page))
        fields = asked.get("with_payload")
        points = [{"id": r.id, "payload": chosen(r.payload, fields)} for r in records]
        return done({"points": points, "next_page_offset": offset})

    @app.post("/collections/{name}/points/count")
    async def count(name: str) -> Any:
        number = engine_says(lambda: shards[name].count(engine.CountRequest(exact=True)))
        return done({"count": number})

    return app


class QdrantServer:
    """The process, which can be killed and started again on the same folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.qdrant_wire", str(self.folder), str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT)
        wait_until(self._answers, 60)

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=1).is_success
        except httpx.HTTPError:
            time.sleep(0.05)
            return False

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@contextmanager
def qdrant_server(folder: Path) -> Iterator[QdrantServer]:
    server = QdrantServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


if __name__ == "__main__":
    uvicorn.run(
        application(Shards(Path(sys.argv[1]))),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="warning",
    )
