"""A failing detector costs no finding of another one, and its own only if it fails twice. Pure.

An exception in a detector is a bug, usually about one kind of entry. A retry of the whole entry
would be a duplicate for the detectors that have seen it, and their findings would be lost. So only
the failing one is called again, at once: a detector that raises has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

E = TypeVar("E")
T = TypeVar("T")

OnFailure = Callable[[str, Exception], None]  # gets the name of the detector


def raising(detector: str, exc: Exception) -> None:
    """For evaluations and tests, which must not hide a failure."""
    raise exc


def call_all(
    calls: Iterable[tuple[str, Callable[[E], Sequence[T]]]], argument: E, on_failure: OnFailure
) -> list[T]:
    """The joined results of *calls*, each with the name of its detector."""
    results: list[T] = []
    for name, call in calls:
        try:
            results += call(argument)
        except Exception as exc:  # noqa: BLE001 - see above; it is counted, logged and shown
            on_failure(name, exc)
            results += _again(call, argument)
    return results


def _again(call: Callable[[E], Sequence[T]], argument: E) -> Sequence[T]:
    try:
        return call(argument)
    except Exception:  # noqa: BLE001 - reported already
        return ()
