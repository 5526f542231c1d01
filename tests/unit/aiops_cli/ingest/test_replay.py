"""Files → bus and ``logs.raw``: everything once, whatever the store does; at the rate asked for."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aiops_cli.ingest import replay as replaying
from aiops_cli.ingest import sink as sinking
from aiops_cli.ingest.replay import REFUSED_KEPT, ReplaySummary, replay
from aiops_cli.ingest.sink import IngestSink
from aiops_core.adapters.clickhouse import QueryFailed
from aiops_core.errors import Misconfigured, Reject, Unavailable
from aiops_core.models import LogEntry, MetricSample
from aiops_core.runtime.backoff import Backoff
from aiops_lab.memory_bus import MemoryBus

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Store:
    """ClickHouse with deduplication by token; *plan* says what goes wrong with the next calls."""

    def __init__(self, *plan: str) -> None:
        self.plan = list(plan)
        self.inserts: list[int] = []
        self.rows: list[Sequence[object]] = []
        self.seen: set[str | None] = set()

    async def query(self, sql, parameters=None):
        if self.plan and self.plan[0] in ("before", "after"):
            del self.plan[0]
            raise Unavailable("clickhouse does not answer")
        return [(row[0],) for row in self.rows if row[0] in parameters["ids"]]

    async def insert(self, table, columns, rows, *, token=None) -> None:
        assert (table, columns) == (sinking.TABLE, sinking.COLUMNS)
        assert all(len(row) == len(columns) for row in rows)
        await asyncio.sleep(0)
        fault = self.plan.pop(0) if self.plan else ""
        if fault == "refused":
            raise QueryFailed("no such column", 16)
        if fault != "before" and token not in self.seen:
            self.seen.add(token)
            self.inserts.append(len(rows))
            self.rows.extend(rows)
        if fault:
            raise Unavailable("clickhouse does not answer")

    @property
    def ids(self) -> list[object]:
        return [row[0] for row in self.rows]


def entry(n: int) -> LogEntry:
    return LogEntry(tracking_id=f"t{n}", ship_id="s", ts=NOW, host="h", msg=f"m{n}")


def file_of(tmp_path: Path, lines: int, name: str = "a.log") -> Path:
    path = tmp_path / name
    path.write_text("".join(f"line {n}\n" for n in range(lines)))
    return path


@contextlib.asynccontextmanager
async def sink_of(bus: MemoryBus, store: Store) -> AsyncIterator[IngestSink]:
    async with (
        asyncio.timeout(10),
        IngestSink.open(bus, store, linger=0, retry=Backoff(0, 0)) as sink,
    ):
        yield sink


class TestSink:
    @pytest.mark.parametrize("plan", [(), ("before",) * 7, ("after",) * 7, ("after", "before") * 5])
    async def test_every_line_is_stored_and_published_once(self, plan: tuple[str, ...]):
        bus, store = MemoryBus(), Store(*plan)
        async with sink_of(bus, store) as sink:
            await asyncio.gather(
                *(sink.send([entry(n) for n in range(at, at + 300)]) for at in range(0, 3000, 300))
            )
        assert sorted(store.ids) == sorted(f"t{n}" for n in range(3000))
        assert [m.tracking_id for m in bus.published] == [f"t{n}" for n in range(3000)]

    async def test_small_sends_share_an_insert_and_large_ones_are_split(self):
        bus, store = MemoryBus(), Store()
        async with sink_of(bus, store) as sink:
            await asyncio.gather(*(sink.send([entry(n)]) for n in range(50)))
            assert store.inserts == [50]
            await sink.send([entry(n) for n in range(50, 2550)])
            assert max(store.inserts) == sinking.MAX_ROWS

    async def test_publishing_goes_on_while_the_store_is_away(self):
        bus, store = MemoryBus(), Store(*["before"] * 1_000_000)
        async with sink_of(bus, store) as sink:
            sends = [asyncio.create_task(sink.send([entry(n)])) for n in range(20)]
            while len(bus.published) < 20:
                await asyncio.sleep(0)
            assert not any(send.done() for send in sends)
            store.plan.clear()
            await asyncio.gather(*sends)
        assert sorted(store.ids) == sorted(f"t{n}" for n in range(20))

    async def test_rows_are_as_the_table_wants_them(self):
        line = entry(1).model_copy(update={"labels": {"a": "b"}})
        async with sink_of(MemoryBus(), store := Store()) as sink:
            await sink.send([line.stamped("ingest", NOW)], ["the raw line"])
        values = ("t1", "s", NOW, NOW, "h", "h", "unknown", "info", "m1", "unknown", {"a": "b"})
        assert store.rows == [(*values, "the raw line")]

    async def test_samples_go_to_the_bus_only(self):
        sample = MetricSample(tracking_id="m", ship_id="s", ts=NOW, host="h", metric="x", value=1)
        async with sink_of(bus := MemoryBus(), store := Store()) as sink:
            await sink.send([sample, entry(1)], ["", "raw"])
            await sink.send([sample.model_copy(update={"tracking_id": "m2"})])
        assert [m.tracking_id for m in bus.published] == ["m", "t1", "m2"]
        assert [row[-1] for row in store.rows] == ["raw"]

    async def test_a_refused_insert_is_an_error_of_its_sender_only(self):
        async with sink_of(MemoryBus(), store := Store("refused")) as sink:
            with pytest.raises(QueryFailed):
                await sink.send([entry(1)])
            await sink.send([entry(2)])
        assert store.ids == ["t2"]

    async def test_an_error_of_the_body_comes_out_as_it_is(self):
        with pytest.raises(Misconfigured):
            async with IngestSink.open(MemoryBus(), Store()):
                raise Misconfigured("x")

    async def test_a_cancelled_sender_disturbs_nobody(self):
        async with sink_of(MemoryBus(), store := Store()) as sink:
            gone = asyncio.create_task(sink.send([entry(1)]))
            await asyncio.sleep(0)
            gone.cancel()
            await sink.send([entry(2)])
        assert "t2" in store.ids


class TestReplay:
    async def run(
        self, *files: Path, sink: object = None, **options
    ) -> tuple[ReplaySummary, MemoryBus]:
        async with sink_of(bus := MemoryBus(), Store()) as own:
            summary = await replay(
                files, sink or own, ship_id="s1", host="here", now=lambda: NOW, **options
            )
        return summary, bus

    async def test_every_line_of_every_file_in_order(self, tmp_path: Path):
        a, b = file_of(tmp_path, 1300), file_of(tmp_path, 5, "b.log")
        summary, bus = await self.run(a, b)
        assert (summary.read, summary.sent, summary.refused_total) == (1305, 1305, 0)
        assert (summary.unconfirmed, summary.interrupted, summary.problem) == (0, False, None)
        want = [f"line {n}" for n in (*range(1300), *range(5))]
        assert [m.msg for m in bus.published] == want

    async def test_refused_and_skipped_are_counted(self, tmp_path: Path):
        path = tmp_path / "a.log"
        path.write_bytes(b"good\n\n" + (b"x" * 70_000 + b"\n") * 250 + b"good")
        summary, bus = await self.run(path)
        assert (summary.read, summary.sent, summary.skipped) == (253, 2, 1)
        assert (summary.refused_total, len(summary.refused)) == (250, REFUSED_KEPT)
        assert str(summary.refused[0]) == f"{path}:3: longer than 64 KiB"
        assert len(bus.published) == 2

    async def test_limit(self, tmp_path: Path):
        summary, bus = await self.run(file_of(tmp_path, 2000), limit=700)
        assert (summary.read, len(bus.published)) == (700, 700)

    async def test_a_missing_file_before_anything_is_sent(self, tmp_path: Path):
        sink = Recorder()
        with pytest.raises(Misconfigured, match=r"none\.log"):
            await self.run(file_of(tmp_path, 3), tmp_path / "none.log", sink=sink)
        assert sink.sent == []

    async def test_what_is_under_way_is_bounded(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(replaying, "IN_FLIGHT", 1500)
        sink = Recorder(hold=True)
        running = asyncio.create_task(self.run(file_of(tmp_path, 10_000), sink=sink))
        async with asyncio.timeout(5):
            while len(sink.sent) < 1500:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(sink.sent) == 1500
        sink.go.set()
        summary, _ = await running
        assert summary.sent == 10_000

    async def test_stop_ends_with_what_was_sent(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(replaying, "GRACE", 0.05)
        stop, sink = asyncio.Event(), Recorder(hold_after=1000)
        running = asyncio.create_task(self.run(file_of(tmp_path, 50_000), sink=sink, stop=stop))
        async with asyncio.timeout(5):
            while len(sink.sent) < 1500:
                await asyncio.sleep(0.01)
            stop.set()
            summary, _ = await running
        assert summary.interrupted
        assert summary.sent == 1000
        assert summary.unconfirmed == summary.accepted - 1000 > 0

    async def test_a_sink_that_refuses_ends_it_with_the_reason(self, tmp_path: Path):
        sink = Recorder(problem=Reject("larger than the broker takes"))
        summary, _ = await self.run(file_of(tmp_path, 50_000), sink=sink)
        assert summary.problem == "larger than the broker takes"
        assert (summary.sent, summary.interrupted) == (0, False)

    async def test_a_rate_is_kept_on_a_real_clock(self, tmp_path: Path):
        summary, _ = await self.run(file_of(tmp_path, 200), rate=1000)
        assert summary.sent == 200
        assert 0.18 <= summary.seconds < 1


class TestTwice:
    async def run(self, bus: MemoryBus, store: Store, path: Path, **options) -> ReplaySummary:
        async with sink_of(bus, store) as sink:
            return await replay([path], sink, ship_id="s1", host="h", now=lambda: NOW, **options)

    @pytest.mark.parametrize("text", ["line {n}\n", "Jun  1 11:{n:02}:00 h app: x\n"])
    async def test_the_same_lines_twice_add_nothing(self, tmp_path: Path, text: str):
        bus, store, path = MemoryBus(), Store(), tmp_path / "a.log"
        path.write_text("".join(text.format(n=n) for n in range(50)))
        first = await self.run(bus, store, path)
        with path.open("a") as file:
            file.write("".join(text.format(n=n) for n in range(50, 60)))
        second = await self.run(bus, store, path)
        assert (first.sent, first.repeated) == (50, 0)
        assert (second.sent, second.repeated, second.unconfirmed) == (10, 50, 0)
        assert len(bus.published) == len(set(store.ids)) == 60
        third = await self.run(bus, store, path, again=True)
        assert (third.sent, third.repeated) == (60, 0)
        assert len(set(store.ids)) == 120

    async def test_a_store_that_is_away_delays_nothing(self, tmp_path: Path):
        bus, store = MemoryBus(), Store(*["before"] * 3)
        summary = await self.run(bus, store, file_of(tmp_path, 10))
        assert (summary.sent, summary.repeated) == (10, 0)

    async def test_a_table_that_does_not_exist_yet_knows_nothing(self, tmp_path: Path):
        class Unmigrated(Store):
            async def query(self, sql, parameters=None):
                raise QueryFailed("no such table", 60)

        summary = await self.run(MemoryBus(), Unmigrated(), file_of(tmp_path, 10))
        assert summary.sent == 10


class TestAsNow:
    OLD = (
        "2005-06-01T04:00:00.250+00:00 h a: first",
        "2005-06-03T04:00:00+00:00 h a: newest",
        "2005-06-02T04:00:00+00:00 h a: late",
    )

    async def sent(self, *files: Path, at: datetime = NOW, **options) -> list[LogEntry]:
        sink, options = Recorder(), {"as_now": True} | options
        await replay(files, sink, ship_id="s1", host="here", now=lambda: at, **options)
        return sink.sent

    def written(self, tmp_path: Path, *lines: str, name: str = "a.log") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    async def test_the_newest_line_is_of_now_and_distances_stay(self, tmp_path: Path):
        first, newest, late = await self.sent(self.written(tmp_path, *self.OLD))
        assert (newest.ts, late.ts) == (NOW, NOW - timedelta(days=1))
        assert first.ts == NOW - timedelta(days=2) + timedelta(milliseconds=250)
        assert first.labels["log.original_time"] == "2005-06-01T04:00:00.250000+00:00"

    async def test_of_several_files_the_newest_of_all_is_of_now(self, tmp_path: Path):
        older = self.written(tmp_path, "2005-05-03T04:00:00Z h a: x", name="older.log")
        entries = await self.sent(older, self.written(tmp_path, *self.OLD))
        assert [one.ts for one in entries[::2]] == [NOW - timedelta(days=31), NOW]

    async def test_lines_beyond_the_limit_do_not_count(self, tmp_path: Path):
        (first,) = await self.sent(self.written(tmp_path, *self.OLD), limit=1)
        assert first.ts == NOW

    async def test_a_line_without_a_time_is_of_its_neighbour_or_of_now(self, tmp_path: Path):
        plain = self.written(tmp_path, "no time", name="plain.log")
        before, *_, after = await self.sent(plain, self.written(tmp_path, *self.OLD, "no time"))
        assert (before.ts, before.labels) == (NOW, {})
        assert after.ts == NOW - timedelta(days=1)
        assert [one.ts for one in await self.sent(plain)] == [NOW]

    async def test_a_clock_that_was_never_set_does_not_make_the_file_one_of_now(self, tmp_path):
        """Its line arrives before any neighbour: it is of its arrival, and the others move."""
        unset = "1990-01-01T00:00:07+00:00 h a: boot"
        _, *others = await self.sent(self.written(tmp_path, unset, *self.OLD))
        assert max(one.ts for one in others) == NOW

    async def test_readings_and_messages_of_ours_move_without_new_series(self, tmp_path: Path):
        of_then = {"ship_id": "s1", "ts": NOW.replace(year=2005), "host": "h", "labels": {"a": "b"}}
        line = LogEntry(tracking_id="t", msg="m", **of_then)
        reading = MetricSample(tracking_id="u", metric="m", value=1.0, **of_then)
        ours = (line.model_dump_json(), reading.model_dump_json())
        moved, sample = await self.sent(self.written(tmp_path, *ours, name="a.jsonl"))
        assert (moved.ts, sample.ts, sample.labels) == (NOW, NOW, {"a": "b"})
        assert {moved.tracking_id, sample.tracking_id}.isdisjoint({"t", "u"})

    async def test_ids_are_others_than_those_of_then_and_stay(self, tmp_path: Path):
        """However far the lines move: a replay that broke off is repeated a minute later."""
        path, later = self.written(tmp_path, *self.OLD), NOW + timedelta(minutes=1)
        of_then = {one.tracking_id for one in await self.sent(path, as_now=False)}
        first = {one.tracking_id for one in await self.sent(path)}
        assert first == {one.tracking_id for one in await self.sent(path, at=later)}
        assert len(of_then | first) == 6
        again = await self.sent(path, again=True)
        assert first.isdisjoint(one.tracking_id for one in again)

    @pytest.mark.parametrize("kind", ["-", "fifo"])
    async def test_a_pipe_is_refused_before_it_is_read(self, tmp_path: Path, kind: str):
        path = Path(kind) if kind == "-" else tmp_path / kind
        if kind == "fifo":
            os.mkfifo(path)
        with pytest.raises(Misconfigured, match=f"{path}: the end of a pipe is not known"):
            await self.sent(self.written(tmp_path, *self.OLD), path)

    async def test_a_stop_while_the_newest_is_looked_for_sends_nothing(self, tmp_path: Path):
        stop, lines = asyncio.Event(), 0

        def now() -> datetime:
            nonlocal lines
            lines += 1
            if lines == 5:
                stop.set()
            return NOW

        path = self.written(tmp_path, *self.OLD * 200)
        sink = Recorder()
        summary = await replay([path], sink, ship_id="s", host="h", now=now, as_now=True, stop=stop)
        assert summary.interrupted and lines < 100
        assert sink.sent == []


class TestPipe:
    @contextlib.asynccontextmanager
    async def running(self, bus: MemoryBus) -> AsyncIterator[tuple[int, asyncio.Event, list]]:
        reading, writing = os.pipe()
        stop, done = asyncio.Event(), []
        path = Path(f"/dev/fd/{reading}")
        async with sink_of(bus, Store()) as sink, asyncio.TaskGroup() as group:
            work = replay([path], sink, ship_id="s1", host="h", now=lambda: NOW, stop=stop)
            task = group.create_task(work)
            yield writing, stop, done
            done.append(await task)
        os.close(reading)

    async def arrives(self, bus: MemoryBus, count: int, within: float = 1) -> None:
        async with asyncio.timeout(within):
            while len(bus.published) < count:
                await asyncio.sleep(0.01)

    async def test_each_line_within_a_second_also_the_first(self):
        async with self.running(bus := MemoryBus()) as (writing, _, done):
            for n in range(3):
                os.write(writing, b"line %d\n" % n)
                await self.arrives(bus, n + 1)
            os.close(writing)
        assert (done[0].sent, done[0].interrupted) == (3, False)

    async def test_a_stop_loses_nothing_that_was_read(self):
        async with self.running(bus := MemoryBus()) as (writing, stop, done):
            os.write(writing, b"".join(b"line %d\n" % n for n in range(700)) + b"no end")
            await self.arrives(bus, 700, within=10)
            stop.set()
        os.close(writing)
        assert (done[0].sent, done[0].unconfirmed, done[0].interrupted) == (701, 0, True)
        assert bus.published[-1].msg == "no end"


class Recorder:
    """A sink that remembers, and may hold its answers back."""

    def __init__(self, *, hold=False, hold_after=None, problem: Exception | None = None) -> None:
        self.sent: list[LogEntry] = []
        self.hold_after = 0 if hold else hold_after
        self.problem = problem
        self.go = asyncio.Event()

    async def known(self, entries):
        return ()

    async def send(self, entries, raw=None) -> None:
        self.sent.extend(entries)
        if self.problem:
            raise self.problem
        if self.hold_after is not None and len(self.sent) > self.hold_after:
            await self.go.wait()
