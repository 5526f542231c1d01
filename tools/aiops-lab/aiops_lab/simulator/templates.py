"""Log line templates with fields that vary, and those of a normal day by type of device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from string import Formatter
from typing import Any

import yaml

from aiops_core.models import Level

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built


@dataclass(frozen=True, slots=True)
class LineTemplate:
    """One message of a program; ``{fields}`` are drawn from ``FIELDS``."""

    service: str
    level: Level
    text: str
    weight: float = field(default=1.0, compare=False)


def data_file(name: str) -> Any:
    """The content of a YAML file beside this module."""
    return yaml.load(Path(__file__).with_name(name).read_text("utf-8"), Loader=_LOADER)


def templates(table: str) -> tuple[LineTemplate, ...]:
    """Parse rows of ``service level [weight] | text``."""
    return tuple(_template(row) for row in table.splitlines() if row.strip())


def _template(row: str) -> LineTemplate:
    head, text = row.split("|", 1)
    service, level, *weight = head.split()
    return LineTemplate(service, Level(level), text.strip(), float(weight[0]) if weight else 1.0)


def _one_of(*choices: str) -> Callable[[Random], str]:
    return lambda rng: rng.choice(choices)


def _whole(low: int, high: int) -> Callable[[Random], str]:
    return lambda rng: str(rng.randint(low, high))


def _decimal(low: float, high: float, digits: int) -> Callable[[Random], str]:
    return lambda rng: f"{rng.uniform(low, high):.{digits}f}"


def _hex(digits: int) -> Callable[[Random], str]:
    return lambda rng: f"{rng.getrandbits(4 * digits):0{digits}x}"


def _mac(rng: Random) -> str:
    return ":".join(f"{rng.getrandbits(8):02x}" for _ in range(6))


def _inside(rng: Random) -> str:
    return f"10.{rng.choice((20, 40, 60))}.{rng.randint(0, 7)}.{rng.randint(10, 250)}"


def _outside(rng: Random) -> str:
    """An address from the ranges set aside for documentation."""
    return f"{rng.choice(('203.0.113', '198.51.100', '192.0.2'))}.{rng.randint(1, 254)}"


FIELDS: Mapping[str, Callable[[Random], str]] = {
    "user": _one_of("purser", "itofficer", "hotelmgr", "chiefeng", "secondmate", "svc-backup"),
    "victim": _one_of(
        "root", "admin", "administrator", "oracle", "test", "backup", "captain", "guest"
    ),
    "ip": _inside,
    "ip2": _inside,
    "attacker": lambda rng: f"198.51.100.{rng.randint(7, 11)}",
    "outside": _outside,
    "mac": _mac,
    "port": _whole(1024, 65000),
    "pid": _whole(300, 32000),
    "iface": lambda rng: f"GigabitEthernet1/0/{rng.randint(1, 24)}",
    "eth": _one_of("eth0", "eth1", "bond0"),
    "vlan": _one_of("20", "40", "60", "110", "120"),
    "host": _one_of("hv-01", "hv-02", "db-01", "app-pms-01", "srv-file-01", "srv-mail-01"),
    "name": _one_of("pms", "menu", "crew", "weather", "time", "portal", "cdn", "updates"),
    "path": _one_of(
        "/api/cabins", "/api/folio", "/api/menu", "/menu/today", "/api/orders", "/login"
    ),
    "job": _one_of(
        "backup-incremental", "logrotate", "index-refresh", "folio-export", "cache-warm"
    ),
    "sensor": _one_of("cyl 1", "cyl 2", "cyl 3", "cyl 4", "cyl 5", "cyl 6"),
    "camera": _one_of("cam-d02-03", "cam-d05-01", "cam-d09-01", "cam-gangway"),
    "beam": _one_of("ATL-07"),
    "mmsi": _whole(201000000, 775999999),
    "n": _whole(1, 40),
    "digit": _whole(0, 9),
    "hundreds": _whole(100, 990),
    "thousands": _whole(1000, 48000),
    "ms": _whole(2, 90),
    "slow": _whole(4000, 15000),
    "seconds": _decimal(0.1, 9.0, 1),
    "db": _decimal(11.6, 13.2, 1),
    "faded": _decimal(1.8, 4.6, 1),
    "deg": _decimal(0.0, 359.9, 1),
    "celsius": _whole(38, 46),
    "percent": _whole(20, 70),
    "knots": _decimal(0.2, 21.0, 1),
    "hex": _hex(8),
    "id": _hex(6),
}


@cache
def _fields(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(text) if name))


def render(text: str, rng: Random) -> str:
    """Fill in the fields of a template's text."""
    names = _fields(text)
    return text.format_map({name: FIELDS[name](rng) for name in names}) if names else text


HARMLESS_SHARE = 0.001  # of all normal lines

_TABLES = data_file("normal_lines.yaml")


def _by_type(tables: Mapping[str, str | list[str]]) -> dict[str, tuple[LineTemplate, ...]]:
    """A type with several tables says the lines of all of them."""
    return {kind: templates("".join(table)) for kind, table in tables.items()}


NORMAL: Mapping[str, tuple[LineTemplate, ...]] = _by_type(_TABLES["normal"])
CHATTY: Mapping[str, float] = _TABLES["chatty"]
HARMLESS_ERRORS: Mapping[str, tuple[LineTemplate, ...]] = _by_type(_TABLES["harmless"])
STRAY = templates(_TABLES["stray"])
