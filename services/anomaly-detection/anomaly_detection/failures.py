"""What one detector raises costs no other one's findings, and not its own if it does not raise again. Pure.

An exception in a detector is a bug, mostly about one kind of entry. Were the entry tried again as a whole,
the detectors that had seen it would take it for a repetition, and what they found would be lost. So
each is asked again by itself, at once: it has changed nothing when it raises. If it raises again, the
others' findings are told without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

E = TypeVar("E")
T = TypeVar("T")

Failed = Callable[[str, Exception], None]  # is told of every failure: whose, and what was raised


def raising(who: str, exc: Exception) -> None:
    """For evaluations and tests: there a failure must be seen."""
    raise exc


def asked(
    detectors: Iterable[tuple[str, Callable[[E], Sequence[T]]]], about: E, failed: Failed
) -> list[T]:
    """The findings of all *detectors*, each with its name."""
    found: list[T] = []
    for name, ask in detectors:
        try:
            found += ask(about)
        except Exception as exc:  # noqa: BLE001 - see above; it is counted, logged and shown
            found += _again(name, ask, about, failed, exc)
    return found


def _again(
    name: str, ask: Callable[[E], Sequence[T]], about: E, failed: Failed, exc: Exception
) -> Sequence[T]:
    failed(name, exc)
    try:
        return ask(about)
    except Exception:  # noqa: BLE001 - told of already
        return ()
