"""Masks for the variable parts of a line: numbers, addresses, identifiers, paths, times.

One set of masks for all systems, in two steps, because the same words come all day long:

1. ``Words``: word by word, with a cache. All digits are replaced by one first, so that addresses
   and times that differ in digits only share an entry;
2. ``phrases``: masks that need the neighbours of a word (dates, units, lists, names after "user").

``parameters`` finds the values that an operator asks for first, only in lines of anomalies.

A change of a mask changes the ids of templates: ``test_templates.py`` pins some of them.
"""

from __future__ import annotations

import re

WILD = "<*>"
LOOKED_AT = 1000  # characters of a line; statements differ before that
WORDS_KEPT = 50_000  # about 10 MB

_MONTH = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_DAY = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_SOURCE = "c|cc|cpp|h|hpp|go|java|js|kt|php|pl|py|rb|rs|scala|sh|ts"
_TOP = "arpa|asia|biz|com|edu|example|gov|info|int|lan|local|mil|net|org"
_UNIT = (
    r"bytes?|bits?|B|[kKMGTP]i?[Bb]?(?:ps|/s)?|ns|us|µs|ms|s|secs?|seconds?|mins?|minutes?|h|hours?"
    r"|days?|dBm?|[kMG]?Hz|percent|%"
)

# The specific come first: of alternatives that fit, a regex takes the first.
_VARIABLE = re.compile(
    rf"""
  \b [a-z][a-z0-9+.-]* :// [^\s,;"'()<>\[\]]+                                # URL
| \b [0-9a-f]{{8}} - (?:[0-9a-f]{{4}}-){{3}} [0-9a-f]{{12}} \b               # UUID
| \b (?:[0-9a-f]{{2}}[:-]){{5}} [0-9a-f]{{2}} \b                             # MAC
| (?<![\w:]) (?:[0-9a-f]{{0,4}}:){{3,7}} [0-9a-f]{{0,4}} (?![\w:])           # IPv6
| \b \d{{1,2}} [/-] (?:{_MONTH}) [a-z]* [/-] \d{{2,4}} (?:[T:][\d:.,]+)? \b  # 27/Jun/2005:10:07:56
| [\w.+-]+ @ [\w-]+ (?:\.[\w-]+)+                                            # mail address
| \b (?![\w.-]+\.(?:{_SOURCE}):) [a-z][\w-]* (?:\.[\w-]+)+ : \d{{2,5}} \b    # host.name:port
| \b (?=[\w.-]*[a-z]) [\w-]+ (?:\.[\w-]+)* \. (?:{_TOP}) \b (?!\.?[\w(])     # host.name.org
| \b [\w-]+ (?:\.[\w-]+)+ \. (?!(?:{_SOURCE}|so|gz|md)\b) [a-z]{{2}} \b (?!\.?[\w(])  # host.name.hk
| (?<![\w\]>)*]) (?:[a-z]:)? (?:[/\\][\w.@%+~$&=-]*){{2,}}                   # path
| (?<![\w/]) / [\w.@%+~$-]{{2,}}                                             # path of one part
| \b 0x [0-9a-f]+ \b
| (?<![a-z0-9]) (?: (?=[a-f]*\d) [0-9a-f]{{6,}} | [0-9a-f]{{8,}} ) (?![a-z0-9])
| (?<=@) [0-9a-f]{{5,}} \b
| (?<![a-z0-9]) [-+]? \d+ (?:[.,:]\d+)* [a-z%°]{{0,3}} (?![a-z0-9])          # number, IPv4:port
| (?P<name> (?P<stem> [a-z_$-]* (?<![a-z0-9]) ) (?P<head> [a-z]* ) \d+ (?P<tail> [a-z]? ) [\w$-]* )
""",
    re.VERBOSE | re.IGNORECASE,
)

_PHRASES = (
    # Jun 9 06:06:20 2005; Sun, 9 Jun 2005 06:06:20 UTC
    (
        re.compile(
            rf"\b(?:(?:{_DAY})[a-z]*,? )?(?:(?:{_MONTH})[a-z]*\.? <\*>|<\*> (?:{_MONTH})[a-z]*),?"
            r"(?: <\*>)*(?: [AP]M\b)?(?: (?:UTC|GMT|[A-Z]{1,3}[SD]?T)\b)?(?: <\*>)?"
        ),
        WILD,
    ),
    # names of users, after words that only names follow
    (
        re.compile(
            r"\b((?:invalid|illegal|unknown) user |for (?:invalid |illegal )?user |user(?:name)? "
            r"|(?:password|publickey|none|keyboard-interactive/pam) for )"
            r"(?!(?:invalid|illegal|unknown|authentication|request|by|from|has|is|not|was)\b)"
            r"[\w.@$<*>-]+(?!\S)",
            re.IGNORECASE,
        ),
        r"\1<*>",
    ),
    (re.compile(r"(?<==)( ?)\(?(?:true|false|null|none|yes|no)\b\)?", re.IGNORECASE), r"\1<*>"),
    (re.compile(rf"<\*> ?(?:{_UNIT})(?!\w)"), WILD),
    (re.compile(r"(?<![\w>])[-+#<>~=]<\*>"), WILD),
    # a list of any length is one value; so is a value and what stands in brackets behind it
    (re.compile(r"<\*>(?:(?: ?\\?[,:;/.|#_+~-]{1,2} ?|\\? ?)?<\*>| ?\((?:<\*>)?\))+"), WILD),
    # node-<*> <ok> node-<*> <ok> ...
    (re.compile(r"(?<!\S)(\S*<\*>\S*(?: \S+)?) (?:\1(?: |$))+"), r"\1 "),
)

