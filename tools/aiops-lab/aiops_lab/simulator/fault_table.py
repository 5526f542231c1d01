"""The faults as data: who says what, from onset to recovery, and which readings go where.

``Effect.opening`` is said once in this order at onset, ``worse`` later (``worse_at``, as a share
of the duration), ``ongoing`` again and again while the fault lasts, ``recovery`` once after it
has ended. ``peaks`` are the values towards which readings go. ``downstream`` gives the effect by
type of the dependants; ``ANY`` stands for types that are not named, and a type that finds neither
does not notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiops_core.models import Domain, Severity
from aiops_lab.simulator.templates import Template, templates

ANY = "*"
NOTHING: tuple[Template, ...] = ()


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault does to one device; *every* is the mean time in s between ongoing lines."""

    opening: tuple[Template, ...] = NOTHING
    worse: tuple[Template, ...] = NOTHING
    ongoing: tuple[Template, ...] = NOTHING
    recovery: tuple[Template, ...] = NOTHING
    peaks: Mapping[str, float] = field(default_factory=dict)
    every: float = 2.5
    worse_at: float = 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """A named fault. *duration*: onset to cause gone, s. *ramp*: share of it until readings peak.

    *dark*: the root says nothing normal while it lasts. *cycles*: how often it comes and goes.
    """

    name: str
    title: str
    domain: Domain
    severity: Severity
    device: str
    roots: frozenset[str]
    duration: float
    root: Effect
    downstream: Mapping[str, Effect] = field(default_factory=dict)
    ramp: float = 0.1
    dark: bool = False
    cycles: int = 1


_SERVERS = frozenset(
    {"hypervisor", "database", "directory", "dns", "mail", "fileserver", "nvr", "sync"}
)


def _effect(ongoing: str, recovery: str, every: float = 2.5, /, **peaks: float) -> Effect:
    return Effect(
        ongoing=templates(ongoing), recovery=templates(recovery), peaks=peaks, every=every
    )


_NO_SHORE: Mapping[str, Effect] = {
    "router": _effect(
        """
ipsla error | Probe {n} to shore hub timed out
ipsla warning | Round trip to shore hub {thousands} ms, threshold 1500 ms
bgpd error | Neighbour {outside} down: hold timer expired
""",
        """
bgpd info | Neighbour {outside} up again
ipsla info | Probe to shore hub ok again, round trip 6{digit}0 ms
""",
        wan_latency_ms=3200,
    ),
    "firewall": _effect(
        """
gateway error | WAN gateway unreachable: loss {percent} percent over 10 s
ipsec error | Tunnel to shore: no answer to dead peer detection, retry {n}
""",
        """
ipsec info | Tunnel to shore re-established, SPI {hex}
gateway info | WAN gateway reachable again
""",
        wan_latency_ms=3400,
    ),
    "sync": _effect(
        """
sync error | Batch {id} failed: connection to shore timed out after {n} s
sync warning | Queue grows, {hundreds} batches waiting for the shore link
""",
        "sync info | Connection to shore restored, sending {hundreds} queued batches",
    ),
    "mail": _effect(
        """
postfix/smtp warning | {id}: to=<office@shore.example>, status=deferred (connection timed out)
postfix/smtp error | connect to mx.shore.example[{outside}]:25: Network is unreachable
""",
        "postfix/smtp info | {id}: to=<office@shore.example>, status=sent, deferred queue flushed",
        mail_queue=640,
    ),
    "portal": _effect(
        """
portal error | Internet uplink lost, showing offline page to {hundreds} guests
portal warning | Captive check to {outside} failed {n} times
""",
        "portal info | Internet uplink restored, guests are online again",
        response_ms=4800,
    ),
    "voip_gateway": _effect(
        """
sipgw error | Shore trunk registration failed: 408 Request Timeout
sipgw error | Call {id} to shore dropped, no media for {n} s
""",
        "sipgw info | Shore trunk registered again",
        jitter_ms=240,
    ),
    "tracker": _effect(
        "lritd error | Position report {thousands} not acknowledged, satellite link lost",
        "lritd info | Delayed position reports acknowledged, link restored",
    ),
}

