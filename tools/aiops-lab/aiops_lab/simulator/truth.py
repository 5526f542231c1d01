"""What really happened: the answer sheet by which detection and correlation are scored.

``truth.jsonl`` (written by ``voyage.recorded``) holds one JSON object a line, told apart by
``record``:

* ``run``: once, first: ``scenario``, ``seed``, ``ship_id``, ``run_id``, ``start`` (ISO time of
  offset 0), ``duration`` (s).
* ``episode``: one for each fault, before its lines: ``id``, ``fault``, ``title``,
  ``root_device``, ``affected`` (device ids, root first), ``start``, ``healed`` and ``end`` (s
  from the start of the run: onset, cause gone, last recovery), ``domain``, ``severity`` (what a
  watch officer would give it) and ``lines`` (log lines of the episode).
* ``line``: one for each event that is not a normal one: ``tracking_id``, ``episode`` (null for
  noise), ``role``, ``root_device``, ``device``, ``offset`` (s), ``kind`` (``log`` or ``metric``).

Roles: ``cause`` and ``symptom`` should become an anomaly and end in the episode's incident;
``drift`` is a reading that the fault moved but that is still inside its limit, and ``recovery``
says that all is well again: neither must become an incident of its own. ``noise`` is an error
that means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aiops_core.models import Domain, Severity


class TruthRole(StrEnum):
    CAUSE = "cause"  # on the root device
    SYMPTOM = "symptom"  # on a device downstream of it
    DRIFT = "drift"  # moved by the fault, still inside the limit
    RECOVERY = "recovery"  # good news
    NOISE = "noise"  # an error line that belongs to no fault


@dataclass(frozen=True, slots=True)
class Truth:
    """Why one event is not normal."""

    role: TruthRole
    episode: str | None = None
    root: str | None = None


NOISE = Truth(TruthRole.NOISE)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One fault from onset to the last recovery; offsets in seconds from the start of the run."""

    id: str
    fault: str
    title: str
    root_device: str
    affected: tuple[str, ...]
    start: float
    healed: float
    end: float
    domain: Domain
    severity: Severity
    lines: int
