"""The section ``model`` of ``policies/llm.yaml``: what it refuses, and the defaults it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from aiops_core.errors import Misconfigured
from llm_enricher.policy import LlmPolicy
from tests.model_cases import POLICIES, POLICY

PACKS = sorted((POLICIES / "packs").glob("*.yaml"))


def test_it_is_as_small_as_two_cores_need():
    assert POLICY.name == "phi3:mini"
    assert (POLICY.limits.prompt_tokens, POLICY.limits.answer_tokens) == (300, 120)
    assert (POLICY.limits.first_token, POLICY.limits.whole_answer) == (10, 60)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda m: m["limits"].update(first_token=90), "first_token is longer than whole_answer"),
        (lambda m: m["limits"].update(prompt_tokens=10), "model.limits.prompt_tokens"),
        (lambda m: m["verification"].update(steering=["("]), "is no regular expression"),
        (lambda m: m["acceptance"].update(slow_severities=["bad"]), "slow_severities"),
        (lambda m: m["confidence"].update(complete=2), "model.confidence.complete"),
        (lambda m: m.update(nmae="x"), "model.nmae: Extra inputs"),
        (lambda m: m.pop("verification"), "model.verification: Field required"),
    ],
)
def test_a_mistake_is_named(tmp_path, change, complaint):
    policy = yaml.safe_load((POLICIES / "llm.yaml").read_text())
    change(policy["model"])
    (tmp_path / "llm.yaml").write_text(yaml.safe_dump(policy))
    with pytest.raises(Misconfigured) as refused:
        LlmPolicy.load(tmp_path)
    assert complaint in str(refused.value)


def samples(value: Any, key: str = "") -> Iterator[str]:
    """Lines of devices in a pack: what it raises, what it does not, what is normal."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from samples(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from samples(inner, key)
    elif key in ("positive", "negative", "normal"):
        yield str(value)


def test_no_line_of_a_device_is_taken_for_an_order():
    lines = [
        line for pack in PACKS for line in samples(yaml.load(pack.read_text(), yaml.CSafeLoader))
    ]
    assert len(lines) > 5000
    assert not [line for line in lines if POLICY.verification.steers(line)]
