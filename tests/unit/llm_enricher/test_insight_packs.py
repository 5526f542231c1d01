"""Files of packs -> rules in force, and what is said of a file with a mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from aiops_cli import app
from aiops_core.observability import metrics
from llm_enricher.policy import LlmPolicy
from llm_enricher.rules.book import RuleBook
from llm_enricher.rules.checks import examine
from llm_enricher.rules.packs import InsightPacks, load_insight_packs
from llm_enricher.rules.unused import tell_unused

POLICIES = Path(__file__).parents[3] / "policies"
LOST = "box-1 foo app/service_error: gizmo lost"


def rule(**fields: Any) -> dict[str, Any]:
    base = {
        "id": "gizmo",
        "types": ["service_error"],
        "patterns": ["gizmo lost"],
        "root_cause": "The gizmo of {device} is lost.",
        "impact": "It is missing.",
        "recommendations": ["Look for it.", "Ask who took it."],
        "confidence": 0.7,
        "positive": [LOST],
        "negative": ["box-1 foo app/service_error: gizmo found"],
    }
    return base | fields


def pack(*rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "gizmos", "title": "Gizmos", "rules": list(rules), **fields}


def write(folder: Path, stated: dict[str, Any], place: str = "insight/gizmos.yaml") -> InsightPacks:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(stated))
    return load_insight_packs(folder)


def complaints(packs: InsightPacks) -> list[str]:
    policy = LlmPolicy.load(POLICIES)
    book = RuleBook(packs.rules, packs.harmful, policy.rules)
    return [f"{mistake.file}: {mistake.text}" for mistake in examine(packs, book)]


def test_no_pack_of_ours_has_a_mistake():
    policy = LlmPolicy.load(POLICIES)
    assert list(examine(policy.packs, RuleBook.of(policy))) == []


def test_every_pack_of_ours_names_what_does_harm():
    for one in LlmPolicy.load(POLICIES).packs.read:
        assert one.pack.harmful, one.file


def test_a_folder_without_packs_has_none(tmp_path):
    assert load_insight_packs(tmp_path) == InsightPacks()


def test_a_right_pack_is_read(tmp_path):
    packs = write(tmp_path, pack(rule()))
    assert [named.name for named in packs.rules] == ["gizmos/gizmo"]
    assert complaints(packs) == []


@pytest.mark.parametrize(
    ("stated", "complaint"),
    [
        (pack(rule(root_cause="{devise} broke")), "unknown placeholder {devise}"),
        (pack(rule(patterns=["("])), "rules.0.patterns.0: not a regular expression"),
        (pack(rule(patterns=["(?P<colour>x)"])), "unknown group colour"),
        (pack(rule(), rule()), "ids are used twice: gizmo"),
        (pack(rule(types=[], patterns=[])), "a rule needs types or patterns"),
        (pack(rule(negative=[])), "a cause needs a negative sample"),
        (pack(rule(positive=[])), "rules.0.positive"),
        (pack(rule(positive=["nonsense"])), "write a member as"),
        (pack(rule(requires=["nobody-knows"])), "no fact is called nobody-knows"),
        (pack(rule(colour="x")), "rules.0.colour: Extra inputs"),
        (pack(rule(), id="other"), "the id other is not the name of the file"),
        (pack({"id": "gizmo", "enabled": False}), "only a site's own pack may say"),
        (
            pack(rule(), harmful=[{"never": "look for it", "because": "it bites"}]),
            "gizmo advises harm (it bites): Look for it.",
        ),
    ],
)
def test_a_pack_with_a_mistake_is_left_out_and_named(tmp_path, stated, complaint):
    packs = write(tmp_path, stated)
    assert packs.rules == ()
    [problem] = complaints(packs)
    assert problem.startswith("insight/gizmos.yaml: ")
    assert complaint in problem


def test_one_wrong_pack_leaves_the_others_in_force(tmp_path):
    write(tmp_path, pack(rule(types=3)))
    packs = write(tmp_path, pack(rule(), id="right"), "insight/right.yaml")
    assert [named.pack for named in packs.rules] == ["right"]


def test_a_sample_that_the_rules_judge_otherwise_is_named(tmp_path):
    packs = write(tmp_path, pack(rule(positive=["box-1 foo app/service_error: other words"])))
    assert complaints(packs) == [
        (
            "insight/gizmos.yaml: gizmo: a positive sample is explained by no rule:"
            " box-1 foo app/service_error: other words"
        )
    ]
    packs = write(tmp_path, pack(rule(negative=[LOST])))
    assert complaints(packs) == [
        f"insight/gizmos.yaml: gizmo: a negative sample is explained by it: {LOST}"
    ]


def test_an_unused_pack_is_told_of_while_the_others_go_on(tmp_path):
    packs = write(tmp_path, pack(rule(types=3)))
    counted, notes = metrics.PACKS_LEFT_OUT._value.get(), {}
    tell_unused(packs.left_out, notes)
    assert "rules.0.types" in notes["pack insight/gizmos.yaml"]
    assert metrics.PACKS_LEFT_OUT._value.get() == counted + 1


def test_named_facts_stand_for_conditions(tmp_path):
    dropped = {"patterns": ["dropped by"]}
    negative = {"members": [LOST], "context": ["line box-1: gizmo dropped by the cat"]}
    packs = write(
        tmp_path,
        pack(rule(unless=["dropped"], negative=[negative]), facts={"dropped": dropped}),
    )
    assert complaints(packs) == []


def test_a_site_replaces_and_removes_rules_of_ours(tmp_path):
    write(tmp_path, pack(rule(), rule(id="other", patterns=["other lost"])))
    packs = write(
        tmp_path,
        pack(rule(confidence=0.9), {"id": "other", "enabled": False}),
        "site/insight/gizmos.yaml",
    )
    [named] = packs.rules
    assert (named.name, named.rule.confidence) == ("gizmos/gizmo", 0.9)
    assert named.file == "site/insight/gizmos.yaml"


def test_what_a_site_forbids_is_added(tmp_path):
    ours = {"never": "burn it", "because": "smoke"}
    sites = {"never": "sink it", "because": "fish"}
    write(tmp_path, pack(rule(), harmful=[ours]))
    packs = write(tmp_path, pack(harmful=[sites]), "site/insight/gizmos.yaml")
    assert [one.because for one in packs.harmful["gizmos"]] == ["smoke", "fish"]


def test_policy_check_names_the_mistake_in_a_pack(tmp_path):
    (tmp_path / "llm.yaml").write_text((POLICIES / "llm.yaml").read_text())
    write(tmp_path, pack(rule(negative=[LOST])))
    words = ["policy", "check", "--policies", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, words)
    findings = {one["file"]: one["problem"] for one in json.loads(result.output)}
    assert "a negative sample is explained by it" in findings["insight/gizmos.yaml"]
    assert findings["llm.yaml"] is None
    assert result.exit_code == 2
