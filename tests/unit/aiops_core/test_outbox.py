"""What waits in the outbox goes together, in order, and holds back who puts too much."""

import asyncio

import pytest

from aiops_core.runtime.publishing import WAITING, Outbox
from aiops_core.runtime.received import Handled, HandledBatch


class Broker:
    """Takes what is sent when it is let."""

    def __init__(self):
        self.sent = []
        self.free = asyncio.Event()

    async def take(self, waiting):
        await self.free.wait()
        outcomes = [one for handled in waiting for one in handled.handled]
        self.sent.append([effect for one in outcomes for effect in one.effects])


def batch(*effects, handled=0):
    return HandledBatch([Handled(effects), *[Handled(())] * handled])


@pytest.fixture
async def box():
    broker = Broker()
    outbox = Outbox(broker.take)
    running = asyncio.create_task(outbox.run())
    yield outbox, broker
    running.cancel()


async def test_what_gathers_while_the_broker_is_slow_goes_together_and_in_order(box):
    outbox, broker = box
    await outbox.put(batch("a"))
    await asyncio.sleep(0)
    for effect in "bcd":
        await outbox.put(batch(effect))
    broker.free.set()
    await asyncio.wait_for(outbox.empty(), 1)
    assert broker.sent[0][0] == "a" and len(broker.sent) <= 2
    assert [effect for sent in broker.sent for effect in sent] == list("abcd")


async def test_empty_waits_for_what_is_being_sent(box):
    outbox, broker = box
    await outbox.put(batch("a"))
    emptied = asyncio.create_task(outbox.empty())
    await asyncio.sleep(0.02)
    assert not emptied.done()
    broker.free.set()
    await asyncio.wait_for(emptied, 1)
    assert broker.sent == [["a"]]


async def test_a_full_outbox_holds_back_who_puts(box):
    outbox, broker = box
    await outbox.put(batch("first"))
    await asyncio.sleep(0)
    await outbox.put(batch("full", handled=WAITING))
    waiting = asyncio.create_task(outbox.put(batch("more")))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    broker.free.set()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(outbox.empty(), 1)
    assert [effect for sent in broker.sent for effect in sent] == ["first", "full", "more"]


async def test_what_comes_after_a_mark_is_not_sent_before_its_work_is_done(box):
    outbox, broker = box
    done = asyncio.Event()

    async def work():
        broker.sent.append("mark")
        await done.wait()

    await outbox.put(batch("a"))
    await asyncio.sleep(0)
    await outbox.put(batch("b"))
    mark = outbox.mark(work)
    await outbox.put(batch("c"))
    broker.free.set()
    await asyncio.sleep(0.02)
    assert broker.sent == [["a"], ["b"], "mark"] and not mark.reached.is_set()
    done.set()
    await asyncio.wait_for(outbox.reach(mark), 1)
    await asyncio.wait_for(outbox.empty(), 1)
    assert broker.sent == [["a"], ["b"], "mark", ["c"]]


async def test_a_mark_is_reached_when_nothing_else_happens(box):
    outbox, _ = box
    await asyncio.sleep(0.01)  # it waits for something to send

    async def work():
        pass

    await asyncio.wait_for(outbox.reach(outbox.mark(work)), 1)
