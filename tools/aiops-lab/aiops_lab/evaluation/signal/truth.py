"""What a person finds in a log by reading it: ``expected.yaml``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from aiops_core.policy.file import Section, read_model

EXPECTED = Path(__file__).with_name("expected.yaml")
NO_FAULT = "-"  # what a line shows that a person passes over
ANYWHERE = "*"


def _compiles(text: str) -> str:
    try:
        re.compile(text)
    except re.error as exc:
        raise ValueError(f"is no regular expression: {exc}") from exc
    return text


Text = Annotated[str, Field(min_length=1)]
Regex = Annotated[Text, AfterValidator(_compiles)]


class EvidentFault(Section):
    """One that everybody sees who reads the log. ``expected.yaml`` explains the keys."""

    id: Text
    what: Text
    when: Text
    lines: Regex
    times: Annotated[int, Field(ge=1)]
    devices: tuple[Text, ...] = (ANYWHERE,)
    each: bool = False
    says: Regex


class NoFault(Section):
    what: Text
    lines: Regex


class LogTruth(Section):
    faults: tuple[EvidentFault, ...]
    no_fault: tuple[NoFault, ...] = ()

    @model_validator(mode="after")
    def _different_ids(self) -> Self:
        ids = [fault.id for fault in self.faults]
        if len(set(ids)) < len(ids):
            raise ValueError("two faults have the same id")
        return self

    @cached_property
    def _regexes(self) -> Sequence[tuple[str, re.Pattern[str]]]:
        pairs = [(fault.id, fault.lines) for fault in self.faults]
        pairs += [(NO_FAULT, one.lines) for one in self.no_fault]
        return [(id_, re.compile(lines)) for id_, lines in pairs]

    def shows(self, line: str) -> frozenset[str]:
        """The ids of the faults that *line* shows; NO_FAULT for one that a person passes over."""
        return frozenset(id_ for id_, regex in self._regexes if regex.search(line))


class Expected(Section):
    """The truth about logs, by the names of their files."""

    logs: dict[str, LogTruth]

    @classmethod
    def load(cls, path: Path = EXPECTED) -> Self:
        """Raises Misconfigured with line and key of each mistake."""
        return read_model(path, cls)
