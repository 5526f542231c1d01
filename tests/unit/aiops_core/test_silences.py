"""Matchers and silences: what people write -> what it means, and what is refused."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.models import AnomalyContext, Device
from aiops_core.suppression.labels import OWN, labels_of
from aiops_core.suppression.silences import Matcher, Op, Silence, decode
from incident_api.silences.models import too_broad
from tests.conftest import NOON
from tests.unit.correlation_service.test_correlation import anomaly

values = st.text(max_size=30)
names = st.sampled_from([*OWN, "tag", "site", "device_type", "label.rack"])
literal = st.builds(Matcher, name=names, op=st.sampled_from([Op.IS, Op.IS_NOT]), value=values)
quoted = st.builds(
    lambda name, op, value: Matcher(name=name, op=op, value=re.escape(value)),
    names,
    st.sampled_from([Op.LIKE, Op.UNLIKE]),
    st.text("abc-._9 ", max_size=20),
)
matchers = literal | quoted


def parsed(*texts):
    return tuple(Matcher.parse(text) for text in texts)


@given(matchers)
def test_what_is_written_is_read_again(matcher):
    assert Matcher.parse(str(matcher)) == matcher
    assert Matcher.parse(f"  {matcher}\t") == matcher


@given(matchers, st.dictionaries(names, st.lists(values, max_size=3).map(tuple)))
def test_a_negative_matcher_is_the_opposite_of_its_positive_one(matcher, labels):
    opposite = {
        Op.IS: Op.IS_NOT,
        Op.IS_NOT: Op.IS,
        Op.LIKE: Op.UNLIKE,
        Op.UNLIKE: Op.LIKE,
    }[matcher.op]
    other = Matcher(name=matcher.name, op=opposite, value=matcher.value)
    assert matcher.matches(labels) is not other.matches(labels)


@given(st.text("abc-._9 ", max_size=20), st.text("abc-._9 ", max_size=20))
def test_a_literal_expression_means_equality(value, other):
    like = Matcher(name="host", op=Op.LIKE, value=re.escape(value))
    equal = Matcher(name="host", op=Op.IS, value=value)
    assert like.matches({"host": (other,)}) is equal.matches({"host": (other,)})


@given(matchers)
def test_a_label_that_is_missing_is_empty(matcher):
    assert matcher.matches({}) is matcher.matches({matcher.name: ("",)})
    assert matcher.matches({matcher.name: ()}) is matcher.matches({})


@pytest.mark.parametrize(
    ("text", "matches", "does_not"),
    [
        ("device_id=sw-1", "sw-1", "sw-10"),
        ("device_id!=sw-1", "sw-2", "sw-1"),
        ("device_id=SW-1", "sw-1", "SW-10"),  # names of devices ignore case
        ("device_id!=SW-1", "sw-2", "sw-1"),
        ("device_id=~SW-.*", "sw-1", "ap-1"),
        ("host=SW-1", "sw-1", "sw-10"),
        ("service=Web", "Web", "web"),
        ("device_id=~sw-.*", "sw-1", "a-sw-1"),  # the whole value
        ("device_id=~sw", "sw", "sw-1"),
        ("device_id=~ap-d0[59]-0\\d", "ap-d05-02", "ap-d07-02"),
        ("device_id!~ap-.*", "sw-1", "ap-1"),
        ('device_id="~odd "', "~odd ", "odd"),
        ("device_id=", "", "sw-1"),
    ],
)
def test_the_four_operators(text, matches, does_not):
    [matcher] = parsed(text)
    assert matcher.matches({matcher.name: (matches,)})
    assert not matcher.matches({matcher.name: (does_not,)})


def test_of_several_tags_one_must_fit_and_for_a_negative_matcher_none():
    labels = {"tag": ("new", "rising")}
    wanted = [m.matches(labels) for m in parsed("tag=new", "tag=noise", "tag!=new", "tag!~n.*")]
    assert wanted == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("device", "is no matcher"),
        ("=sw-1", "is no matcher"),
        ("devise=sw-1", "there is no label devise; there are anomaly_type"),
        ("label.=x", "there is no label"),
        ("device_id=~[", "is no regular expression"),
        (f"device_id={'x' * 256}", "longer than 255"),
        ("device_id=~(a+)+", "could take too long"),
        ("device_id=~(a|a)*b", "could take too long"),
        ("device_id=~(a{1,9}){1,9}", "could take too long"),
        ("device_id=~.*a.*b.*c.*d", "could take too long"),
        ("device_id=~" + "a?" * 20, "could take too long"),
        ("device_id=~(x)\\1", "no references"),
        ("device_id=~(?=x).*", "only ( ) and"),
        ("device_id=~(?i)sw", "only ( ) and"),
    ],
)
def test_a_mistake_in_a_matcher_is_named(text, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Matcher.parse(text)


def test_a_star_that_is_no_repeat_is_allowed():
    texts = (
        r"device_id=~a\*b\*c\*d\*",
        "device_id=~[*+{?]x",
        "device_id=~sw-(1|2)",
        "device_id=~(?:a|b)c?",
    )
    assert len(parsed(*texts)) == 4


@pytest.mark.parametrize("text", ["device_id=~.*.*.*x", "host=~a?a?a?a*a*a*x"])
def test_the_slowest_expressions_that_are_allowed_come_to_an_end(text):
    [matcher] = parsed(text)
    assert not matcher.matches({matcher.name: ("a" * 5000,)})


@pytest.mark.parametrize(
    "texts",
    [
        ("device_id=",),
        ("device_id!=sw-1",),
        ("device_id!~sw-.*", "service!=app"),
        ("device_id=~.*",),
        ("device_id=~.+",),
        ("device_id=~.*|x", "severity!=low"),
        ("device_id=~(?:.|.+)",),
        ("tag!=maintenance", "device_id=~sw-.*|"),
    ],
)
def test_what_would_hide_nearly_everything_is_refused(texts):
    assert "nearly everything" in too_broad(parsed(*texts), ())


def test_some_labels_are_not_enough_alone():
    assert too_broad(parsed("domain=net", "severity=low"), ["domain", "severity"]) == (
        "domain, severity alone is too broad; add a device_id or an anomaly_type, for example"
    )
    assert too_broad(parsed("domain=net", "device_id=sw-1"), ["domain", "severity"]) is None
    assert too_broad(parsed("anomaly_type=~link_.*"), ["domain", "severity"]) is None


def silence(*texts, id="s1", start=0, end=60, **fields):
    now = {"created_at": NOON, "updated_at": NOON}
    given = {
        "id": id,
        "matchers": parsed(*(texts or ("device_id=sw-1",))),
        "created_by": "eto",
        "comment": "cable works",
        "starts_at": NOON + timedelta(minutes=start),
        "ends_at": NOON + timedelta(minutes=end),
        "updated_by": "eto",
    }
    return Silence.model_validate(given | now | fields)


def test_a_silence_is_pending_then_active_then_over():
    one = silence(start=1, end=2)
    moments = (0, 1, 1.5, 2, 3)
    states = [one.state_at(NOON + timedelta(minutes=minute)) for minute in moments]
    assert states == ["pending", "active", "active", "expired", "expired"]


def test_a_silence_must_end_after_it_starts():
    with pytest.raises(ValueError, match="ends after it starts"):
        silence(start=2, end=1)


def test_all_matchers_must_hold():
    one = silence("device_id=sw-1", "anomaly_type=~link_.*")
    known = {"device_id": ("sw-1",), "anomaly_type": ("link_down",)}
    assert one.matches(known)
    assert not one.matches(known | {"device_id": ("sw-2",)})
    assert not one.matches(known | {"anomaly_type": ("disk_full",)})


def test_the_labels_of_an_anomaly_are_its_own_its_tags_and_those_of_its_device():
    device = Device(id="sw-1", type="switch", site="deck 5", labels={"rack": "r7"})
    found = labels_of(
        anomaly(1, "sw-1", "link_down", context=AnomalyContext(device=device), tags=("new",))
    )
    wanted = (
        "device_id=sw-1",
        "host=sw-1",
        "anomaly_type=link_down",
        "domain=app",
        "severity=medium",
        "ship_id=s1",
        "service=app",
        "detector=pattern",
        "template_id=",
        "metric=",
        "tag=new",
        "site=deck 5",
        "device_type=switch",
        "label.rack=r7",
    )
    assert [str(m) for m in parsed(*wanted) if not m.matches(found)] == []


def test_a_bucket_gives_its_silences_and_says_which_values_are_none():
    first, second = silence(id="b"), silence(id="a", start=1)
    stored = {one.id: one.model_dump_json().encode() for one in (second, first)}
    found, wrong = decode(stored | {"c": b"{}", "d": b"\xff"})
    assert found == [first, second]
    assert sorted(wrong) == ["c", "d"]