RAIN_FADE = Fault(
    name="rain_fade",
    title="Heavy rain fades the Ku-band signal",
    domain=Domain.COMMS,
    severity=Severity.HIGH,
    device="vsat-ant-01",
    roots=frozenset({"antenna"}),
    duration=18,
    root=Effect(
        opening=templates("""
antenna warning | Signal degraded: Es/No fell to 8.{n} dB, rain attenuation suspected
antenna error | Es/No {faded} dB below demodulation threshold 7.0 dB
"""),
        worse=templates("antenna error | Carrier lost on satellite, rain fade in progress"),
        ongoing=templates("antenna error | Es/No {faded} dB below demodulation threshold 7.0 dB"),
        recovery=templates("""
antenna info | Carrier found, signal rising, Es/No 9.{n} dB
antenna info | Signal recovered: Es/No {db} dB, rain fade over
"""),
        peaks={"snr_db": 3.1},
    ),
    downstream={
        "acu": _effect(
            """
acu warning | AGC below search threshold, fast step track started
acu error | Satellite signal lost, search pattern {n} started
""",
            "acu info | Satellite re-acquired, tracking restored",
            3.0,
            pointing_error_deg=1.4,
        ),
        "modem": _effect(
            """
modemd error | Rx carrier lock lost on beam {beam}, Es/No {faded} dB
modemd warning | MODCOD lowered to QPSK 1/4, throughput reduced
modemd error | Rx level -6{digit} dBm below minimum
""",
            "modemd info | Rx carrier locked on beam {beam}, Es/No {db} dB, link restored",
            snr_db=2.6,
            rx_level_dbm=-63,
            link_throughput_kbps=120,
            packet_loss_percent=38,
        ),
        **_NO_SHORE,
    },
)

MODEM_REBOOT = Fault(
    name="modem_reboot",
    title="The satellite modem restarts unexpectedly",
    domain=Domain.COMMS,
    severity=Severity.HIGH,
    device="sat-modem-01",
    roots=frozenset({"modem"}),
    duration=16,
    dark=True,
    root=Effect(
        opening=templates("""
modemd critical | Watchdog expired in task demod, system reset follows
kernel critical | Kernel panic - not syncing: watchdog timeout in demod
kernel warning | Booting firmware 4.2.{n}, reset reason: watchdog
"""),
        worse=templates("""
modemd error | Rx carrier lock lost, waiting for acquisition
modemd error | Hub login failed: no response, attempt {n}
"""),
        ongoing=templates("modemd error | Hub login failed: no response, attempt {n}"),
        recovery=templates("""
modemd info | Rx carrier locked, Es/No {db} dB
modemd info | Hub login successful, link up after restart, service restored
"""),
        peaks={
            "snr_db": 0.0,
            "rx_level_dbm": -90,
            "link_throughput_kbps": 0,
            "packet_loss_percent": 100,
        },
        every=3.0,
    ),
    downstream=_NO_SHORE,
)

_UNPLUGGED: Mapping[str, Effect] = {
    "switch": _effect(
        """
ifmgr error | Uplink TenGigabitEthernet1/1/1, changed state to down
stp error | Root bridge lost, no path to core
""",
        "ifmgr info | Uplink TenGigabitEthernet1/1/1, changed state to up",
        3.0,
    ),
    "ap": _effect(
        """
capwap error | Controller unreachable, tunnel down, retry {n}
hostapd warning | wlan0: Ethernet uplink lost, cell switched off
""",
        "capwap info | Controller joined again, cell back in service",
    ),
    "wlc": _effect(
        "wlcd error | Access point {mac} lost: missed {n} heartbeats",
        "wlcd info | Access points joined again, all cells in service",
    ),
    "camera": _effect(
        "camd error | Stream to recorder interrupted: no route to host {ip}",
        "camd info | Stream to recorder resumed",
    ),
    "engine_gateway": _effect(
        """
modbus-gw error | Connection to control room lost, buffering values ({hundreds})
modbus-gw error | Poll of unit {n} failed: network is unreachable
""",
        "modbus-gw info | Connection to control room restored, buffer flushed",
        poll_errors_per_s=14,
    ),
    "exhaust_sensor": _effect(
        "sensord warning | No request from gateway for {n} s, exhaust values held",
        "sensord info | Gateway asks again, exhaust values live",
    ),
    "oil_sensor": _effect(
        "sensord error | Lube oil values not collected for {n} s, local alarm only",
        "sensord info | Lube oil values collected again",
    ),
    "generator": _effect(
        "genset warning | Remote monitoring lost, running on local control",
        "genset info | Remote monitoring restored",
    ),
    "plc": _effect(
        "plc error | Operator station not reachable, heartbeat {n} missed",
        "plc info | Operator station reachable again",
    ),
    "hypervisor": _effect(
        """
kernel error | bond0: link status definitely down for interface {eth}, disabling it
vmmon error | Storage path to {host} lost, all paths down
""",
        "kernel info | bond0: link status definitely up, paths restored",
    ),
    "database": _effect(
        "postgres error | could not receive data from client: Connection reset by peer",
        "postgres info | database system accepts connections from all clients again",
    ),
    "app": _effect(
        """
app error | database connection failed: no route to host (request {id})
nginx error | upstream timed out (110: Connection timed out) while connecting, request {path}
""",
        "app info | database connection restored, serving requests again",
        response_ms=6200,
        error_rate_percent=46,
    ),
    "portal": _effect(
        "portal error | Controller and name server unreachable, {hundreds} guests without service",
        "portal info | Controller reachable again, guests are online again",
        response_ms=5200,
    ),
    "ecdis": _effect(
        "ecdis error | AIS and radar overlay lost: bridge network not available",
        "ecdis info | Bridge network available, overlays restored",
    ),
    "voip_gateway": _effect(
        "sipgw error | Exchange does not answer on {ip}:5060",
        "sipgw info | Exchange answers again",
    ),
    ANY: _effect(
        "netmon error | Default gateway unreachable, network is down on {eth}",
        "netmon info | Default gateway reachable again, network is up",
        3.5,
    ),
}

