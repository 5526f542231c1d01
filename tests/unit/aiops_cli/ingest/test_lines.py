"""Bytes of a file → lines or refusals with a reason; nothing is dropped without a word."""

import bz2
import gzip
import json
import lzma
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from aiops_cli.ingest import files
from aiops_cli.ingest.files import LONGEST_LINE, BlankLine, Pause, RefusedLine, TextLine
from aiops_cli.ingest.lines import AcceptedLine, LineOrigin, outcomes, service_of
from aiops_core.errors import Misconfigured
from aiops_core.models import Level, LogEntry
from aiops_core.normaliser import json_lines

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LOGHUB = Path(__file__).parents[4] / "shared" / "data" / "loghub"


def written(tmp_path: Path, data: bytes, name: str = "app.log") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def become(path: Path) -> list[object]:
    return list(outcomes(path, LineOrigin.of(path, "s1", "here"), lambda: NOW))


def objects() -> st.SearchStrategy[dict[str, object]]:
    """JSON objects with the keys that mean something to us, and any values."""
    names = [*json_lines.TIME, *json_lines.LEVEL, *json_lines.MESSAGE, *json_lines.HOST]
    names += [*json_lines.SERVICE, "tracking_id", "ship_id", "metric", "value", "labels", "stages"]
    times = st.datetimes().map(lambda t: t.isoformat() + "+02:00")
    simple = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | times
    values = simple | st.text(st.characters()) | st.lists(st.text(max_size=3), max_size=2)
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), values, max_size=12)