_PARAMETERS = {
    name: re.compile(regex, re.IGNORECASE)
    for name, regex in {
        "ip": r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.]*\d)",
        "mac": r"\b((?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2})\b",
        "user": (
            r"\b(?:(?:invalid|illegal|unknown) user |for (?:invalid |illegal )?user "
            r"|user(?:name)?[ =:]+|(?:password|publickey|none) for )['\"]?"
            r"(?!(?:invalid|illegal|unknown|authentication|request|by|from|has|is|not|was)\b)"
            r"([\w.@$-]+)"
        ),
        "interface": (
            r"\b((?:(?:(?:Ten|Hundred|Forty)?Gig(?:abit)?|Fast)?Ethernet|Gi|Te|Fa)\d+(?:/\d+)*"
            r"|(?:eth|en[ops]?|wlan|wl|bond|br|vlan|ppp|tun|tap|wwan|usb|lag|po)\d\w*(?:\.\d+)?)\b"
        ),
        "device": (
            r"\b((?!(?:utf|iso|sha|tcp|udp|rfc|ssh|http|x)-)"
            r"[a-z]{2,}(?:-[a-z]\w*)*-[a-z]?\d{1,4}(?:-\d{1,3})?)\b"
        ),
        "code": (
            r"\b(?:err(?:or|no)?|code|status|rc|ret(?:urned)?|reason|exit(?:ed)?(?: with)?)"
            r"(?: code)?[ =:#(]+(-?\d{1,6}|0x[0-9a-f]{1,8})\b"
        ),
        "exception": r"\b((?:[a-z_]\w*\.)*[a-z_]\w*(?:Exception|Error))\b",
    }.items()
}

_SIGN = re.compile(r"(?<=_)-$")  # blk_-12 is blk_ and a negative number
_HEX = "abcdefABCDEF"  # eight of them and nothing else are no word
_ONES = bytes.maketrans(b"023456789", b"1" * 9)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def _masked(match: re.Match[str]) -> str:
    """A name with a number (eth0, blk_-12, node-D7) keeps the letters before the number.

    An identifier, with letters on both sides of a digit (x9f2, a0b1), is masked completely.
    """
    if match["name"] is None:
        return WILD
    stem = _SIGN.sub("", match["stem"])
    return f"{stem}{'' if match['tail'] else match['head']}{WILD}"


class Words(dict[str, str]):
    """A cache from a word to its masked form; cleared when it is full."""

    def __missing__(self, word: str) -> str:
        masked = self._mask(word)
        if len(self) >= WORDS_KEPT:
            self.clear()
        self[word] = masked
        return masked

    def _mask(self, word: str) -> str:
        if word.isdecimal():
            return WILD
        if word.isalpha():
            return word if len(word) < 8 or word.strip(_HEX) else WILD
        printable = word if word.isprintable() else _CONTROL.sub("", word)
        return _VARIABLE.sub(_masked, printable)

    def of(self, line: str) -> str:
        line = line[:LOOKED_AT]
        if _digits_are_alike(line):
            words = self._each(line.encode().translate(_ONES).decode())
            if "1" not in words:  # all digits are masked: the replacement made no difference
                return words
        return self._each(line)

    def _each(self, line: str) -> str:
        return " ".join(map(self.__getitem__, line.split()))


def _digits_are_alike(line: str) -> bool:
    """Whether the masks treat all digits alike. The one for ``0x`` does not."""
    return line.isascii() and line.isprintable() and "0x" not in line and "0X" not in line


def phrases(words: str) -> str:
    """Mask the parts that only their neighbours show to be variable."""
    if WILD in words or " user" in words or "=" in words or " for " in words:
        for regex, mark in _PHRASES:
            words = regex.sub(mark, words)
    return words.strip()


def parameters(line: str) -> dict[str, str]:
    """The first value of each kind in *line*."""
    looked_at = line[:LOOKED_AT]
    found = ((name, regex.search(looked_at)) for name, regex in _PARAMETERS.items())
    return {name: match[1] for name, match in found if match}
