"""``aiops devices suggest``, ``accept`` and ``reject``: an inventory that nobody types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from aiops_cli.api import Api, ApiOption
from aiops_cli.output import JsonOption, emit_json
from aiops_cli.screen import console
from aiops_cli.suggestions_view import accepted, listing, rejected, told
from aiops_cli.topology.exports import unresolved
from aiops_cli.topology.found import Found, FoundDevice, NotThese, together
from aiops_cli.topology.reading import read
from aiops_core.errors import Misconfigured, why
from aiops_core.inventory.inventory import Inventory
from aiops_core.inventory.links import Directed, directed
from aiops_core.models import Device
from aiops_core.runtime.service import utc_now

PAGE = 500
AT_ONCE = 1000  # devices or edges of one request
LARGEST = 64 << 20  # bytes of a file

Files = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME=]FILE…",
        help="lldpctl -f json, snmpwalk of LLDP-MIB, ip route (of the device NAME), leases of DHCP,"
        " exports of NetBox, LibreNMS, Zabbix. Without a file: list what is suggested.",
    ),
]
Name = Annotated[str | None, typer.Argument(metavar="[DEVICE]")]
Upstream = Annotated[
    list[str] | None, typer.Argument(metavar="[UPSTREAM…]", help="Default: all that are open.")
]
Least = Annotated[float | None, typer.Option(min=0, max=1, help="All of at least this confidence.")]
Alone = Annotated[bool, typer.Option("--alone", help="The device itself, without an edge.")]


def register(app: typer.Typer) -> None:
    """Add the commands to those of ``aiops devices``."""
    for command in (suggest, accept, reject):
        app.command()(command)


def suggest(
    files: Files = None,
    status: Annotated[str, typer.Option(help="open, accepted, rejected.")] = "open",
    least: Least = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is new.")] = False,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Suggest devices and dependencies from files; without one, list them."""
    if not files:
        _list(api, status, least, as_json=as_json)
        return
    parts = [_read(name) for name in files]
    with Api.open(api) as calls:
        known = Inventory(Device.model_validate(one) for one in _pages(calls, "/devices"))
        whole = together(parts, known)
        if missing := next(unresolved(whole.links), None):
            raise Misconfigured(
                f"{missing} has no name in these files; give the list of devices (/api/v0/devices)"
                " together with the links"
            )
        found = directed(whole.links, whole.standings, utc_now())
        devices = list(_devices(whole.devices, known))
        report = _sent(calls, devices, list(_edges(found)), dry_run=dry_run)
    report |= {"undecided": found.undecided, "unnamed": whole.unnamed}
    if as_json:
        emit_json(report)
    else:
        console().print(told(report, [part.what for part in parts]))


def accept(
    device: Name = None,
    upstream: Upstream = None,
    least: Least = None,
    alone: Alone = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the changes.")] = False,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put what is suggested into the inventory."""
    with Api.open(api) as calls:
        body = _choice(device, upstream, least, alone=alone)
        report = calls.post("/devices/suggestions/accept", **body, dry_run=dry_run)
    if as_json:
        emit_json(report)
    else:
        console().print(accepted(report))


def reject(
    device: Name = None,
    upstream: Upstream = None,
    least: Least = None,
    alone: Alone = False,
    api: ApiOption = None,
    as_json: JsonOption = False,
) -> None:
    """Never suggest it again."""
    with Api.open(api) as calls:
        body = _choice(device, upstream, least, alone=alone)
        report = calls.post("/devices/suggestions/reject", **body)
    if as_json:
        emit_json(report)
    else:
        console().print(rejected(report))


def _list(api: str | None, status: str, least: float | None, *, as_json: bool) -> None:
    with Api.open(api) as calls:
        first = calls.get("/devices/suggestions", limit=PAGE, status=status, least=least)
        items, cursor = first["items"], first["next_cursor"]
        while cursor:
            page = calls.get(
                "/devices/suggestions", limit=PAGE, status=status, least=least, cursor=cursor
            )
            items, cursor = items + page["items"], page["next_cursor"]
    if as_json:
        emit_json({"items": items, "devices": first["devices"]})
    elif items or first["devices"]:
        console().print(listing(items, first["devices"]))
    else:
        console().print("nothing is suggested; `aiops devices suggest FILE…` reads files")


def _choice(
    device: str | None, upstream: Sequence[str] | None, least: float | None, *, alone: bool
) -> dict[str, Any]:
    """The body of a decision. Raises Misconfigured for none, or for two ways at once."""
    if (device is None) == (least is None):
        raise Misconfigured("name a device, or give --least CONFIDENCE")
    if alone:
        if device is None or upstream:
            raise Misconfigured("--alone is of one device, without upstream devices")
        return {"devices": [device]}
    if device is None:
        return {"least": least}
    return {"device": device, "upstream": list(upstream or ())}


def _read(argument: str) -> Found:
    """The file of ``FILE`` or ``NAME=FILE``. Raises Misconfigured for one that tells nothing."""
    name, equals, rest = argument.partition("=")
    path, of = (
        (Path(rest), name) if equals and not Path(argument).exists() else (Path(argument), "")
    )
    try:
        if path.stat().st_size > LARGEST:
            raise Misconfigured(f"{path}: is larger than {LARGEST >> 20} MB")
        text = path.read_text("utf-8", errors="replace")
    except OSError as exc:
        raise Misconfigured(f"{path}: cannot be read: {why(exc)}") from exc
    try:
        return read(text, of)
    except NotThese as exc:
        raise Misconfigured(f"{path}: {exc}") from None


def _pages(calls: Api, path: str) -> Iterator[Mapping[str, Any]]:
    cursor = None
    while True:
        page = calls.get(path, limit=PAGE, cursor=cursor)
        yield from page["items"]
        if (cursor := page["next_cursor"]) is None:
            return


def _edges(found: Directed) -> Iterator[dict[str, Any]]:
    for key, findings in found.findings.items():
        for finding in findings:
            yield {
                "device": key.device,
                "upstream": key.upstream,
                "kind": finding.kind,
                "confidence": finding.confidence,
                "evidence": finding.evidence,
            }


def _devices(found: Sequence[FoundDevice], known: Inventory) -> Iterator[dict[str, Any]]:
    """Those that *known* lacks, under each name and address."""
    for one in found:
        if known.resolve(one.id, one.ip, one.mac) is None:
            labels = {key: text for key, text in (("ip", one.ip), ("mac", one.mac)) if text}
            device = {"id": one.id, "name": one.name, "site": one.site, "labels": labels}
            if one.type:
                device["type"] = one.type
            yield {"device": device, "said": one.said[:200]}


def _sent(
    calls: Api, devices: Sequence[Any], edges: Sequence[Any], *, dry_run: bool
) -> dict[str, Any]:
    """The reports of all requests as one."""
    report: dict[str, Any] = {"edges": [], "devices": [], "dry_run": dry_run}
    for key, rows in (("devices", devices), ("edges", edges)):
        for start in range(0, len(rows), AT_ONCE):
            part = calls.post(
                "/devices/suggestions", **{key: rows[start : start + AT_ONCE]}, dry_run=dry_run
            )
            report["edges"] += part["edges"]
            report["devices"] += part["devices"]
    return report
