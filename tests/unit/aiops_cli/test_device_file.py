"""A file that people edited -> devices, or the line of everything that is wrong."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiops_cli.device_file import BadFile, DeviceFile, read_devices, write_devices
from aiops_core.errors import Misconfigured
from aiops_core.models import Severity
from aiops_lab.simulator.inventory import SHIP
from incident_api.devices.import_rules import NewDevice


def read(folder: Path, text: str, name: str = "ship.csv") -> DeviceFile:
    file = folder / name
    file.write_text(text, "utf-8")
    return read_devices(file)


def mistakes(folder: Path, text: str, name: str = "ship.csv") -> list[str]:
    with pytest.raises(BadFile) as bad:
        read(folder, text, name)
    return [str(one).removeprefix(f"{folder}/") for one in bad.value.mistakes]


def test_what_was_written_is_read(tmp_path):
    out = io.StringIO()
    write_devices(out, SHIP.devices)
    found = read(tmp_path, out.getvalue())
    assert tuple(new.device() for new in found.devices) == SHIP.devices


IDS = st.text("abzÄ0_.:-", min_size=1, max_size=6).filter(lambda id: id[0] not in ".:-")
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=12)
VALUES = WORDS.map(lambda word: word.replace(";", "").replace("|", ""))
WRITTEN = st.builds(
    NewDevice,
    id=IDS,
    name=WORDS,
    type=WORDS.filter(str.strip),
    site=WORDS,
    criticality=st.sampled_from(Severity),
    upstream=st.lists(IDS, max_size=3).map(tuple),
    owner=WORDS,
    labels=st.dictionaries(st.sampled_from(["ip", "hostname", "vlan"]), VALUES),
)


@settings(max_examples=50)
@given(st.lists(WRITTEN, max_size=4))
def test_whatever_the_api_takes_survives_a_file(devices):
    out = io.StringIO(newline="")
    write_devices(out, devices)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "d.csv"
        file.write_text(out.getvalue(), "utf-8", newline="")
        assert read_devices(file).devices == devices


def test_columns_may_be_left_out_and_come_in_any_order(tmp_path):
    text = "upstream,id,labels\n,fw-01,ip=10.0.0.1 10.0.0.2; hostname=fw\n fw-01 | a ,b,\n,a,\n"
    fw, b, _ = (new.device() for new in read(tmp_path, text).devices)
    assert fw.labels == {"ip": "10.0.0.1 10.0.0.2", "hostname": "fw"}
    assert (b.upstream, b.type, b.criticality) == (("fw-01", "a"), "unknown", "medium")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid;name\r\na;Über 1\r\n",  # as a spreadsheet saves it
        'id,name\n"a",Über 1\n\n , \n',
        "id,name\na,Über 1",
    ],
)
def test_a_spreadsheets_csv_is_understood(tmp_path, text):
    [device] = read(tmp_path, text).devices
    assert (device.id, device.name) == ("a", "Über 1")


def test_every_mistake_of_a_csv_file_has_its_line(tmp_path):
    text = (
        "id,name,criticality,labels,upstream\n"
        'a,"two\nlines",high,,\n'
        "b,,enormous,,\n"
        "c,,\n"
        "d,,,nonsense,\n"
        "e f,,,,a;b/c\n"
        ",,low,,\n"
    )
    said = mistakes(tmp_path, text)
    assert [one.split(": ")[0] for one in said] == [f"ship.csv:{n}" for n in (2, 4, 5, 6, 7, 7, 8)]
    assert said.pop(0).startswith("ship.csv:2: name: ")
    assert said[0].startswith("ship.csv:4: criticality: Input should be 'low', 'medium', 'high' or")
    assert said[0].endswith("(it is 'enormous')")
    assert said[1] == "ship.csv:5: 3 cells, but the header has 5 columns"
    assert said[2] == "ship.csv:6: labels: 'nonsense' is not key=value"
    assert said[3].startswith("ship.csv:7: id: ") and "'e f'" in said[3]
    assert said[4].startswith("ship.csv:7: upstream.1: ") and "'b/c'" in said[4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "name\nx\n",
            "ship.csv:1: the header has no column id; columns are id, name, type, site, ",
        ),
        ("id,colour\n", "ship.csv:1: unknown column 'colour'; columns are "),
        ("id,id\n", "ship.csv:1: column 'id' is there twice"),
        ("", "ship.csv:1: the header has no column id"),
        ('id,name\na,"b\n', "ship.csv:2: not CSV: "),
    ],
)
def test_a_csv_file_of_another_kind_is_refused(tmp_path, text, said):
    assert mistakes(tmp_path, text)[0].startswith(said)


YAML = """\
devices:
  - id: core
    labels: {ip: [10.0.0.1, 10.0.0.2], vlan: 7}
  - id: ap-1
    upstream: [core]
    criticality: low
  - {id: ap-2, upstream: core ap-1}
"""


@pytest.mark.parametrize("name", ["ship.yaml", "ship.yml"])
@pytest.mark.parametrize("text", [YAML, YAML.partition("\n")[2]])
def test_yaml_is_a_list_or_has_one(tmp_path, name, text):
    core, one, two = (new.device() for new in read(tmp_path, text, name).devices)
    assert core.labels == {"ip": "10.0.0.1 10.0.0.2", "vlan": "7"}
    assert (one.upstream, one.criticality, two.upstream) == (("core",), "low", ("core", "ap-1"))


def test_every_mistake_of_a_yaml_file_has_its_line(tmp_path):
    text = "- id: 007\n  name: x\n- name: y\n- 5\n- id: a\n  deck: 5\n  criticality: 3\n"
    said = mistakes(tmp_path, text, "ship.yaml")
    assert [one.split(": ")[:2] for one in said] == [
        ["ship.yaml:1", "id"],
        ["ship.yaml:3", "id"],
        ["ship.yaml:4", "expected a device with an id, not 5"],
        ["ship.yaml:6", "deck"],
        ["ship.yaml:7", "criticality"],
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [\n", "ship.yaml:2: "),
        ("5", "ship.yaml:1: expected a list of devices, or one as `devices`"),
        ("", "ship.yaml:1: expected a list of devices"),
        ("things: []", "ship.yaml:1: expected a list of devices"),
    ],
)
def test_yaml_of_another_kind_is_refused(tmp_path, text, said):
    assert mistakes(tmp_path, text, "ship.yaml")[0].startswith(said)


@pytest.mark.parametrize("name", ["ship.txt", "gone.csv", "folder.csv"])
def test_what_is_no_such_file_is_one_line(tmp_path, name):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Misconfigured, match=name) as refused:
        read_devices(tmp_path / name)
    assert "\n" not in str(refused.value)
