"""A condition of a rule -> whether members and facts fulfil it, seen from one member."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from llm_enricher.rules.case import IncidentCase
from llm_enricher.rules.conditions import Condition
from llm_enricher.rules.samples import Sample, question_of


def case(*members: str, context: tuple[str, ...] = ()) -> IncidentCase:
    return IncidentCase.of(question_of(Sample(members=members, context=context)))


ONE = "sw-1 stp net/link_down: port 7 down"
TWO = "sw-2 stp net/link_degraded: port 9 errors"
BOTH = case(
    ONE,
    TWO,
    context=("line sw-1: port 7 shut by netadmin", "fine probe sw-9: loss 0 %"),
)


@pytest.mark.parametrize(
    ("stated", "holds"),
    [
        ({"types": ("link_*",)}, True),
        ({"types": ("power_event",)}, False),
        ({"types": ("link_*",), "devices": 2}, True),
        ({"types": ("link_down",), "devices": 2}, False),
        ({"types": ("link_degraded",), "on": "same"}, False),
        ({"types": ("link_degraded",), "on": "other"}, True),
        ({"senders": ("sw-9",)}, True),
        ({"senders": ("SW-*",), "kinds": ("line",)}, True),
        ({"patterns": ("SHUT BY",)}, True),
        ({"patterns": ("shut by",), "kinds": ("change",)}, False),
        ({"patterns": ("shut by",), "kinds": ("member",)}, False),
        (
            {
                "patterns": (
                    "no such",
                    "shut by",
                )
            },
            True,
        ),
        ({"patterns": ("loss 0",), "fine": True}, True),
        ({"patterns": ("loss 0",), "fine": False}, False),
        ({"patterns": ("errors",), "before": True}, True),  # a second later: clocks differ
        ({"patterns": ("shut by",), "minutes": 2}, True),
    ],
)
def test_a_condition_holds_where_all_that_it_states_fits(stated, holds):
    found = Condition.model_validate(stated).found(BOTH, BOTH.members[0], fine=None)
    assert (found is not None) is holds


def test_what_is_required_is_not_what_was_found_fine():
    probe = Condition(patterns=("loss",))
    assert probe.found(BOTH, BOTH.members[0], fine=False) is None
    assert probe.found(BOTH, BOTH.members[0], fine=None)


def test_what_came_later_or_long_before_does_not_fulfil_it():
    question = question_of(Sample(members=(ONE,), context=("line sw-1: shut by x",)))
    [fact] = question.context

    def holds(condition: Condition, later: timedelta) -> bool:
        moved = fact.model_copy(update={"ts": question.incident.first_seen + later})
        moment = IncidentCase.of(question.model_copy(update={"context": (moved,)}))
        return condition.found(moment, moment.members[0], fine=None) is not None

    before = Condition(patterns=("shut",), before=True)
    assert holds(before, timedelta(seconds=-60))
    assert not holds(before, timedelta(seconds=60))
    recent = Condition(patterns=("shut",), minutes=5)
    assert holds(recent, timedelta(minutes=-4))
    assert not holds(recent, timedelta(minutes=-6))


def test_named_groups_are_what_was_found():
    shut = Condition(patterns=(r"shut by (?P<who>\w+)",))
    found = shut.found(BOTH, BOTH.members[0], fine=None)
    assert found and found.groups == {"who": "netadmin"}


@pytest.mark.parametrize(
    ("stated", "complaint"),
    [
        ({}, "a condition needs kinds, types, senders or patterns"),
        ({"on": "same"}, "a condition needs kinds"),
        ({"patterns": ("(",)}, "not a regular expression"),
        ({"patterns": ("(?P<colour>x)",)}, "unknown group colour"),
        ({"types": ("x",), "minutes": 0}, "greater than or equal to 1"),
        ({"types": ("x",), "colour": 1}, "Extra inputs"),
    ],
)
def test_a_condition_that_cannot_be_meant_is_refused(stated, complaint):
    with pytest.raises(ValidationError, match=complaint.replace("(", r"\(")):
        Condition.model_validate(stated)


def test_only_a_fact_of_the_same_object_fulfils_what_asks_for_it():
    disks = case("nas-1 kernel storage_error: error on sdc", context=("line nas-1: sda healthy",))
    healthy = Condition(patterns=(r"(?P<disk>sd\w) healthy",), same=("disk",))
    [member] = disks.members
    assert healthy.found(disks, member, fine=None, known={"disk": "sdc"}) is None
    assert healthy.found(disks, member, fine=None, known={"disk": "sda"})
    assert healthy.found(disks, member, fine=None) is None  # the rule did not see which


def test_several_asks_for_two_values():
    disks = case("nas-1 kernel storage_error: sdc lost", context=("line nas-1: sdc lost again",))
    lost = Condition(patterns=(r"(?P<disk>sd\w) lost",), several="disk")
    assert lost.found(disks, disks.members[0], fine=None) is None
    more = case("nas-1 kernel storage_error: sdc lost", context=("line nas-1: sdb lost",))
    assert lost.found(more, more.members[0], fine=None)


def test_what_was_true_before_it_does_not_speak_of_now():
    told = case(ONE, context=("line gps-2: fix 3D", "later line gps-3: fix 3D"))
    found = Condition(patterns=("fix 3D",), after=True).found(told, told.members[0], fine=None)
    assert found and [item.device for item in found.items] == ["gps-3"]


@pytest.mark.parametrize("stated", [{"same": ("disk",)}, {"several": "disk"}])
def test_a_group_that_no_pattern_has_is_refused(stated):
    with pytest.raises(ValidationError, match="has the group disk"):
        Condition.model_validate({"patterns": ("x",), **stated})
