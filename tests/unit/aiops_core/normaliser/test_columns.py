"""Plain formats that nobody described: their columns are learned from some lines."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import TypeAdapter

from aiops_core.models import Level
from aiops_core.normaliser import columns
from aiops_core.normaliser.context import COLUMNS, SenderContext
from aiops_core.normaliser.normaliser import learn, normalise
from tests.conftest import ROOT

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
THEN = datetime(2026, 11, 29, 11, 10, 15, 606_000, tzinfo=UTC)
WORDS = ("INFO", "WARNING", "ERROR", "FATAL", "DEBUG")
LEVELS = (Level.INFO, Level.WARNING, Level.ERROR, Level.CRITICAL, Level.DEBUG)


def written(form: str, count: int = 100) -> list[str]:
    """Lines of a *form*, a second apart."""
    lines = []
    for n in range(count):
        when = THEN + timedelta(seconds=n)
        kind = (0, 0, 1, 0, 2, 3, 4)[n % 7]
        lines.append(
            form.format(
                t=when,
                n=n,
                epoch=int(when.timestamp()),
                ms=when.microsecond // 1000,
                word=WORDS[kind],
                low=WORDS[kind].lower(),
                letter="IWEFD"[kind],
                short=("inf", "wrn", "err", "ftl", "dbg")[kind],
                number=(6, 4, 3, 2, 7)[kind],
                node=f"R0{n % 3}-M1-N{n % 4}-C:J12-U11",
                host=f"gw-{n % 3}",
                part=("Poller", "ModbusReader", "Store")[n % 3],
                text=f"unit {n} answered in {n * 7 % 50} ms",
            )
        )
    return lines


# form, what is known of the host and of the component
FORMS = {
    "BGL": (
        "- {epoch} {t:%Y.%m.%d} {node} {t:%Y-%m-%d-%H.%M.%S.%f} {node} RAS KERNEL {word} {text}",
        *("R00-M1-N0-C:J12-U11", "KERNEL"),
    ),
    "pipes": ("{t:%Y%m%d-%H:%M:%S}:{ms:03}|{part}|{letter}|30002312|{text}", None, "Poller"),
    "HDFS": ("{t:%y%m%d %H%M%S} {n} {word} dfs.{part}: {text}", None, "dfs.Poller"),
    "Android": ("{t:%m-%d %H:%M:%S}.{ms:03}  1702  2395 {letter} {part}: {text}", None, "Poller"),
    "CBS": ("{t:%Y-%m-%d %H:%M:%S}, {word:8}    {part}    {text}", None, None),
    "Spark": ("{t:%y/%m/%d %H:%M:%S} {word} executor.{part}: {text}", None, "executor.Poller"),
    "semicolons": ("{letter};{t:%d.%m.%Y %H:%M:%S};{host};{part};{text}", "gw-0", "Poller"),
    "tabs": ("{t:%d/%b/%Y %H:%M:%S}\t{short}\t{part}\t{text}", None, "Poller"),
    "brackets": ("[{t:%d-%b-%Y %H:%M:%S}][{word}][{part}] {text}", None, "Poller"),
    "priority": (
        "[{n:05}] <{number}> {t:%d-%b-%Y %H:%M:%S} {host} store[{n}]: {text}",
        "gw-0",
        "store",
    ),
    "level first": ("{word} {t:%Y-%m-%d %H:%M:%S} {part}: {text}", None, "Poller"),
    "level in the fifth": ("{n} {epoch} {host} ship {word} {text}", "gw-0", None),
    "milliseconds": ("{epoch}{ms:03} {host} {part}: {low} {text}", "gw-0", "Poller"),
    "American": ("{t:%m/%d/%Y %I:%M:%S %p} [{low}] {text}", None, None),
    "two dates": ("{n} {t:%Y-%m-%d} {t:%H:%M:%S} {host} {part}: {text}", "gw-0", "Poller"),
    "comma": ("{t:%d-%m-%Y %H:%M:%S},{word},{host},{part},{text}", "gw-0", "Poller"),
    "level field": (
        "{t:%Y-%m-%d} {t:%H:%M:%S} ship-{n} {host} level={low} {part}: {text}",
        "gw-0",
        None,
    ),
}
WITHOUT_LEVEL = {"two dates"}


@pytest.mark.parametrize("name", FORMS)
def test_columns_are_found(name: str) -> None:
    form, host, part = FORMS[name]
    lines = written(form)
    plan = columns.learn(lines[:64], NOW)
    assert plan is not None
    for n, line in enumerate(lines):
        found = columns.read(line, plan, NOW)
        assert found is not None, line
        when = THEN + timedelta(seconds=n)
        assert found.ts is not None
        assert abs(found.ts - when) < timedelta(seconds=1)
        if name not in WITHOUT_LEVEL:
            assert found.level is LEVELS[(0, 0, 1, 0, 2, 3, 4)[n % 7]]
        assert found.msg.endswith(f"unit {n} answered in {n * 7 % 50} ms")
    first = columns.read(lines[0], plan, NOW)
    assert first is not None
    assert host is None or first.host == host
    assert part is None or first.service == part
    assert "learned from 64 lines" in columns.described(plan)


@pytest.mark.parametrize("name", FORMS)
def test_levels_are_right_whoever_reads_the_file(name: str) -> None:
    """By a known format or by columns, in a file and live."""
    if name in WITHOUT_LEVEL:
        return
    lines = written(FORMS[name][0], 400)
    context, live = learn(lines[:64], NOW), SenderContext()
    stated = [LEVELS[(0, 0, 1, 0, 2, 3, 4)[n % 7]] for n in range(400)]
    assert [normalise(line, NOW, context).level for line in lines] == stated
    assert [normalise(line, NOW, live).level for line in lines][200:] == stated[200:]


def test_two_thousand_lines_with_the_level_in_the_ninth_column() -> None:
    lines = written(FORMS["BGL"][0], 2000)
    context = learn(lines[:64], NOW)
    assert context.format == COLUMNS
    seen = Counter(normalise(line, NOW, context).level for line in lines)
    assert seen[Level.CRITICAL] == sum(n % 7 == 5 for n in range(2000))


@pytest.mark.parametrize(
    ("name", "host", "service"),
    [
        ("HPC", None, "unix.hw"),
        ("Linux", "combo", "sshd"),
        ("OpenSSH", "LabSZ", "sshd"),
        ("Apache", None, None),
        ("Zookeeper", None, None),
        ("Proxifier", None, "chrome.exe"),
    ],
)
def test_formats_that_were_not_thought_of(name: str, host: str | None, service: str | None) -> None:
    """Public logs, read without the formats that we have for them."""
    path = ROOT.parent / "shared" / "data" / "loghub" / name / f"{name}_2k.log"
    if not path.exists():
        pytest.skip("the public logs are not here")
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    plan = columns.learn(lines[:64], NOW)
    assert plan is not None
    found = [columns.read(line, plan, NOW) for line in lines]
    assert sum(one is not None for one in found) >= 0.99 * len(lines)
    assert found[0] is not None
    assert found[0].ts is not None
    assert host is None or found[0].host == host
    assert service is None or (found[0].service or "").startswith(service)


@pytest.mark.parametrize(
    "lines",
    [
        [f"the quick brown fox {n} jumps over the lazy dog" for n in range(64)],
        [f"{n} bottles hanging on the wall, {n * n} of beer" for n in range(64)],
        ["Starting up", "done"] * 32,
        ["GET / 200", "POST /x 404"] * 32,
        ["x"] * 64,
        [f"Connection {n} from 10.20.0.{n} accepted on port 22" for n in range(64)],
    ],
)
def test_plain_text_has_no_columns(lines: list[str]) -> None:
    assert columns.learn(lines, NOW) is None


def test_a_known_format_is_not_overridden() -> None:
    lines = [f"Nov 30 11:{n % 60:02}:00 sw-1 app[{n}]: INFO x {n}" for n in range(64)]
    assert learn(lines, NOW).columns is None


def test_columns_are_learned_again_when_the_format_changes() -> None:
    context = SenderContext()
    for line in written(FORMS["HDFS"][0], 40):
        normalise(line, NOW, context)
    first = context.columns
    assert first is not None
    for line in written(FORMS["BGL"][0], 200):
        last = normalise(line, NOW, context)
    assert context.columns is not None
    assert context.columns != first
    assert last.service == "KERNEL"


def test_what_is_remembered_is_small_and_plain() -> None:
    context, adapter = SenderContext(), TypeAdapter(SenderContext)
    for form, _, _ in FORMS.values():
        for line in written(form, 40):
            normalise(line + "x" * 2000, NOW, context)
            normalise(
                f"Jan  1 00:00:01 {'h' * 300}{len(context.clocks)} {'s' * 300}: x", NOW, context
            )
        assert len(json.dumps(adapter.dump_python(context, mode="json"))) <= 2 * 1024
    again = adapter.validate_python(json.loads(adapter.dump_json(context)))
    assert again == context
