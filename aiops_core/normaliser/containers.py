"""Lines of container runtimes: what a container writes, within the runtime's own line. Pure.

Docker's json-file, the CRI's text and collectors' JSON state the time, the stream and the container
of a line that a program wrote; ``app_payloads`` then reads the program's own format.
"""

from __future__ import annotations

from aiops_core.normaliser.app_format import ALPHABET, MSG, row
from aiops_core.normaliser.line_format import DIGITS

STREAM = "log.iostream"  # the label that a container's line has

ALL = (
    row(
        "cri",
        rf"""(?P<time>\d{{4}}-\d\d-\d\dT[\d:.]{{8,18}}(?:Z|[+-]\d\d:\d\d))
        \ (?P<stream>stdout|stderr)\ (?P<partial>[PF](?::\S*)?)\ {MSG}""",
        starts=DIGITS,
        has=" std",
    ),
    row(  # docker compose logs
        "compose",
        rf"(?P<container>[a-z0-9][\w.-]{{1,60}}[-_]\d{{1,3}})\s+\|\ {MSG}",
        iso=False,
        starts=ALPHABET + DIGITS,
        has="| ",
    ),
)
FIRST = tuple(one for one in ALL if one.name == "cri")
FORMATS = tuple(one for one in ALL if one.name != "cri")
