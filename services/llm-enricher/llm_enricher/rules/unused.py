"""Packs that are not used, told to whoever runs the ship: in ``/ready``, a metric and the log."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

import llm_enricher
from aiops_core.observability import metrics
from aiops_core.utils import StructuredLogger
from llm_enricher.rules.packs import UnusedPack

SHOWN = 300  # characters of a problem

log = StructuredLogger.get_logger(
    name="packs", service=llm_enricher.NAME, version=llm_enricher.__version__
)


def tell_unused(packs: Iterable[UnusedPack], notes: MutableMapping[str, str]) -> None:
    """The other packs go on; *notes* are those of readiness."""
    for pack in packs:
        metrics.PACKS_LEFT_OUT.inc()
        notes[f"pack {pack.file}"] = f"left out: {pack.problem[:SHOWN]}"
        log.error("a pack was left out", pack=pack.file, problem=pack.problem[:SHOWN])
