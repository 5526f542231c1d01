"""The ship: about 50 devices and what each needs to work (``Device.upstream``, a DAG).

Two legs lead to the shore: Ku-band (antenna, ACU, modem, edge router, firewall), which carries
the ship's business, and an L-band terminal for calls and tracking. Hotel and IT hang below
``sw-core-01``, bridge and engine below ``sw-core-02``. GPS and gyro are wired serially and need
nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from aiops_core.models import Device, Severity

# id | type | site | criticality | owner | upstream | name
_TABLE = """
ups-rack-01      | ups             | deck 3, server room  | high     | electrical |                              | UPS of the server room
ups-bridge-01    | ups             | deck 11, bridge      | high     | electrical |                              | UPS of the bridge
plc-power-01     | plc             | deck 1, engine room  | critical | electrical | sw-eng-01                    | Power management PLC
vsat-ant-01      | antenna         | deck 13, radar mast  | critical | it-comms   |                              | Ku-band VSAT antenna
acu-01           | acu             | deck 12, radio room  | critical | it-comms   | vsat-ant-01 gyro-01          | Antenna control unit
sat-modem-01     | modem           | deck 12, radio room  | critical | it-comms   | acu-01                       | Satellite modem, Ku-band
lband-01         | modem           | deck 12, radio room  | high     | it-comms   |                              | L-band terminal with modem
rtr-edge-01      | router          | deck 12, radio room  | critical | it-network | sat-modem-01                 | Edge router to shore
fw-01            | firewall        | deck 3, server room  | critical | it-network | rtr-edge-01 sw-core-01       | Firewall
sw-core-01       | core_switch     | deck 3, server room  | critical | it-network | ups-rack-01                  | Core switch, hotel and IT
sw-core-02       | core_switch     | deck 11, bridge      | critical | it-network | ups-bridge-01                | Core switch, bridge and engine
sw-srv-01        | switch          | deck 3, server room  | critical | it-network | sw-core-01                   | Server room switch
sw-acc-d05       | switch          | deck 5, locker aft   | medium   | it-network | sw-core-01                   | Access switch, deck 5
sw-acc-d09       | switch          | deck 9, locker fwd   | medium   | it-network | sw-core-01                   | Access switch, deck 9
sw-brg-01        | switch          | deck 11, bridge      | high     | it-network | sw-core-02                   | Bridge switch
sw-eng-01        | switch          | deck 1, control room | high     | it-network | sw-core-02                   | Engine control room switch
wlc-01           | wlc             | deck 3, server room  | high     | it-network | sw-srv-01                    | Wi-Fi controller
ap-d05-01        | ap              | deck 5, promenade    | low      | it-network | sw-acc-d05 wlc-01            | Access point, promenade
ap-d05-02        | ap              | deck 5, restaurant   | low      | it-network | sw-acc-d05 wlc-01            | Access point, restaurant
ap-d09-01        | ap              | deck 9, cabins fwd   | low      | it-network | sw-acc-d09 wlc-01            | Access point, cabins forward
ap-d09-02        | ap              | deck 9, cabins aft   | low      | it-network | sw-acc-d09 wlc-01            | Access point, cabins aft
guest-wifi-01    | portal          | deck 3, server room  | medium   | it-guest   | wlc-01 srv-dns-01 fw-01      | Guest Wi-Fi gateway and portal
hv-01            | hypervisor      | deck 3, server room  | critical | it-servers | sw-srv-01                    | Hypervisor 1
hv-02            | hypervisor      | deck 3, server room  | critical | it-servers | sw-srv-01                    | Hypervisor 2
db-01            | database        | deck 3, server room  | critical | it-servers | hv-01                        | PostgreSQL of the hotel systems
app-pms-01       | app             | deck 3, server room  | high     | hotel-it   | db-01 hv-02                  | Property management
app-booking-01   | app             | deck 3, server room  | medium   | hotel-it   | db-01 hv-02                  | Excursion and table booking
app-pos-01       | app             | deck 3, server room  | high     | hotel-it   | db-01 hv-01                  | Point of sale
app-pax-01       | app             | deck 3, server room  | medium   | hotel-it   | app-pms-01 guest-wifi-01     | Passenger app
app-crew-01      | app             | deck 3, server room  | low      | it-servers | srv-dir-01                   | Crew portal
srv-dir-01       | directory       | deck 3, server room  | critical | it-servers | hv-02                        | Directory and jump host
srv-dns-01       | dns             | deck 3, server room  | high     | it-servers | hv-01                        | DNS and DHCP
srv-ntp-01       | ntp             | deck 3, server room  | medium   | it-servers | sw-srv-01 gps-01             | Time server
srv-mail-01      | mail            | deck 3, server room  | medium   | it-servers | hv-02 fw-01                  | Mail server
srv-file-01      | fileserver      | deck 3, server room  | medium   | it-servers | hv-02                        | File server
signage-01       | signage         | deck 5, atrium       | low      | hotel-it   | srv-file-01                  | Information screens
shore-sync-01    | sync            | deck 3, server room  | high     | it-servers | hv-01 fw-01                  | Replication to the shore office
srv-nvr-01       | nvr             | deck 3, server room  | high     | security   | sw-srv-01                    | Video recorder
cctv-desk-01     | cctv_desk       | deck 4, security     | medium   | security   | srv-nvr-01                   | CCTV desk
cam-d09-01       | camera          | deck 9, lobby        | low      | security   | sw-acc-d09                   | Camera, lobby deck 9
pbx-01           | pbx             | deck 3, server room  | high     | it-comms   | sw-srv-01                    | Telephone exchange
voip-gw-01       | voip_gateway    | deck 12, radio room  | medium   | it-comms   | pbx-01 lband-01              | Shore call gateway
lrit-01          | tracker         | deck 12, radio room  | high     | bridge     | lband-01 gps-01              | Long-range tracking reporter
gps-01           | gps             | deck 13, mast        | critical | bridge     |                              | GPS receiver
gyro-01          | gyro            | deck 11, bridge      | critical | bridge     |                              | Gyro compass
ais-01           | ais             | deck 11, bridge      | high     | bridge     | gps-01 sw-brg-01             | AIS transponder
ecdis-01         | ecdis           | deck 11, bridge      | critical | bridge     | gps-01 gyro-01 sw-brg-01     | Chart display
radar-01         | radar           | deck 11, bridge      | critical | bridge     | gyro-01 sw-brg-01            | X-band radar
eng-gw-01        | engine_gateway  | deck 1, control room | high     | engine     | sw-eng-01                    | Engine sensor gateway
me-exhaust-01    | exhaust_sensor  | deck 1, engine room  | high     | engine     | eng-gw-01                    | Main engine exhaust temperatures
me-lubeoil-01    | oil_sensor      | deck 1, engine room  | critical | engine     | eng-gw-01                    | Main engine lubricating oil
gen-01           | generator       | deck 1, engine room  | critical | engine     | eng-gw-01                    | Generator set 1
"""


class UnknownDeviceError(LookupError):
    """A device that this ship does not have."""


class Ship:
    """The devices of one ship and their dependencies. Refuses unknown upstream ids and cycles."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._by_id = {device.id: device for device in devices}
        self._refuse_unknown()
        self._refuse_cycles()

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(self._by_id.values())

    def __getitem__(self, device_id: str) -> Device:
        try:
            return self._by_id[device_id]
        except KeyError:
            raise UnknownDeviceError(f"no device {device_id!r} on this ship") from None

    def __contains__(self, device_id: str) -> bool:
        return device_id in self._by_id

    @cached_property
    def _children(self) -> dict[str, tuple[str, ...]]:
        return {id_: tuple(d.id for d in self.devices if id_ in d.upstream) for id_ in self._by_id}

    def children(self, device_id: str) -> tuple[Device, ...]:
        """The devices that need *device_id* directly."""
        return tuple(self._by_id[id_] for id_ in self._children[self[device_id].id])

    def descendants(self, device_id: str) -> dict[str, int]:
        """Every device downstream of *device_id* and its distance in hops, nearest first."""
        return _walk(device_id, lambda id_: self._children[id_])

    def ancestors(self, device_id: str) -> dict[str, int]:
        """Every device upstream of *device_id* and its distance in hops, nearest first."""
        return _walk(device_id, lambda id_: self[id_].upstream)

    def branch(self, device_id: str) -> frozenset[str]:
        """The device and all that hangs on it."""
        return frozenset({self[device_id].id, *self.descendants(device_id)})

    def independent(self, one: str, other: str) -> bool:
        """Whether nothing hangs on both devices, and neither on the other."""
        return self.branch(one).isdisjoint(self.branch(other))

    def _refuse_unknown(self) -> None:
        for device in self.devices:
            for parent in device.upstream:
                if parent not in self._by_id:
                    raise UnknownDeviceError(f"{device.id} needs {parent!r}, which nobody knows")

    def _refuse_cycles(self) -> None:
        for id_ in self._by_id:
            if id_ in self.ancestors(id_):
                raise ValueError(f"{id_} would need itself")


def _walk(start: str, neighbours: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """Breadth first: hops of everything reachable; *start* itself only when it lies on a cycle."""
    found: dict[str, int] = {}
    frontier, hops = tuple(neighbours(start)), 1
    while frontier:
        new = [id_ for id_ in dict.fromkeys(frontier) if id_ not in found]
        found.update(dict.fromkeys(new, hops))
        frontier, hops = tuple(n for id_ in new for n in neighbours(id_)), hops + 1
    return found


def _device(number: int, row: str) -> Device:
    id_, kind, site, criticality, owner, upstream, name = (cell.strip() for cell in row.split("|"))
    return Device(
        id=id_,
        name=name,
        type=kind,
        site=site,
        criticality=Severity(criticality),
        upstream=tuple(upstream.split()),
        owner=owner,
        labels={"ip": f"10.20.{number // 20}.{10 + number}"},
    )


def _rows() -> Iterator[str]:
    return iter(_TABLE.strip().splitlines())


SHIP = Ship(_device(number, row) for number, row in enumerate(_rows()))
