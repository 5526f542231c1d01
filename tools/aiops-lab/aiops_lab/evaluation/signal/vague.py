"""Whether a title says what happened to what. Pure.

From a title is taken what a person knows without it, or learns nothing by: the device, the name of
the program, counts, times, addresses, and words that only say *that* something is bad, unusual or
frequent (``errors``, ``many``, ``failed``), what kind of message it is (``new template``), or of
which wide field it is (``hardware``, ``service``). What is left names an object or an event. When
nothing is left, the title is vague.

So "Hardware failure on node-3" is vague (which part?), and "Power supply failed on node-3" is not;
"apache failed on vm" is vague (how?), and "apache is down on vm" is not.
"""

from __future__ import annotations

import re

# That something is bad.
_BAD = """
alarm alarms alert alerts anomalies anomaly anomalous bad caution critical danger emergency err
error errors exception exceptions fail failed failing fails failure failures fatal fault faults
faulty incident incidents issue issues major minor notice notices problem problems severe severity
trouble troubles warning warnings wrong
"""
# That it is unusual, frequent or new.
_MANY = """
abnormal abnormally again another burst bursts common different drop few first flapping frequent
frequently gap high higher increase increased increasing lots low lower many more most much new
next odd often once outlier outliers peak quick rapid rare recurring repeated repeatedly several
shift single spike spikes strange sudden suspicious too twice unexpected unknown unsteady unusual
unusually
"""
# What kind of message says so, and in which wide field.
_FIELD = """
activity affected application applications behavior behaviour causes code codes component computer
condition conditions data detected device devices entries entry event events found happened
hardware has have host hosts info information item items job level levels line lines log logged
logging logs machine message messages metric metrics mix mixture network node noticed occurred
occurrence occurrences output pattern patterns process processes program programs rate reading
readings record records report reported reports security seen series server service services shows
situation software something state states status system systems task template templates text thing
things type types unit value values
"""
# What holds a sentence together, and names of times.
_GLUE = """
a about after ago all am an and any are as at be been before between but by daily day days for
friday from had hour hourly hours in into is it its min mins minute minutes monday month monthly
months morning night nothing of on only or other others over per pm saturday second seconds since
so some sunday than that the their them there these this those thursday time times to today
tuesday under until utc was wednesday week weekly weeks were when which while with without year
years yesterday
"""
_SAID = frozenset(f"{_BAD} {_MANY} {_FIELD} {_GLUE}".split())
_LIST = re.compile(r"\bthat nothing connects\b")
_COUNTS = re.compile(
    r"""
    \(?\b\d[\d.,]*\s*(?:st|nd|rd|th)\s+time\b\)?          # (43rd time)
    | [x\u00d7]\s?\d+\b | \b\d[\d.,]*\s?[x\u00d7](?!\w)      # x12, 12 x
    | \b\d[\d.,]*\s+times?\b | \b(?:once|twice)\b
    | \b\d+\s+(?:more\s+)?devices?\b(?:\s+affected)?
    """,
    re.VERBOSE,
)
_TIMES = re.compile(
    r"""
    \b\d{4}-\d\d-\d\d\b(?:[t\s]\d\d:\d\d\S*)?             # a date, with a time
    | \b\d{1,2}:\d\d(?::\d\d)?\b
    | \b\d[\d.,]*\s?(?:ms|s|sec|min|h|d)\b
    """,
    re.VERBOSE,
)
ADDRESSES = re.compile(
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b | \b(?:[0-9a-f]{1,4}:){3,7}[0-9a-f]{1,4}\b",
    re.VERBOSE | re.IGNORECASE,
)
_CODES = re.compile(r"\b0x[0-9a-f]+\b")
_WORD = re.compile(r"[^\W\d_][^\s,;:()\[\]{}\"'“”‘’«»]*|\d+[^\W\d]\S*")  # noqa: RUF001
_PART = re.compile(r"[^\W\d_]{2,}")


def is_vague(title: str, device: str = "", service: str = "") -> bool:
    """Whether *title* names neither an object nor an event, about *service* on *device*."""
    text = title.casefold()
    for name in (*names_of(device), *names_of(service)):
        text = without_name(text, name)
    for known in (_LIST, _COUNTS, _TIMES, ADDRESSES, _CODES):
        text = known.sub(" ", text)
    return all(_says_nothing(word) for word in _WORD.findall(text))


def names_of(name: str) -> list[str]:
    """The spellings of a device or program, the longest first: with its domain, extension, PID or
    module in brackets, and without."""
    whole = name.casefold().strip()
    bare = re.sub(r"[\[(].*$", "", whole)
    short = re.sub(r"\.(?:exe|service|sh|py|local|lan|internal)$", "", bare)
    return sorted({one for one in (whole, bare, short) if one}, key=len, reverse=True)


def without_counts(title: str) -> str:
    """*title* without how often and when: what is told again has the same one."""
    text = _TIMES.sub(" ", _COUNTS.sub(" ", title.casefold()))
    return " ".join(text.replace("()", " ").split()).strip(" ,;:")


def without_name(text: str, name: str, instead: str = " ") -> str:
    """*text* with *instead* in place of *name*, where that stands alone."""
    return re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", instead, text, flags=re.IGNORECASE)


def _says_nothing(word: str) -> bool:
    """Whether *word* is only glue; one such as ``log-error`` or ``log_rate`` is its parts."""
    named = any(map(str.isdigit, word))  # Gi1/0/24
    return not named and all(part in _SAID for part in _PART.findall(word))
