"""Section ``templates`` of ``policies/detect.yaml``: what is learned from log lines, and when to tell."""

from __future__ import annotations

from pydantic import Field

from aiops_core.models import Fraction
from aiops_core.policy.file import Section
from anomaly_detection.judgement import Judgement, Positive


class New(Judgement):
    """A line like no other before, of a device that is known for *warm_up*; *most_per_day* of each."""

    warm_up: Positive
    most_per_day: int = Field(ge=1, le=100)


class Excess(Judgement):
    """More lines in a window than *least*, and *factor* times more than ever of late."""

    least: int = Field(ge=2)
    factor: float = Field(gt=1)


class Rate(Excess):
    """The same of one template; *window* and *warm_up* hold for all counts."""

    window: Positive
    warm_up: Positive


class Drop(Judgement):
    """None of the lines of which a window usually has *least* or more, for *windows* in a row."""

    least: int = Field(ge=2)
    windows: int = Field(ge=2)


class Mix(Judgement):
    """A *share* of the lines of a *window* are other ones than usual, *factor* times more than ever
    of late; judged from *least* lines on."""

    window: Positive
    warm_up: Positive
    least: int = Field(ge=10)
    share: Fraction
    factor: float = Field(gt=1)


class Silence(Judgement):
    """A device that has spoken *lines* over *warm_up* says nothing for *least*, and for *factor* times
    its longest pause so far, while others speak."""

    warm_up: Positive
    lines: int = Field(ge=2)
    least: Positive
    factor: float = Field(gt=1)


class Templates(Section):
    """*kept*: groups of like lines of one ship; the longest unused are forgotten."""

    kept: int = Field(ge=16, le=100_000)
    new: New
    rate: Rate
    drop: Drop
    errors: Excess
    mix: Mix
    silence: Silence
