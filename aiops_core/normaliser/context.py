"""What is remembered of one sender, or of one file, from line to line. Pure."""

from __future__ import annotations

from dataclasses import dataclass

JSON, PLAIN = "json", "plain"  # formats beside those of the table


@dataclass(slots=True)
class SenderContext:
    """*format* read the newest line, and is tried first. Plain data, for snapshots."""

    format: str = ""
