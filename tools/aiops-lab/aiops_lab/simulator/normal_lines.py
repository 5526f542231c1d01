"""The lines of a normal day, of ``normal_lines.yaml``, by type of device."""

from __future__ import annotations

from collections.abc import Mapping

from aiops_lab.simulator.templates import LineTemplate, data_file, templates

HARMLESS_SHARE = 0.001  # of all normal lines

_TABLES = data_file("normal_lines.yaml")


def _by_type(tables: Mapping[str, str | list[str]]) -> dict[str, tuple[LineTemplate, ...]]:
    """A type with several tables says the lines of all of them."""
    return {kind: templates("".join(table)) for kind, table in tables.items()}


NORMAL: Mapping[str, tuple[LineTemplate, ...]] = _by_type(_TABLES["normal"])
CHATTY: Mapping[str, float] = _TABLES["chatty"]
HARMLESS_ERRORS: Mapping[str, tuple[LineTemplate, ...]] = _by_type(_TABLES["harmless"])
STRAY = templates(_TABLES["stray"])
