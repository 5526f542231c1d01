"""What devices measure, and the limits that we hold to be plausible on every ship.

``LIMITS`` is the table that ``policies/detect.yaml`` can copy: a reading beyond ``value`` for
``hold`` seconds is a fault. Normal readings keep at least a quarter of the way to the limit in
reserve; faults go clearly past it. Names are the same on every device, so one limit per name is
enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aiops_core.models import Domain, Severity

HOLD = 4.0  # s: two readings in a row at the usual interval of 5 s
COUNTED = frozenset({"ports", "sats", "mails"})  # units that come in whole numbers


@dataclass(frozen=True, slots=True)
class ReadingLimit:
    """A reading that stays ``op`` ``value`` for ``hold`` seconds is a fault."""

    metric: str
    op: Literal[">", "<"]
    value: float
    unit: str
    domain: Domain
    severity: Severity
    hold: float = HOLD

    def broken_by(self, reading: float) -> bool:
        return reading > self.value if self.op == ">" else reading < self.value


@dataclass(frozen=True, slots=True)
class Gauge:
    """A normal metric: mean, daily swing, spread between sisters, noise (one sigma)."""

    metric: str
    mean: float
    noise: float
    swing: float = 0.0
    spread: float = 0.0


_LIMIT_TABLE = """
snr_db                   < 7     dB      comms  high
rx_level_dbm             < -50   dBm     comms  high
link_throughput_kbps     < 1000  kbit/s  comms  high
wan_latency_ms           > 1500  ms      comms  medium
packet_loss_percent      > 5     %       comms  high
pointing_error_deg       > 0.5   deg     comms  high
jitter_ms                > 80    ms      comms  medium
ports_up                 < 12    ports   net    high
port_errors_per_s        > 5     1/s     net    medium
channel_used_percent     > 85    %       net    medium
poll_errors_per_s        > 3     1/s     net    high
cpu_percent              > 90    %       system medium
memory_used_percent      > 90    %       system high
disk_used_percent        > 90    %       system high
temperature_celsius      > 65    °C      system medium
clock_offset_ms          > 20    ms      system medium
battery_percent          < 40    %       system high
input_voltage            < 195   V       system critical
bus_frequency_hz         < 58    Hz      system critical
exhaust_temp_celsius     > 450   °C      system critical
lube_oil_pressure_bar    < 2.8   bar     system critical
gen_load_percent         > 92    %       system high
gps_satellites           < 5     sats    system high
hdop                     > 4     -       system high
db_connections_percent   > 90    %       app    high
query_ms                 > 250   ms      app    high
response_ms              > 1500  ms      app    medium
error_rate_percent       > 5     %       app    medium
mail_queue               > 200   mails   app    medium
failed_logins_per_min    > 20    1/min   security high
"""


def _limit(row: str) -> ReadingLimit:
    metric, op, value, unit, domain, severity = row.split()
    comparison: Literal[">", "<"] = ">" if op == ">" else "<"
    return ReadingLimit(metric, comparison, float(value), unit, Domain(domain), Severity(severity))


LIMITS: Mapping[str, ReadingLimit] = {
    limit.metric: limit for limit in map(_limit, _LIMIT_TABLE.strip().splitlines())
}

_CPU = Gauge("cpu_percent", 28, 3, swing=8, spread=5)
_MEMORY = Gauge("memory_used_percent", 56, 0.6, swing=3, spread=6)
_DISK = Gauge("disk_used_percent", 58, 0.05, spread=8)
_WARM = Gauge("temperature_celsius", 41, 0.5, swing=2, spread=3)
_SNR = Gauge("snr_db", 12.4, 0.25, swing=0.4, spread=0.4)
_SERVER = (_CPU, _MEMORY, _DISK)
_APP = (Gauge("response_ms", 140, 18, swing=50, spread=25), Gauge("error_rate_percent", 0.4, 0.1))
_SWITCH = (
    Gauge("cpu_percent", 16, 2, swing=3, spread=3),
    Gauge("ports_up", 22, 0.0),
    Gauge("port_errors_per_s", 0.2, 0.05),
    _WARM,
)

GAUGES: Mapping[str, tuple[Gauge, ...]] = {
    "antenna": (_SNR, _WARM),
    "acu": (Gauge("pointing_error_deg", 0.08, 0.015), _WARM),
    "modem": (
        _SNR,
        Gauge("rx_level_dbm", -38, 0.4, swing=0.8, spread=1),
        Gauge("link_throughput_kbps", 7800, 350, swing=1800),
        Gauge("packet_loss_percent", 0.4, 0.1),
    ),
    "router": (_CPU, Gauge("wan_latency_ms", 640, 12, swing=40), _WARM),
    "firewall": (_CPU, _MEMORY, Gauge("wan_latency_ms", 655, 12, swing=40)),
    "core_switch": _SWITCH,
    "switch": _SWITCH,
    "wlc": (_CPU, _MEMORY),
    "ap": (Gauge("channel_used_percent", 34, 4, swing=14, spread=4),),
    "portal": (_CPU, _MEMORY, *_APP),
    "hypervisor": (*_SERVER, _WARM),
    "database": (
        *_SERVER,
        Gauge("db_connections_percent", 34, 3, swing=8),
        Gauge("query_ms", 12, 2, swing=4),
    ),
    "app": (_CPU, _MEMORY, *_APP),
    "directory": (*_SERVER, Gauge("failed_logins_per_min", 1.2, 0.25)),
    "dns": (*_SERVER, Gauge("query_ms", 4, 0.6)),
    "ntp": (_CPU, Gauge("clock_offset_ms", 1.5, 0.3)),
    "mail": (*_SERVER, Gauge("mail_queue", 14, 2.5, swing=6)),
    "fileserver": _SERVER,
    "signage": (_MEMORY,),
    "sync": (_CPU, _DISK),
    "nvr": (_CPU, _MEMORY, Gauge("disk_used_percent", 71, 0.05, spread=1)),
    "cctv_desk": (_CPU,),
    "camera": (_WARM,),
    "pbx": (_CPU, Gauge("jitter_ms", 9, 1.2, swing=2)),
    "voip_gateway": (Gauge("jitter_ms", 19, 2.5, swing=3),),
    "tracker": (),
    "gps": (Gauge("gps_satellites", 11, 0.4, swing=0.8), Gauge("hdop", 0.95, 0.06, swing=0.1)),
    "gyro": (_WARM,),
    "ais": (_WARM,),
    "ecdis": (_CPU, _MEMORY),
    "radar": (_WARM,),
    "engine_gateway": (_CPU, Gauge("poll_errors_per_s", 0.15, 0.04)),
    "exhaust_sensor": (Gauge("exhaust_temp_celsius", 362, 2.5, swing=9),),
    "oil_sensor": (Gauge("lube_oil_pressure_bar", 4.4, 0.04, swing=0.08),),
    "generator": (Gauge("gen_load_percent", 58, 1.5, swing=8), Gauge("bus_frequency_hz", 60, 0.05)),
    "ups": (
        Gauge("battery_percent", 98.5, 0.2),
        Gauge("input_voltage", 230, 0.8, swing=1),
        _WARM,
    ),
    "plc": (Gauge("bus_frequency_hz", 60, 0.05), _WARM),
}
