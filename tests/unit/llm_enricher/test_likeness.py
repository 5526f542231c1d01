"""Which faults share an answer of the model, and whose names it then says."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiops_core.errors import Unavailable
from aiops_core.models import Citation, LlmInsights, RootCause
from llm_enricher.answering import cache as cache_module
from llm_enricher.answering.cache import AnswerCache, KeptAnswer
from llm_enricher.answering.current import created as known
from llm_enricher.answering.likeness import Names, kept_of, key_of, used_of
from llm_enricher.answering.policy import CachePolicy
from llm_enricher.question import ContextFact, Document, Question
from tests.incident_cases import at, created, evidence

NEWEST = "a-of-{}"


def question(
    device="sw-1", peer="10.0.0.7", part="Gi1/0/3", n=1, context=(), documents=(), **fields
):
    """A fault of *device*; the line names its part and the other side."""
    given = {
        "msg": f"{device}: {part} towards {peer} down, process 48213",
        "template_id": "t1",
        "component": part,
        "peer": peer,
        "device_id": device,
        "host": device,
        "anomaly_id": NEWEST.format(device),
    }
    member = evidence(n, **given | fields)
    root = RootCause(device=device, service="switchd", anomaly=member.anomaly_id, confidence=0.8)
    incident = created(f"i-{device}", n, evidence=(member,), root_cause=root)
    return Question(
        incident=incident, kinds=known(incident).kinds, context=context, documents=documents
    )


def key(asked: Question, identity: str = "m/1", redact=str) -> str:
    return key_of(asked, identity, redact)


def insights(text: str, **fields) -> LlmInsights:
    given = {"root_cause": text, "source": "llm", "model": "m", "narrative": text}
    return LlmInsights.model_validate(given | fields)


def test_faults_that_differ_in_names_alone_are_alike():
    other = question("sw-22", "10.9.8.7", "Gi7/0/12", n=44)
    assert key(question()) == key(other)
    told = insights(
        "Gi1/0/3 of sw-1 has lost 10.0.0.7.",
        recommendations=("Look at Gi1/0/3 of sw-1.",),
        citations=(Citation(kind="evidence", id=NEWEST.format("sw-1")),),
    )
    kept = kept_of(question(), told, str)
    assert kept and "sw-1" not in kept.model_dump_json()
    used = used_of(other, kept)
    assert used.root_cause == "Gi7/0/12 of sw-22 has lost 10.9.8.7."
    assert used.recommendations == ("Look at Gi7/0/12 of sw-22.",)
    assert used.citations[0].id == NEWEST.format("sw-22")
    assert (used.source, used.model) == ("cache", "m")


LINE = ContextFact(id="line:1", kind="line", ts=at(0), device="sw-1", text="link probe: 0 % loss")
PAGE = Document(kind="runbook", id="switch#2", title="Switch", text="Look.", score=0.8)


@pytest.mark.parametrize(
    "other",
    [
        question(anomaly_type="dns_failure"),
        question(severity="critical"),
        question(service="dhcpd"),
        question(template_id="t2"),
        question(metric="loss", msg="loss is 12 %"),
        question("ap-1"),  # another kind of object
        question(part=""),
        question(msg="sw-1: Gi1/0/3 towards 10.0.0.7 flaps, process 48213"),
        question(context=(LINE,)),
        question(context=(LINE.but(fine=True),)),
        question(context=(LINE.but(text="link probe: 40 % loss"),)),
        question(documents=(PAGE,)),
        question(documents=(PAGE.but(text="Look twice."),)),
        question().but(missing=("context: away",)),
        question().but(incident=question().incident.but(severity="low")),
        question().but(incident=question().incident.but(root_cause=None)),
    ],
)
def test_faults_that_differ_in_anything_else_are_not(other):
    assert key(question()) != key(other)


def test_another_model_or_prompt_explains_otherwise():
    assert key(question(), "m/1") != key(question(), "m/2")


def test_long_numbers_of_a_line_do_not_matter_unless_the_answer_quotes_one():
    other = question(msg="sw-1: Gi1/0/3 towards 10.0.0.7 down, process 777123")
    assert key(question()) == key(other)
    assert kept_of(question(), insights("Process 48213 fell."), str) is None
    assert kept_of(question(), insights("It needs version 17.9.4."), str)


def test_long_numbers_of_a_line_around_it_do_not_matter_either():
    one, other = (question(context=(LINE.but(text=f"sshd {pid} died"),)) for pid in (4711, 9288))
    assert key(one) == key(other)
    assert kept_of(one, insights("Process 4711 died."), str) is None


def test_readings_around_it_and_what_a_document_shows_matter():
    low, high = (LINE.but(kind="reading", text=f"rpm is {rpm}") for rpm in (1200, 1800))
    assert key(question(context=(low,))) != key(question(context=(high,)))
    assert kept_of(question(context=(low,)), insights("It turns at 1200."), str)
    others = (PAGE.but(title="Router"), PAGE.but(resolution="restarted"))
    assert len({key(question(documents=(page,))) for page in (PAGE, *others)}) == 3


async def test_while_the_model_is_not_known_nothing_is_found_or_kept():
    known = [""]
    cache = AnswerCache(CachePolicy(), lambda: known[0])
    await cache.keep(question(), insights("down"))
    known[0] = "m/1"
    assert await cache.find(question(), 1.0) is None
    await cache.keep(question(), insights("down"))
    assert await cache.find(question(), 1.0)
    known[0] = "m/2"  # another digest or other options
    assert await cache.find(question(), 1.0) is None


@pytest.mark.parametrize("text", ["down since 04:02", "down since 2026-11-30", "5 are down"])
def test_an_answer_that_says_when_or_how_many_is_of_this_fault_alone(text):
    five = question()
    five = five.but(incident=five.incident.but(anomaly_count=5))
    assert kept_of(five, insights(text), str) is None
    told = insights("A port is down.", narrative=text)
    assert kept_of(five, told, str).narrative == ""


def test_readings_are_alike_only_when_they_are_equal():
    low = question(metric="volts", msg="volts is 10600", template_id="")
    high = question(metric="volts", msg="volts is 13800", template_id="")
    assert key(low) != key(high)


def test_an_answer_that_cites_what_is_nowhere_else_is_not_kept():
    cited = insights("x", citations=(Citation(kind="evidence", id="elsewhere"),))
    assert kept_of(question(), cited, str) is None


def test_what_is_personal_leaves_for_no_cache():
    def redact(text: str) -> str:
        return text.replace("maria", "[user#1]")

    assert kept_of(question(), insights("maria locked the account"), redact) is None
    told = kept_of(question(), insights("Locked.", narrative="maria locked it."), redact)
    assert told and told.narrative == ""
    assert key(question(msg="no login for maria"), redact=redact) == key(
        question(msg="no login for [user#1]"), redact=redact
    )


def test_what_one_answer_lacked_is_not_said_of_the_next():
    away = insights("down", missing=("context: away",))
    assert kept_of(question(), away, str).missing == ()


def test_a_name_that_is_personal_too_comes_back_from_the_incident_and_not_from_the_cache():
    def redact(text: str) -> str:
        return text.replace("10.0.0.7", "[address]").replace("10.9.8.7", "[address]")

    one, other = question(), question("sw-2", "10.9.8.7", "Gi1/0/4")
    assert key(one, redact=redact) == key(other, redact=redact)
    kept = kept_of(one, insights("10.0.0.7 is gone"), redact)
    assert used_of(other, kept).root_cause == "10.9.8.7 is gone"


names = st.sampled_from(["sw-1", "sw-11", "sw-1-b", "core", "10.0.0.7", "10.0.0.71", "Gi1/0/3"])


@given(names, names, names, names, names, names)
def test_no_name_of_one_fault_is_ever_said_of_another(d1, p1, c1, d2, p2, c2):
    one, other = question(d1, p1, c1), question(d2, p2, c2)
    told = insights(f"{c1} of {d1} has lost {p1}; {d1}.")
    kept = kept_of(one, told, str)
    assert kept
    if key(one) == key(other) and (used := used_of(other, kept)):
        foreign = {d1, p1, c1} - {d2, p2, c2}
        said = set(used.root_cause.replace(";", " ").rstrip(".").split())
        assert not foreign & said
    assert used_of(one, kept).root_cause == told.root_cause


def test_a_name_is_none_within_a_longer_word():
    hidden = Names({"sw-1": "{{device 1}}"}).hidden("sw-1 sw-11 xsw-1 sw-1-b sw-1.")
    assert hidden == "{{device 1}} sw-11 xsw-1 sw-1-b {{device 1}}."


# -- in memory, then in the table ------------------------------------------------------------------


class PlainTable:
    def __init__(self, problem=None):
        self.rows: dict[str, KeptAnswer] = {}
        self.problem, self.asked = problem, 0

    async def find(self, key):
        self.asked += 1
        if self.problem:
            raise self.problem
        return self.rows.get(key)

    async def keep(self, key, answer):
        if self.problem:
            raise self.problem
        self.rows[key] = answer


def kept_in(table=None, **policy) -> AnswerCache:
    return AnswerCache(CachePolicy(**policy), lambda: "m/1", table=table)


async def test_what_one_process_kept_the_next_one_finds():
    table = PlainTable()
    await kept_in(table).keep(question(), insights("sw-1 is down"))
    again = kept_in(table)
    for _ in range(2):
        found = await again.find(question("sw-2", "10.0.0.9", "Gi2/0/1"), 1.0)
        assert found and found.root_cause == "sw-2 is down"
    assert table.asked == 1  # then it is in memory


async def test_an_answer_is_used_no_longer_than_the_policy_says(monkeypatch):
    cache = kept_in(PlainTable())
    await cache.keep(question(), insights("sw-1 is down"))
    now = cache_module.utc_now()
    for minutes, used in ((44, True), (46, False)):
        monkeypatch.setattr(cache_module, "utc_now", lambda m=minutes: now + timedelta(minutes=m))
        assert (await cache.find(question(), 1.0) is not None) is used


async def test_a_table_that_is_away_is_left_alone_and_memory_serves():
    table = PlainTable(Unavailable("clickhouse: away"))
    cache = kept_in(table)
    await cache.keep(question(), insights("sw-1 is down"))
    assert await cache.find(question(), 1.0)
    for n in range(9):
        assert await cache.find(question(n=n, template_id="other"), 1.0) is None
    assert table.asked == 0


async def test_a_try_that_is_cancelled_shuts_the_table_out_for_no_longer(monkeypatch):
    table = PlainTable(Unavailable("away"))
    cache = kept_in(table)
    assert await cache.find(question(), 1.0) is None
    now = cache_module.time.monotonic() + cache_module.AWAY_FOR
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: now)
    with monkeypatch.context() as hung:
        hung.setattr(table, "find", lambda key: asyncio.sleep(3600))
        trying = asyncio.ensure_future(cache.find(question(), 60.0))
        await asyncio.sleep(0)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
    asked = table.asked
    await cache.find(question(), 1.0)
    assert table.asked == asked + 1


async def test_memory_is_bounded():
    cache = kept_in(kept=2)
    for n in range(4):
        await cache.keep(question(template_id=f"t{n}"), insights("down"))
    found = [await cache.find(question(template_id=f"t{n}"), 1.0) for n in range(4)]
    assert [one is not None for one in found] == [False, False, True, True]
