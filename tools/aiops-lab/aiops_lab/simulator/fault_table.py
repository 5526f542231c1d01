"""The faults of ``faults.yaml``, which explains its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from aiops_core.models import Domain, Severity
from aiops_lab.simulator.templates import LineTemplate, data_file, templates

ANY = "*"  # types of dependants that are not named

Number = int | float  # as written: 16 stays 16
Lines = Annotated[tuple[LineTemplate, ...], BeforeValidator(templates)]
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True, config=_STRICT)
class Effect:
    """What a fault does to one device."""

    opening: Lines = ()
    worse: Lines = ()
    ongoing: Lines = ()
    recovery: Lines = ()
    peaks: Mapping[str, Number] = field(default_factory=dict)
    every: Number = 2.5
    worse_at: Number = 0.5


@dataclass(frozen=True, slots=True, config=_STRICT)
class FaultSpec:
    """A fault by name; *device* is its root by default, *roots* are the types that can have it."""

    name: str
    title: str
    domain: Domain
    severity: Severity
    device: str
    roots: frozenset[str]
    duration: Number
    root: Effect
    downstream: Mapping[str, Effect] = field(default_factory=dict)
    ramp: Number = 0.1
    dark: bool = False
    cycles: int = 1


def _load(faults: Mapping[str, Mapping[str, Any]]) -> dict[str, FaultSpec]:
    parse = TypeAdapter(FaultSpec).validate_python
    return {name: parse({"name": name, **fields}) for name, fields in faults.items()}


FAULTS: Mapping[str, FaultSpec] = _load(data_file("faults.yaml")["faults"])