class TestFiles:
    @pytest.mark.parametrize("data", [b"a\nb\n", b"a\nb", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb\n"])
    def test_whole_lines(self, tmp_path: Path, data: bytes):
        assert list(files.read(written(tmp_path, data))) == [TextLine(1, "a"), TextLine(2, "b")]

    def test_empty_lines_are_counted(self, tmp_path: Path):
        read = list(files.read(written(tmp_path, b"\n a\n \t\r\n\n")))
        assert read == [BlankLine(1), TextLine(2, " a"), BlankLine(3), BlankLine(4)]

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"x" * (LONGEST_LINE + 1), "longer than 64 KiB"),
            (b"x" * (5 * LONGEST_LINE), "longer than 64 KiB"),
        ],
    )
    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_bad_lines_are_refused_and_the_others_go_on(self, tmp_path, bad, reason, end):
        path = written(tmp_path, b"before" + end + bad + end + b"after")
        assert list(files.read(path)) == [
            TextLine(1, "before"),
            RefusedLine(str(path), 2, reason),
            TextLine(3, "after"),
        ]

    @pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
    def test_the_longest_line_passes(self, tmp_path: Path, end: bytes):
        path = written(tmp_path, b"x" * LONGEST_LINE + end + b"")
        assert list(files.read(path)) == [TextLine(1, "x" * LONGEST_LINE)]

    def test_compressed(self, tmp_path: Path):
        path = written(tmp_path, gzip.compress(b"a\nb"), "app.log.1.gz")
        assert list(files.read(path)) == [TextLine(1, "a"), TextLine(2, "b")]

    def test_a_damaged_archive_ends_with_a_refusal(self, tmp_path: Path):
        whole = gzip.compress("".join(f"line {uuid.uuid4()}\n" for _ in range(9999)).encode())
        path = written(tmp_path, whole[: len(whole) // 2], "app.gz")
        *lines, last = files.read(path)
        assert len(lines) > 10
        assert isinstance(last, RefusedLine)
        assert "damaged" in last.reason

    def test_no_archive(self, tmp_path: Path):
        """The content says what a file is, whatever its name."""
        assert list(files.read(written(tmp_path, b"plain text", "app.gz"))) == [
            TextLine(1, "plain text")
        ]

    def test_check_names_the_path(self, tmp_path: Path):
        good = written(tmp_path, b"a")
        files.check([good])
        for bad, word in ((tmp_path / "none.log", "no such file"), (tmp_path, "is a directory")):
            with pytest.raises(Misconfigured, match=f"{bad}: {word}"):
                files.check([good, bad])
        with pytest.raises(Misconfigured, match="no file"):
            files.check([])

    def test_size_is_known_of_plain_files_only(self, tmp_path: Path):
        plain, packed = written(tmp_path, b"abc"), written(tmp_path, gzip.compress(b"abc"), "x")
        assert files.size([plain, plain]) == 6
        assert files.size([plain, packed]) is None

    @given(data=st.binary(max_size=2000) | st.text(max_size=500).map(str.encode))
    def test_no_bytes_crash_it_and_every_line_is_accounted_for(self, tmp_path_factory, data):
        path = written(tmp_path_factory.getbasetemp(), data, "any.log")
        seen = become(path)
        if files._encoding(data) != "utf-8" or files._no_text(data) or b"\r" in data:
            return
        lines = data.split(b"\n")
        assert len(seen) == len(lines) - (not lines[-1])
        full = [
            n
            for n, line in enumerate(lines, 1)
            if line.removeprefix(b"\xef\xbb\xbf").strip(b"\0").strip()
        ]
        blank = {o.number for o in seen if isinstance(o, BlankLine)}
        assert not blank & set(full)

    @given(fields=objects())
    def test_no_object_makes_a_message_that_cannot_travel(self, tmp_path_factory, fields):
        path = written(tmp_path_factory.getbasetemp(), json.dumps(fields).encode(), "any.json")
        [got] = become(path)
        if isinstance(got, AcceptedLine):
            assert (
                type(got.entries[0]).model_validate_json(got.entries[0].model_dump_json())
                == got.entries[0]
            )

    @given(data=st.binary(max_size=300))
    def test_no_bytes_crash_the_unpacking(self, tmp_path_factory, data):
        for head in (b"", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"):
            list(files.read(written(tmp_path_factory.getbasetemp(), head + data, "any.gz")))


ZSTD = zstandard.ZstdCompressor().compress
DAMAGED = [
    (b"Nov 30 x\xe9y\n", ["Nov 30 x\ufffdy"]),  # Latin-1
    (b"a\0\nb\0\0\n", ["a", "b"]),  # padding of UDP senders
    (b"\0\0\0a\n\0\0\n", ["a"]),  # a hole after a crash
    (b"a\0b\n", ["a\ufffdb"]),
    (b"a\rb\rc", ["a", "b", "c"]),  # CR only
    (b"a\rb\rc\r", ["a", "b", "c"]),
    (b"10%\r20%\r30%\nb\n", ["10%\r20%\r30%", "b"]),  # a progress bar is one line
    (b"a\r\n", ["a"]),
    (b"a\r", ["a"]),
]
NO_TEXT = [
    (b"PK\x03\x04rest", "zip"),
    (b"ElfFile\0rest", "wevtutil"),
    (b"LPKSHHRHrest", "journalctl -o json"),
    (b"\xd4\xc3\xb2\xa1rest", "pcap"),
    (b"\0" * 257 + b"ustar", "tar"),
    (bytes(range(1, 9)) * 50, "binary"),
]


class TestWhatAFileIs:
    @pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, ZSTD])
    @pytest.mark.parametrize("name", ["a.log", "a.log.gz", "a"])
    def test_the_content_says_how_it_is_packed(self, tmp_path: Path, pack, name: str):
        data = b"".join(b"line %d\n" % n for n in range(30_000))
        path = written(tmp_path, pack(data), name)
        texts = [line.text for line in files.read(path)]
        assert texts == data.decode().splitlines()
        assert files.size([path]) is None

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_utf_16_with_and_without_a_mark(self, tmp_path: Path, encoding: str, pack):
        text = "Nov 30 12:00:00 Камбуз-1 app: disk is full 📡\r\nb\r\n" * 3000
        path = written(tmp_path, pack(text.encode(encoding)))
        assert [line.text for line in files.read(path)] == text.splitlines()

    @pytest.mark.parametrize(("data", "texts"), DAMAGED)
    def test_what_is_damaged_is_kept(self, tmp_path: Path, data: bytes, texts: list[str]):
        lines = files.read(written(tmp_path, data))
        assert [line.text for line in lines if isinstance(line, TextLine)] == texts

    @pytest.mark.parametrize(("data", "word"), NO_TEXT)
    def test_what_is_no_text_is_named(self, tmp_path: Path, data: bytes, word: str):
        [only] = files.read(written(tmp_path, data))
        assert isinstance(only, RefusedLine)
        assert word in only.reason


class TestPipes:
    def test_a_pause_hands_over_what_was_read(self):
        reading, writing = os.pipe()
        path = Path(f"/dev/fd/{reading}")
        lines = files.read(path)
        os.write(writing, b"a\nb\nhalf")
        assert [next(lines) for _ in range(3)] == [TextLine(1, "a"), TextLine(2, "b"), Pause()]
        os.write(writing, b" and half\n")
        assert next(lines) == TextLine(3, "half and half")
        os.close(writing)
        assert list(lines) == []
        os.close(reading)

    def test_a_stop_gives_the_line_that_has_no_end_yet(self):
        reading, writing = os.pipe()
        stopped = []
        lines = files.read(Path(f"/dev/fd/{reading}"), stopped=lambda: bool(stopped))
        os.write(writing, b"a\nhalf")
        assert [next(lines), next(lines)] == [TextLine(1, "a"), Pause()]
        stopped.append(True)
        assert list(lines) == [TextLine(2, "half")]
        os.close(writing)
        os.close(reading)

    def test_a_growing_file_goes_on_after_rotation_and_truncation(self, tmp_path: Path):
        path, stopped = written(tmp_path, b"a\n"), []
        lines = files.read(path, follow=True, stopped=lambda: bool(stopped))
        seen = [next(lines)]
        for change in ("append", "replace", "truncate"):
            if change == "replace":
                path.rename(tmp_path / "app.log.1")
            with path.open("ab" if change == "append" else "wb") as file:
                file.write({"append": b"a\n", "replace": b"longer\n", "truncate": b"t\n"}[change])
            seen.append(next(line for line in lines if line != Pause()))
        stopped.append(True)
        assert [line.text for line in (*seen, *lines) if line != Pause()] == [
            *("a", "a", "longer", "t")
        ]


class TestIds:
    def ids(self, path: Path, **options) -> list[str]:
        origin = LineOrigin.of(path, "s1", "here", **options)
        return [got.entries[0].tracking_id for got in outcomes(path, origin, lambda: NOW)]

    LINES = b"Jun  1 11:00:00 h a: x\nJun  1 11:00:00 h a: x\nno time\nno time\n"

    def test_the_same_file_has_the_same_ids_and_every_line_its_own(self, tmp_path: Path):
        path = written(tmp_path, self.LINES)
        assert self.ids(path) == self.ids(path)
        assert len(set(self.ids(path))) == 4
        assert not set(self.ids(path, again=True)) & set(self.ids(path, again=True))

    @pytest.mark.parametrize("name", ["app.log.1", "app.log.2.gz", "app.log-20260601.xz"])
    def test_a_rotated_file_is_the_same(self, tmp_path: Path, name: str):
        first, later = written(tmp_path, self.LINES), written(tmp_path, self.LINES, name)
        assert self.ids(first) == self.ids(later)

    def test_another_file_is_another(self, tmp_path: Path):
        (tmp_path / "other").mkdir()
        first, same = written(tmp_path, self.LINES), written(tmp_path / "other", self.LINES)
        assert not set(self.ids(first)) & set(self.ids(written(tmp_path, self.LINES, "b.log")))
        assert self.ids(first) == self.ids(same)  # a line without a time is of its neighbour's
        plain = b"no time\nno time\n"
        one, other = written(tmp_path, plain, "p"), written(tmp_path / "other", plain, "p")
        assert not set(self.ids(one)) & set(self.ids(other))


class TestMessages:
    def entry(self, tmp_path: Path, line: str, name: str = "nginx-error.log") -> LogEntry:
        [got] = become(written(tmp_path, line.encode(), name))
        assert isinstance(got, AcceptedLine)
        assert isinstance(got.entries[0], LogEntry)
        assert got.raw == line
        return got.entries[0]

    def test_what_the_line_does_not_say_comes_from_its_origin(self, tmp_path: Path):
        e = self.entry(tmp_path, "it broke")
        assert (e.ship_id, e.host, e.device_id, e.service) == ("s1", "here", "here", "nginx")
        assert (e.ts, e.stages, e.source) == (NOW, {"ingest": NOW}, "nginx-error.log")
        assert uuid.UUID(e.tracking_id).version == 5

    def test_what_it_says_wins(self, tmp_path: Path):
        e = self.entry(tmp_path, "Jun  1 11:00:00 fw1 kernel: x")
        assert (e.host, e.device_id, e.service) == ("fw1", "fw1", "kernel")
        e = self.entry(tmp_path, '{"host":"h","device_id":"d","source":"s","msg":"m"}')
        assert (e.host, e.device_id, e.source) == ("h", "d", "s")

    def test_a_message_of_ours_keeps_its_identity(self, tmp_path: Path):
        ours = LogEntry(tracking_id="t", ship_id="other", ts=NOW.replace(hour=1), host="h", msg="m")
        e = self.entry(tmp_path, ours.model_dump_json())
        assert e == ours.stamped("ingest", NOW)

    def test_half_a_surrogate_pair_is_refused(self, tmp_path: Path):
        [got] = become(written(tmp_path, b'{"msg": "\\ud800"}', "a.json"))
        assert isinstance(got, RefusedLine)
        assert got.line == 1

    @pytest.mark.parametrize(
        ("name", "service"),
        [
            ("nginx-error.log.1.gz", "nginx"),
            ("Zookeeper_2k.log", "zookeeper"),
            ("1.log", "unknown"),
        ],
    )
    def test_service_of_a_file(self, name: str, service: str):
        assert service_of(Path("/var/log") / name) == service


# These results were reviewed by template; look at any change of them.
REAL = {
    "OpenSSH": ({"critical": 1, "error": 47, "warning": 1477, "info": 475}, {"sshd"}),
    "Linux": ({"error": 45, "warning": 658, "info": 1297}, None),
    "Apache": ({"error": 595, "info": 1405}, {"apache"}),
    "Zookeeper": ({"error": 13, "warning": 1318, "info": 669}, {"zookeeper"}),
    "HPC": ({"critical": 21, "error": 169, "warning": 207, "info": 1603}, None),
    "Proxifier": ({"error": 97, "info": 1903}, None),
}


@pytest.mark.skipif(not LOGHUB.is_dir(), reason="../shared/data/loghub is not there")
@pytest.mark.parametrize("system", REAL)
def test_real_logs(system: str):
    levels, services = REAL[system]
    seen = become(LOGHUB / system / f"{system}_2k.log")
    assert len(seen) == 2000
    assert all(isinstance(outcome, AcceptedLine) for outcome in seen)
    entries = [entry for outcome in seen for entry in outcome.entries]
    assert {lv.value: n for lv in Level if (n := sum(e.level is lv for e in entries))} == levels
    assert services is None or {e.service for e in entries} == services
    assert all(e.ts < NOW and e.service != "unknown" and e.msg for e in entries)
    assert not any(e.msg in ("", o.raw) for e, o in zip(entries, seen, strict=True))
