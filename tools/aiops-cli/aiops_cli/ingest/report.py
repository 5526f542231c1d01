"""The output of ``aiops replay``: progress, summary, refused lines and the exit code."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from aiops_cli.ingest.files import size
from aiops_cli.ingest.lines import IngestMessage
from aiops_cli.ingest.replay import Progress as OnProgress
from aiops_cli.ingest.replay import ReplaySummary
from aiops_core.models import LogEntry

OK, SOME_REFUSED, NOTHING_READ, INTERRUPTED = 0, 1, 2, 130
PLAIN_EVERY = 2.0  # seconds between progress lines without a terminal


def exit_code(summary: ReplaySummary) -> int:
    nothing = summary.sent + summary.repeated == 0
    if summary.problem or (nothing and not summary.interrupted):
        return NOTHING_READ
    if summary.interrupted:
        return INTERRUPTED
    return SOME_REFUSED if summary.refused_total else OK


def as_json(summary: ReplaySummary) -> str:
    fields = {
        "read": summary.read,
        "sent": summary.sent,
        "messages": summary.messages,
        "repeated": summary.repeated,
        "refused": summary.refused_total,
        "skipped": summary.skipped,
        "unconfirmed": summary.unconfirmed,
        "seconds": round(summary.seconds, 3),
        "interrupted": summary.interrupted,
        "problem": summary.problem,
        "refusals": [{"file": r.file, "line": r.line, "reason": r.reason} for r in summary.refused],
    }
    return json.dumps(fields)


def table(summary: ReplaySummary) -> Table:
    rows = {
        "read": summary.read,
        "sent": summary.sent,
        "refused": summary.refused_total,
        "skipped (nothing to send)": summary.skipped,
        "sent before (--again sends them)": summary.repeated,
        "unconfirmed": summary.unconfirmed,
    }
    if summary.messages != summary.sent:
        rows["messages of these"] = summary.messages
    shown = Table(title="interrupted" if summary.interrupted else None, show_header=False)
    for name, lines in rows.items():
        if lines or name in ("read", "sent", "refused"):
            shown.add_row(name, f"{lines:,}")
    shown.add_row("seconds", f"{summary.seconds:.1f}")
    shown.add_row("lines/s", f"{summary.sent / max(summary.seconds, 1e-3):,.0f}")
    return shown


def refusals(summary: ReplaySummary, err: Console) -> None:
    """``file:line: reason``, which editors understand."""
    for refusal in summary.refused:
        plain(err, str(refusal))
    if more := summary.refused_total - len(summary.refused):
        plain(err, f"... and {more:,} more refused lines")
    if summary.problem:
        plain(err, f"replay: stopped: {summary.problem}")


def entry_line(entry: IngestMessage) -> str:
    """A message as one line for a person."""
    text = entry.msg if isinstance(entry, LogEntry) else f"{entry.metric}={entry.value:.7g}"
    level = entry.level.value if isinstance(entry, LogEntry) else "metric"
    return f"{entry.ts:%Y-%m-%d %H:%M:%S} {level:8} {entry.host} {entry.service}: {text}"


@dataclass
class DryRun:
    """A sink that shows messages instead of sending them: as lines for a person, or as JSON."""

    out: Console
    as_json: bool = False

    async def send(
        self, entries: Sequence[IngestMessage], raw: Sequence[str] | None = None
    ) -> None:
        shown = (e.model_dump_json() if self.as_json else entry_line(e) for e in entries)
        plain(self.out, "\n".join(shown))

    async def known(self, entries: Sequence[IngestMessage]) -> Sequence[str]:
        return ()


@contextlib.contextmanager
def progress(files: Sequence[Path], err: Console, *, quiet: bool) -> Iterator[OnProgress]:
    """Progress on *err*: a bar on a terminal, otherwise a line every PLAIN_EVERY."""
    if quiet:
        yield lambda summary: None
    elif err.is_terminal:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[sent]:,} lines"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("replay", total=size(files), sent=0)
            yield lambda s: bar.update(task, completed=s.characters, sent=s.sent)
    else:
        yield _PlainProgress(err)


@dataclass
class _PlainProgress:
    err: Console
    shown: float = field(default_factory=time.monotonic)

    def __call__(self, summary: ReplaySummary) -> None:
        if time.monotonic() - self.shown >= PLAIN_EVERY:
            self.shown = time.monotonic()
            plain(self.err, f"replay: {summary.sent:,} lines sent, {summary.read:,} read")


def plain(console: Console, text: str) -> None:
    """Print text from elsewhere: not taken for markup, not wrapped, not coloured."""
    console.print(text, markup=False, highlight=False, soft_wrap=True, emoji=False)
