"""What is counted of messages that a stream discards before a consumer is given them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.adapters.nats_offsets import Look, Overtaken

SHARES = {"all": 1, "every third": 3}


class Broker:
    """A stream of at most *room* messages, and a consumer of every *nth* of them."""

    def __init__(self, room, nth=1):
        self.room, self.nth = room, nth
        self.first, self.last, self.delivered, self.deliveries = 1, 0, 0, 0
        self.lost = 0

    def wanted(self, place):
        return place % self.nth == 0

    def publish(self, count):
        for _ in range(count):
            self.last += 1
            if self.last - self.first >= self.room:
                self.lost += self.wanted(self.first) and self.first > self.delivered
                self.first += 1

    def deliver(self, count):
        for place in range(max(self.delivered + 1, self.first), self.last + 1):
            if count and self.wanted(place):
                self.delivered, self.deliveries, count = place, self.deliveries + 1, count - 1

    def look(self):
        pending = sum(map(self.wanted, range(max(self.delivered + 1, self.first), self.last + 1)))
        return Look(self.first, self.last, self.delivered, self.deliveries, pending)


def test_who_keeps_up_loses_nothing():
    broker, overtaken = Broker(10), Overtaken()
    for _ in range(100):
        broker.publish(8)
        broker.deliver(8)
        assert overtaken.look(broker.look()) == 0


def test_what_was_discarded_while_the_process_was_down_is_told_by_the_first_look():
    broker = Broker(10)
    broker.publish(5)
    broker.deliver(3)
    broker.publish(100)
    overtaken = Overtaken()
    assert overtaken.look(broker.look()) == broker.lost == 92
    assert overtaken.look(broker.look()) == 0


def test_a_process_that_is_started_again_counts_nothing_twice():
    broker = Broker(10)
    broker.publish(100)
    assert Overtaken().look(broker.look()) == broker.lost
    broker.deliver(1)
    assert Overtaken().look(broker.look()) == 0


def test_a_consumer_whose_messages_are_rare_has_lost_none_when_the_others_are_discarded():
    broker, overtaken = Broker(50, nth=1000), Overtaken()
    broker.publish(1000)
    broker.deliver(1)
    for _ in range(40):
        assert overtaken.look(broker.look()) == 0
        assert Overtaken().look(broker.look()) == 0  # nor does the next process say so
        broker.publish(20)
    for _ in range(12):
        assert overtaken.look(broker.look()) == 0
        broker.publish(20)  # the next of its messages among them
    assert overtaken.look(broker.look()) == 0 == broker.lost


def test_a_stream_that_was_made_anew_is_looked_at_anew():
    overtaken = Overtaken()
    overtaken.look(Look(1, 500, 500, 500, 0))
    assert overtaken.look(Look(1, 3, 0, 0, 3)) == 0
    assert overtaken.look(Look(11, 20, 0, 0, 10)) == 10


@pytest.mark.parametrize("nth", SHARES.values(), ids=SHARES)
@given(st.randoms(use_true_random=False))
def test_a_lagging_consumer_is_counted_as_it_loses(nth, rng: random.Random):
    """Exact for all subjects, nearly so for some of them."""
    broker, overtaken, counted, looks = Broker(90, nth), Overtaken(), 0, 0
    broker.publish(30)
    overtaken.look(broker.look())
    for _ in range(rng.randint(1, 30)):
        broker.deliver(rng.randint(0, 20))
        broker.publish(rng.randint(60, 300))
        counted += overtaken.look(broker.look())
        looks += 1
    if nth == 1:
        assert counted == broker.lost
    else:
        assert abs(counted - broker.lost) <= 2 * looks
