"""The values in a line that an operator asks for first: user, address, interface, code.

Only lines in anomalies are searched.
"""

from __future__ import annotations

import re

from anomaly_detection.templates.masking import LOOKED_AT

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


def parameters(line: str) -> dict[str, str]:
    """The first value of each kind in *line*."""
    looked_at = line[:LOOKED_AT]
    found = ((name, regex.search(looked_at)) for name, regex in _PARAMETERS.items())
    return {name: match[1] for name, match in found if match}
