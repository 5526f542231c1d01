"""What kind of file it is, by its content. Pure."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import yaml

from aiops_cli.topology import addresses, exports, lldp
from aiops_cli.topology.found import Found, NotThese

KINDS = (
    "lldpctl -f json, snmpwalk of LLDP-MIB, ip route, leases of DHCP, or an export of NetBox,"
    " LibreNMS or Zabbix"
)


def read(text: str, of: str = "") -> Found:
    """*of*: the device on which it was asked. Raises NotThese for what tells nothing."""
    text = text.lstrip("\ufeff")
    data = _data(text)
    if lldp.is_json(data):
        return lldp.of_json(data, _stated(of))
    if addresses.is_routes(data, text):
        return addresses.of_routes(data, text, _stated(of))
    if data is None and lldp.is_walk(text):
        return lldp.of_walk(text, of)
    found = (
        exports.of_data(data)
        if data is not None
        else addresses.leases(text) or exports.of_table(_table(text))
    )
    if found is None:
        raise NotThese(f"is none of these: {KINDS}")
    return found


def _stated(of: str) -> str:
    if not of:
        raise NotThese("does not name the device on which it was asked; give it as NAME=FILE")
    return of


def _data(text: str) -> Any:
    """Of JSON, or of YAML that an export of Zabbix is; else None."""
    try:
        if text.lstrip().startswith(("[", "{")):
            return json.loads(text)
        if text.startswith("zabbix_export:"):
            return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (ValueError, RecursionError, yaml.YAMLError) as exc:
        reason = str(exc).partition("\n")[0]
        raise NotThese(f"cannot be read: {reason}") from exc
    return None


def _table(text: str) -> list[dict[str, str]]:
    """Of CSV, with the header in lower case."""
    head, _, rest = text.partition("\n")
    names = [name.strip().strip('"').casefold() for name in head.split(",")]
    if len(names) < 2:
        return []
    try:
        rows = list(csv.reader(io.StringIO(rest, newline="")))
    except csv.Error:
        return []
    return [dict(zip(names, row, strict=False)) for row in rows if row]
