"""The folder of runbooks: ``policies/runbooks/*.md`` and the ship's own in
``policies/site/runbooks``, where one replaces ours of the same name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from aiops_core.errors import why
from llm_enricher.retrieval.markdown import Runbook, read_runbook

OURS, SITES = Path("runbooks"), Path("site", "runbooks")  # in the folder of the policies
LARGEST = 256 * 1024  # bytes of one file
MOST = 500  # files


class RunbookFolder(NamedTuple):
    """What was read; *left_out*: why a file, by its path, is not used."""

    runbooks: Mapping[str, Runbook]
    left_out: Mapping[str, str]


def read_folder(policies: Path) -> RunbookFolder:
    """All runbooks now. A file with a mistake is left out, the others are used."""
    runbooks: dict[str, Runbook] = {}
    left_out: dict[str, str] = {}
    for number, (name, path) in enumerate(_files(policies, left_out)):
        shown = os.fsencode(path.relative_to(policies)).decode(errors="replace")
        try:
            if number >= MOST:
                raise ValueError(f"there are more than {MOST} runbooks")
            name.encode()  # of a name in another encoding Python makes what cannot be written
            runbooks[name] = read_runbook(name, _text(path))
        except (OSError, ValueError) as exc:
            left_out[shown] = why(exc)
    return RunbookFolder(runbooks, left_out)


def _files(policies: Path, left_out: dict[str, str]) -> Iterator[tuple[str, Path]]:
    """Name and path of each, the site's last; hidden ones are editors'. A folder that cannot be
    listed is put into *left_out*."""
    for folder in (policies / OURS, policies / SITES):
        try:
            paths = sorted(folder.rglob("*.md"))
        except OSError as exc:
            left_out[str(folder.relative_to(policies))] = why(exc)
            continue
        for path in paths:
            if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                yield str(path.relative_to(folder).with_suffix("")), path


def _text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST // 1024} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise ValueError("it is not text in UTF-8") from exc
