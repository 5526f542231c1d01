"""How messages are stored when the broker takes only some of them, or when its answer is lost."""

import uuid

import pytest

from aiops_core.adapters.nats_publish import BATCH, MSG_ID
from aiops_core.adapters.nats_requests import OpenRequests
from aiops_core.models import MetricSample
from aiops_core.runtime.bus import Outgoing
from tests.conftest import nats_bus, sample

pytestmark = pytest.mark.e2e


def effects(cause, count=2):
    return [Outgoing(sample(float(n)), f"svc/LOGS/{cause}/{n}") for n in range(count)]


def single():
    return Outgoing(sample(0.0), uuid.uuid4().hex)


def ids(outgoing):
    return {item.id for item in outgoing}


async def stored(bus):
    return [s async for s in bus.history([MetricSample.subject], since=None)]


def batches(stored):
    """The batches in which the effects of each cause were stored."""
    found = {}
    for one in stored:
        found.setdefault(one.headers[MSG_ID].rpartition("/")[0], []).append(one.headers.get(BATCH))
    return found


async def test_effects_of_one_message_stay_together_when_their_batch_is_refused(own_nats):
    """Each batch is refused for one cause that is stored; the others still go whole."""
    async with nats_bus(own_nats.url) as bus:
        known, new = effects(1), [e for cause in range(2, 202) for e in effects(cause)]
        await bus.publish(known)
        assert await bus.publish([*new[:200], *known, single(), *new[200:]]) >= ids(new)
        found = batches(await stored(bus))
    assert sum(map(len, found.values())) == 403
    for cause in range(1, 202):
        [one, other] = found[f"svc/LOGS/{cause}"]
        assert one and one == other


async def test_of_a_message_whose_effects_have_become_more_the_rest_is_stored(own_nats):
    async with nats_bus(own_nats.url) as bus:
        await bus.publish(effects(1, 2))
        assert await bus.publish(effects(1, 4)) == {"svc/LOGS/1/2", "svc/LOGS/1/3"}
        assert len(await stored(bus)) == 4


@pytest.fixture
def deaf(monkeypatch):
    """Loses the broker's answers while it has a count; the broker has stored what it answers to."""
    losses = [0]
    receive = OpenRequests._receive

    async def _receive(self, answer):
        if losses[0]:
            losses[0] -= 1
        else:
            await receive(self, answer)

    monkeypatch.setattr(OpenRequests, "_receive", _receive)
    monkeypatch.setattr("aiops_core.adapters.nats_publish.ACK_TIMEOUT", 0.3)
    return losses


@pytest.mark.parametrize("outgoing", [[single()], [single(), single()], effects(1), effects(2, 9)])
async def test_what_this_call_stored_is_new_also_when_its_acknowledgement_was_lost(
    own_nats, deaf, outgoing
):
    async with nats_bus(own_nats.url) as bus:
        deaf[0] = len(outgoing)
        assert await bus.publish(outgoing) == ids(outgoing)
        assert await bus.publish(outgoing) == set()
        assert len(await stored(bus)) == len(outgoing)


async def test_what_is_known_is_not_new_though_the_acknowledgement_of_others_was_lost(
    own_nats, deaf
):
    async with nats_bus(own_nats.url) as bus:
        known, new = [single() for _ in range(5)], [single() for _ in range(5)]
        await bus.publish(known)
        await bus.publish(effects(1))
        mixed = [*known, *new, *effects(1), *effects(2)]
        assert await bus.publish(mixed) == ids(new) | ids(effects(2))
        assert len(await stored(bus)) == 14