SWITCH_DOWN = Fault(
    name="switch_down",
    title="A switch loses its power supply",
    domain=Domain.NET,
    severity=Severity.HIGH,
    device="sw-acc-d09",
    roots=frozenset({"switch", "core_switch"}),
    duration=16,
    dark=True,
    root=Effect(
        opening=templates("""
envd critical | Power supply 1 failed, no redundant supply available
ifmgr error | Uplink TenGigabitEthernet1/1/1, changed state to down
ifmgr error | Line protocol on all downlinks, changed state to down
"""),
        worse=templates("sysmgr critical | Switch restarting after loss of power"),
        ongoing=templates("ifmgr error | Interface {iface}, changed state to down"),
        recovery=templates("""
sysmgr info | System restarted, power supply 1 ok
ifmgr info | Uplink TenGigabitEthernet1/1/1, changed state to up
"""),
        peaks={"ports_up": 0.0},
    ),
    downstream=_UNPLUGGED,
)

DISK_FULL = Fault(
    name="disk_full",
    title="A file system runs full",
    domain=Domain.SYSTEM,
    severity=Severity.HIGH,
    device="srv-nvr-01",
    roots=_SERVERS,
    duration=16,
    root=Effect(
        opening=templates("""
diskmon warning | Filesystem /data at 94 percent, {hundreds} MB left
kernel error | EXT4-fs warning (device sdb1): ext4_da_write: No space left on device
diskmon critical | Filesystem /data is full: 100 percent used
"""),
        worse=templates("systemd error | {job}.service: Failed with result 'exit-code'."),
        ongoing=templates("""
rsyslogd error | action file write error: No space left on device
storage error | write to /data/{id} failed: No space left on device (ENOSPC)
"""),
        recovery=templates("""
diskmon info | Old files removed, filesystem /data back to 7{digit} percent
storage info | Writes to /data succeed again
"""),
        peaks={"disk_used_percent": 99.8},
    ),
    downstream={
        "cctv_desk": _effect(
            """
viewer error | Recording of {camera} stopped: recorder reports storage full
viewer warning | Playback of {camera} not available
""",
            "viewer info | Recording of {camera} resumed",
        ),
        "signage": _effect(
            "player error | Playlist atrium-{n} not updated: file share is read-only or full",
            "player info | Playlist atrium-{n} updated again",
        ),
        "app": _effect(
            "app error | could not save record {id}: disk full on the server",
            "app info | saving records works again",
            error_rate_percent=22,
        ),
        "database": _effect(
            "postgres critical | could not write to file pg_wal/xlogtemp.{n}: No space left on device",
            "postgres info | write-ahead log is being written again",
        ),
    },
)

DATABASE_OVERLOAD = Fault(
    name="database_overload",
    title="The hotel database is overloaded",
    domain=Domain.APP,
    severity=Severity.HIGH,
    device="db-01",
    roots=frozenset({"database"}),
    duration=16,
    root=Effect(
        opening=templates("""
postgres warning | duration: {slow} ms  statement: SELECT * FROM folio WHERE cabin = $1
postgres error | canceling statement due to lock timeout
postgres critical | sorry, too many clients already
"""),
        worse=templates(
            "postgres error | deadlock detected: process {pid} waits for ShareLock on transaction {n}"
        ),
        ongoing=templates("""
postgres critical | remaining connection slots are reserved for superuser connections
postgres error | canceling statement due to statement timeout
postgres warning | duration: {slow} ms  statement: UPDATE orders SET state = $1 WHERE id = $2
"""),
        recovery=templates("""
postgres info | connections back to normal, {n} active
postgres info | long running query ended, database responds normally again
"""),
        peaks={"db_connections_percent": 99.0, "query_ms": 3400, "cpu_percent": 98.5},
        every=1.2,
    ),
    downstream={
        "app": _effect(
            """
app error | database pool exhausted, request {id} waited {slow} ms
nginx error | upstream timed out (110: Connection timed out) while reading response, request {path}
app warning | slow answer: {path} took {slow} ms
""",
            "app info | database pool recovered, response times normal",
            response_ms=7400,
            error_rate_percent=31,
        ),
    },
)

