"""Fields, ``name=value``, and their labels under OpenTelemetry's names. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

FIELD = re.compile(r'(?<![\w.-])([A-Za-z_][\w.-]{0,63})=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))')

SEMANTIC = {
    "src": "source.address",
    "srcip": "source.address",
    "src_ip": "source.address",
    "sourceaddress": "source.address",
    "dst": "destination.address",
    "dstip": "destination.address",
    "dst_ip": "destination.address",
    "srcport": "source.port",
    "src_port": "source.port",
    "spt": "source.port",
    "sport": "source.port",
    "s_port": "source.port",
    "dstport": "destination.port",
    "dst_port": "destination.port",
    "dpt": "destination.port",
    "dport": "destination.port",
    "user": "user.name",
    "usr": "user.name",
    "user_name": "user.name",
    "suser": "user.name",
    "usrname": "user.name",
    "url": "url.full",
    "request": "url.full",
    "agent": "user_agent.original",
    "useragent": "user_agent.original",
    "requestclientapplication": "user_agent.original",
    "requestmethod": "http.request.method",
    "interface": "network.interface.name",
    "intf": "network.interface.name",
    "in_interface": "network.interface.name",
    "deviceinboundinterface": "network.interface.name",
    "vlan": "vlan.id",
    "vlanid": "vlan.id",
    "proto": "network.transport",
    "protocol": "network.transport",
    "logid": "event.id",
    "log_id": "event.id",
    "msg_id": "event.id",
}
_ADDRESSED = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?::[\w .-]*)?")

Fields = dict[str, str]


def fields(text: str) -> Fields:
    """The fields of *text*; the first of a name counts."""
    found: Fields = {}
    for name, quoted, bare in FIELD.findall(text):
        found.setdefault(name, quoted.replace('\\"', '"') if quoted else bare)
    return found


def labelled(values: Iterable[tuple[str, str]]) -> Fields:
    """Fields as labels; of two that mean the same, the second keeps its own name."""
    labels: Fields = {}
    for name, value in values:
        if value and value != "N/A":
            known = SEMANTIC.get(name.lower(), name)
            if known.endswith(".address") and (parts := _ADDRESSED.fullmatch(value)):
                labels.setdefault(known.replace(".address", ".port"), parts[2])
                value = parts[1]
            labels[name if known in labels else known] = value
    return labels
