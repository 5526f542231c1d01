"""Failures in tests: a call of a Python function raises once, at whatever place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import CO_GENERATOR


class BrokenError(Exception):
    """What an injected failure raises."""


@contextmanager
def failing(at: int, package: str, spared: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """The *at*-th call of a function of *package* raises; yields the name of the one that has.

    Generators are left out: one is called as well when it is thrown away.
    """
    left, hit = at, list[str]()

    def watch(frame, event, _arg):
        nonlocal left
        code = frame.f_code
        if event != "call" or f"/{package}/" not in code.co_filename or hit:
            return
        if "/tests/" in code.co_filename or code.co_flags & CO_GENERATOR:
            return
        if spared.intersection(code.co_qualname.split(".")):
            return
        if left == 0:
            hit.append(code.co_qualname)
            raise BrokenError(code.co_qualname)
        left -= 1

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield hit
    finally:
        sys.setprofile(before)
