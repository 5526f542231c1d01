"""What waits in the outbox goes together, in order, and holds back who puts too much."""

import asyncio

import pytest

from aiops_core.runtime.outbox import MOST, Caused, Outbox, Parcel


class Broker:
    """Takes what is sent when it is let."""

    def __init__(self):
        self.sent = []
        self.free = asyncio.Event()

    async def take(self, parcels):
        await self.free.wait()
        caused = [one for parcel in parcels for one in parcel.caused]
        self.sent.append([effect for one in caused for effect in one.effects])


def parcel(*effects, handled=0):
    return Parcel([Caused(effects), *[Caused(())] * handled])


@pytest.fixture
async def box():
    broker = Broker()
    outbox = Outbox(broker.take)
    running = asyncio.create_task(outbox.run())
    yield outbox, broker
    running.cancel()


async def test_what_gathers_while_the_broker_is_slow_goes_together_and_in_order(box):
    outbox, broker = box
    await outbox.put(parcel("a"))
    await asyncio.sleep(0)
    for effect in "bcd":
        await outbox.put(parcel(effect))
    broker.free.set()
    await asyncio.wait_for(outbox.empty(), 1)
    assert broker.sent[0][0] == "a" and len(broker.sent) <= 2
    assert [effect for sent in broker.sent for effect in sent] == list("abcd")


async def test_empty_waits_for_what_is_being_sent(box):
    outbox, broker = box
    await outbox.put(parcel("a"))
    emptied = asyncio.create_task(outbox.empty())
    await asyncio.sleep(0.02)
    assert not emptied.done()
    broker.free.set()
    await asyncio.wait_for(emptied, 1)
    assert broker.sent == [["a"]]


async def test_a_full_outbox_holds_back_who_puts(box):
    outbox, broker = box
    await outbox.put(parcel("first"))
    await asyncio.sleep(0)
    await outbox.put(parcel("full", handled=MOST))
    waiting = asyncio.create_task(outbox.put(parcel("more")))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    broker.free.set()
    await asyncio.wait_for(waiting, 1)
    await asyncio.wait_for(outbox.empty(), 1)
    assert [effect for sent in broker.sent for effect in sent] == ["first", "full", "more"]


async def test_what_comes_during_the_rest_goes_together_after_it_and_the_first_at_once():
    broker = Broker()
    broker.free.set()
    outbox = Outbox(broker.take, rest=0.2)
    running = asyncio.create_task(outbox.run())
    await outbox.put(parcel("a"))
    await asyncio.sleep(0.02)
    assert broker.sent == [["a"]]
    await outbox.put(parcel("b"))
    await asyncio.sleep(0.02)
    await outbox.put(parcel("c"))
    assert broker.sent == [["a"]]
    await asyncio.wait_for(outbox.empty(), 1)
    assert broker.sent == [["a"], ["b", "c"]]
    running.cancel()
