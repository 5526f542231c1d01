"""Files → bus and ``logs.raw``: everything once, whatever the store does; at the rate asked for."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aiops_cli.ingest import raw
from aiops_cli.ingest import replay as replaying
from aiops_cli.ingest.pace import BACKLOG, TICK, Pacer
from aiops_cli.ingest.replay import REFUSALS_KEPT, Summary, replay
from aiops_cli.ingest.sink import Sink
from aiops_cli.ingest.window import Window
from aiops_core.adapters.clickhouse import QueryFailed
from aiops_core.errors import Misconfigured, Reject, Unavailable
from aiops_core.models import LogEntry, MetricSample
from aiops_lab.memory_bus import MemoryBus

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Store:
    """ClickHouse with deduplication by token; *plan* says what goes wrong with the next inserts."""

    def __init__(self, *plan: str) -> None:
        self.plan = list(plan)
        self.inserts: list[int] = []
        self.rows: list[Sequence[object]] = []
        self.seen: set[str | None] = set()

    async def insert(self, table, columns, rows, *, token=None) -> None:
        assert (table, columns) == (raw.TABLE, raw.COLUMNS)
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


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def sink_of(bus: MemoryBus, store: Store) -> AsyncIterator[Sink]:
    async with asyncio.timeout(10), Sink(bus, store, sleep=no_wait) as sink:
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
            assert max(store.inserts) == raw.ROWS

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
            async with Sink(MemoryBus(), Store()):
                raise Misconfigured("x")

    async def test_a_cancelled_sender_disturbs_nobody(self):
        async with sink_of(MemoryBus(), store := Store()) as sink:
            gone = asyncio.create_task(sink.send([entry(1)]))
            await asyncio.sleep(0)
            gone.cancel()
            await sink.send([entry(2)])
        assert "t2" in store.ids


class TestReplay:
    async def run(self, *files: Path, sink: object = None, **options) -> tuple[Summary, MemoryBus]:
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
        path.write_bytes(b"good\n\n" + b"\xff\n" * 250 + b"good")
        summary, bus = await self.run(path)
        assert (summary.read, summary.sent, summary.skipped) == (253, 2, 1)
        assert (summary.refused_total, len(summary.refused)) == (250, REFUSALS_KEPT)
        assert str(summary.refused[0]) == f"{path}:3: not UTF-8: byte 1 is 0xff"
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
        monkeypatch.setattr(replaying, "UNDER_WAY", 1500)
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


class Recorder:
    """A sink that remembers, and may hold its answers back."""

    def __init__(self, *, hold=False, hold_after=None, problem: Exception | None = None) -> None:
        self.sent: list[LogEntry] = []
        self.hold_after = 0 if hold else hold_after
        self.problem = problem
        self.go = asyncio.Event()

    async def send(self, entries, raw=None) -> None:
        self.sent.extend(entries)
        if self.problem:
            raise self.problem
        if self.hold_after is not None and len(self.sent) > self.hold_after:
            await self.go.wait()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class TestPacer:
    @pytest.mark.parametrize("rate", [0.5, 1, 7, 49, 50, 333, 1000, 20_000])
    async def test_the_rate_is_met_in_small_steps(self, rate: float):
        clock = Clock()
        pacer = Pacer(rate, clock, clock.sleep)
        given = [await pacer.allowance() for _ in range(200)]
        assert sum(given) == pytest.approx((clock.now - 100) * rate, abs=1.01)
        assert max(given) <= rate * TICK + 1

    async def test_a_stall_is_no_reason_for_a_burst(self):
        clock = Clock()
        pacer = Pacer(1000, clock, clock.sleep)
        await pacer.allowance()
        clock.now += 60
        assert await pacer.allowance() <= 1000 * BACKLOG
        steady = [await pacer.allowance() for _ in range(5)]
        assert steady == [20] * 5

    async def test_a_short_delay_is_made_up_for(self):
        clock = Clock()
        pacer = Pacer(1000, clock, clock.sleep)
        given = 0
        for delay in itertools.islice(itertools.cycle((0, 0.03)), 100):
            clock.now += delay
            given += await pacer.allowance()
        assert given == pytest.approx((clock.now - 100) * 1000, abs=1.01)


class TestWindow:
    async def test_first_come_first_served(self):
        window, order = Window(10), []

        async def one(name: str, units: int) -> None:
            await window.take(units)
            order.append(name)

        tasks = [asyncio.create_task(one(n, u)) for n, u in (("a", 8), ("b", 5), ("c", 1))]
        await asyncio.sleep(0)
        assert order == ["a"]
        window.give_back(8)
        await asyncio.gather(*tasks)
        assert (order, window.used) == (["a", "b", "c"], 6)

    async def test_more_than_the_window_waits_for_an_empty_one(self):
        window = Window(10)
        await window.take(25)
        waiting = asyncio.create_task(window.take(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        window.give_back(25)
        await waiting

    async def test_who_gives_up_leaves_no_trace(self):
        window = Window(10)
        await window.take(10)
        first, second = (asyncio.create_task(window.take(n)) for n in (10, 3))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        window.give_back(10)
        await second
        assert window.used == 3

    async def test_who_gives_up_when_let_in_gives_back(self):
        window = Window(10)
        await window.take(10)
        waiting = asyncio.create_task(window.take(10))
        await asyncio.sleep(0)
        window.give_back(10)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert window.used == 0