CREDENTIAL_ATTACK = Fault(
    name="credential_attack",
    title="Someone guesses passwords over SSH",
    domain=Domain.SECURITY,
    severity=Severity.HIGH,
    device="srv-dir-01",
    roots=_SERVERS | {"firewall"},
    duration=14,
    root=Effect(
        opening=templates("""
sshd warning | Invalid user {victim} from {attacker} port {port}
sshd warning | Failed password for invalid user {victim} from {attacker} port {port} ssh2
"""),
        worse=templates("""
sshd error | maximum authentication attempts exceeded for root from {attacker} port {port} ssh2
pam_faillock error | Account svc-backup locked after 5 failed logins from {attacker}
"""),
        ongoing=templates("""
sshd warning | Failed password for invalid user {victim} from {attacker} port {port} ssh2
sshd warning | Failed password for root from {attacker} port {port} ssh2
sshd warning | pam_unix(sshd:auth): authentication failure; ruser= rhost={attacker} user={victim}
sshd error | error: PAM: Authentication failure for {victim} from {attacker}
"""),
        recovery=templates("""
fail2ban info | [sshd] Ban {attacker}, attack stopped
pam_faillock info | Account svc-backup unlocked, logins back to normal
"""),
        peaks={"failed_logins_per_min": 260},
        every=0.3,
    ),
    downstream={
        "app": _effect(
            """
app warning | login of {victim} refused by directory: invalid credentials
app error | directory bind failed for svc-backup: account locked
""",
            "app info | directory bind succeeded, logins work again",
            3.0,
        ),
    },
)

FLAPPING = Fault(
    name="flapping",
    title="An uplink goes down and up again and again",
    domain=Domain.NET,
    severity=Severity.MEDIUM,
    device="sw-acc-d05",
    roots=frozenset({"switch", "core_switch"}),
    duration=80,
    cycles=8,
    root=Effect(
        opening=templates("""
ifmgr error | Uplink TenGigabitEthernet1/1/1, changed state to down
stp warning | Topology change detected on TenGigabitEthernet1/1/1
"""),
        recovery=templates("ifmgr info | Uplink TenGigabitEthernet1/1/1, changed state to up"),
        peaks={"port_errors_per_s": 42},
    ),
    downstream={
        "ap": Effect(
            opening=templates("capwap error | Controller unreachable, tunnel down, retry {n}"),
            recovery=templates("capwap info | Controller joined again, cell back in service"),
        ),
        "camera": Effect(
            opening=templates("camd error | Stream to recorder interrupted: no route to host {ip}"),
            recovery=templates("camd info | Stream to recorder resumed"),
        ),
    },
)

SLOW_BURN = Fault(
    name="slow_burn",
    title="A program leaks memory until it is killed",
    domain=Domain.SYSTEM,
    severity=Severity.MEDIUM,
    device="app-pms-01",
    roots=frozenset({"app", "portal"}),
    duration=600,
    ramp=0.85,
    root=Effect(
        opening=templates("app warning | Heap grows: {percent} MB more than an hour ago"),
        worse=templates("""
app error | Garbage collection took {slow} ms, heap exhausted
kernel critical | Out of memory: Killed process {pid} (java), anon-rss:{thousands}kB
"""),
        worse_at=0.95,
        ongoing=templates("app warning | Memory low, cache of {n} MB given back"),
        recovery=templates("""
systemd info | app.service: Restarted, memory usage back to normal
"""),
        peaks={"memory_used_percent": 98.0},
        every=25.0,
    ),
    downstream={"app": _effect("app warning | slow answer: {path} took {slow} ms", "", 60.0)},
)

STORM = Fault(
    name="storm",
    title="A field bus fails and its gateway complains 500 times a second",
    domain=Domain.SYSTEM,
    severity=Severity.HIGH,
    device="eng-gw-01",
    roots=frozenset({"engine_gateway"}),
    duration=10,
    root=Effect(
        opening=templates("modbus-gw critical | Field bus A: short circuit, all units silent"),
        ongoing=templates("""
modbus-gw error | Unit {n} timeout, register {thousands} not read
modbus-gw error | CRC error in answer of unit {n}: 0x{hex}
"""),
        recovery=templates("modbus-gw info | Field bus A restored, all units answer"),
        peaks={"poll_errors_per_s": 500},
        every=0.002,
    ),
)

FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        RAIN_FADE,
        MODEM_REBOOT,
        SWITCH_DOWN,
        DISK_FULL,
        DATABASE_OVERLOAD,
        CREDENTIAL_ATTACK,
        FLAPPING,
        SLOW_BURN,
        STORM,
    )
}
