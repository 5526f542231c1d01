"""How well logs are understood, measured: grouping, alarms of labelled lines, speed."""

import csv

import pytest
from rich.console import Console

from aiops_core.errors import Misconfigured
from aiops_lab.evaluation.detection import loghub
from aiops_lab.evaluation.detection.loghub import compare
from anomaly_detection.policy import DetectPolicy
from tests.conftest import ROOT

POLICY = DetectPolicy.load(ROOT / "policies")


def shown(part):
    console = Console(width=160)
    with console.capture() as capture:
        console.print(part)
    return capture.get()


@pytest.fixture
def hub(tmp_path):
    """Two systems; the lines of one are labelled."""

    def write(name, rows):
        folder = tmp_path / name
        folder.mkdir()
        with (folder / f"{name}_2k.log_structured.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    write("Easy", [{"Content": f"port {n} is up", "EventId": "E1"} for n in range(9)])
    kinds = [("-", "INFO", "all is well", "E1"), ("KERN", "FATAL", "kernel panic", "E2")]
    write(
        "Marked",
        [
            {"Label": label, "Level": level, "Timestamp": str(1_100_000_000 + n), "Content": text,
             "EventId": event}
            for n in range(20) for label, level, text, event in [kinds[n % 10 == 9]]
        ],
    )  # fmt: skip
    return tmp_path


class TestGrouping:
    @pytest.mark.parametrize(
        ("found", "true", "ga", "fga"),
        [
            ("aabb", "xxyy", 1.0, 1.0),
            ("aabc", "xxyy", 0.5, 2 / 5),  # one of three groups, one of two templates
            ("aaaa", "xxyy", 0.0, 0.0),
            ("abcd", "xxxy", 0.25, 2 / 6),
        ],
    )
    def test_a_group_is_right_when_it_is_exactly_a_template(self, found, true, ga, fga):
        scored = compare(found, true)
        assert (scored.ga, scored.fga) == (ga, pytest.approx(fga))

    def test_nothing_to_compare_is_refused(self):
        with pytest.raises(ValueError, match="0 found labels for 0 lines"):
            compare("", "")


class TestLoghub:
    def test_every_system_is_scored_and_labels_are_used(self, hub):
        easy, marked = loghub.score(hub, POLICY)
        assert (easy.name, easy.learned.ga, easy.alarms) == ("Easy", 1.0, None)
        assert (marked.alarms.labelled, marked.alarms.precision, marked.alarms.recall) == (2, 1, 1)

    def test_the_result_is_a_table_and_json(self, hub):
        systems = loghub.score(hub, POLICY)
        assert "Marked" in shown(loghub.table(systems))
        told = loghub.as_json(systems)
        assert (told["ga"], told["fga"]) == (1.0, 1.0)
        assert told["systems"][1]["alarms"]["f1"] == 1.0

    def test_a_folder_without_logs_is_refused_in_a_line(self, tmp_path):
        with pytest.raises(Misconfigured, match="give a folder laid out like loghub"):
            loghub.score(tmp_path, POLICY)

    def test_a_file_of_another_kind_is_refused(self, hub):
        (hub / "Easy" / "Easy_2k.log_structured.csv").write_text("a,b\n1,2\n")
        with pytest.raises(Misconfigured, match="needs rows with the columns Content and EventId"):
            loghub.score(hub, POLICY)
