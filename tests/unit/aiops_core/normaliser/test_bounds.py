"""What senders can make long has a bound: labels, and the work on one line."""

import time
from datetime import UTC, datetime

import pytest

from aiops_core.normaliser.context import SenderContext
from aiops_core.normaliser.normaliser import LABEL_LENGTH, LABELS, normalise

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HEADERS = [
    "<13>Nov 30 11:59:00 sw-2 app: ",
    "<13>1 2026-11-30T11:59:00Z sw-2 app ",
    "<113>Nov 30 11:59:00 ftd-1 %FTD-1-430003: EventPriority: Low, ",
    "<134>1 2026-11-30T11:59:00Z gw-1 CheckPoint 1930 - [",
    "CEF:0|V|P|1|9|Disk failed|9|",
    'id=firewall sn=1 pri=1 msg="',
    "Nov 30 11:59:00 s snmptrapd[1]: 10.0.0.1 [UDP: [10.0.0.1]:1->[10.0.0.2]:162]: ",
    "",
]
UNITS = ["[", "<1>", "a=b ", "Nov 30 ", "1:", "1.3.6.1.", 'a:"b";', "a, b: ", "%A-", '"', "\\"]


def test_labels_are_bounded():
    fields = " ".join(f"field{n}={'x' * 2000}" for n in range(100))
    line = (
        f"<185>date=2026-11-30 time=11:59:00 devname=fgt-1 devid=FG1 logid=1 level=alert {fields}"
    )
    got = normalise(line, NOW, SenderContext())
    assert got.service == "fortigate"
    assert len(got.labels) == LABELS
    assert max(map(len, got.labels.values())) == LABEL_LENGTH


@pytest.mark.parametrize("header", HEADERS)
def test_the_work_on_a_long_line_is_bounded(header: str):
    begun = time.process_time()
    for unit in UNITS:
        normalise(header + unit * (30_000 // len(unit)), NOW, SenderContext())
    assert time.process_time() - begun < 3  # seconds; quadratic work takes minutes
