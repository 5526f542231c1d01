"""What each type of device says on a normal day: ``service level [weight] | text``.

Warnings here are harmless and have names that a watch officer knows. Error lines are rare on
purpose (``HARMLESS_ERRORS``, about one line in a thousand): real ships have them too, and nobody
should wake up for one. Each is a one-off that heals itself:

* a port scanner or a worn-out client that breaks off its SSH handshake,
* a corrupted NMEA sentence, dropped by its check sum,
* a lookup that fails because a name does not exist,
* a TLS handshake broken off by an old passenger phone,
* an SNMP request with a wrong community from a printer.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiops_lab.simulator.templates import Template, templates

HARMLESS_SHARE = 0.001  # of all normal lines

_SWITCH = """
ifmgr info 4 | Interface {iface}, changed state to up
ifmgr info 3 | Line protocol on Interface {iface}, changed state to up
stp info 2 | Port {iface} moved to forwarding state in VLAN {vlan}
lldpd info 2 | Neighbour {mac} seen on {iface}, ttl 120
snmpd info 3 | Connection from UDP: [{ip}]:{port}->[{ip2}]:161
dot1xd info 3 | Authentication succeeded for client {mac} on {iface} vlan {vlan}
envd info 1 | Inlet temperature {celsius} C, fans at {percent} percent
ntpd info 1 | Clock synchronised, offset {ms} us, stratum 2
dot1xd warning 0.3 | Client {mac} on {iface} timed out once, trying MAC authentication
"""

_LINUX = """
sshd info 3 | Accepted publickey for {user} from {ip} port {port} ssh2: ED25519 SHA256:{hex}{hex}
sshd info 2 | Connection closed by {ip} port {port}
systemd info 3 | Started {job}.service
systemd info 3 | {job}.service: Deactivated successfully.
CRON info 3 | ({user}) CMD (/usr/local/bin/{job} --quiet)
sudo info 1 | {user} : TTY=pts/0 ; PWD=/home/{user} ; USER=root ; COMMAND=/usr/bin/systemctl status
snmpd info 2 | Connection from UDP: [{ip}]:{port}->[{ip2}]:161
chronyd info 1 | Selected source 10.20.1.42, offset {ms} us
kernel info 1 | {eth}: renewed link parameters, 10 Gbps full duplex
kernel warning 0.2 | perf: interrupt took too long ({thousands} > 2500), lowering sample rate
systemd warning 0.2 | {job}.service: Consumed {seconds}s CPU time, longer than usual
"""

_APP = """
nginx info 8 | {ip} "GET {path} HTTP/1.1" 200 {thousands} {ms}ms
nginx info 3 | {ip} "POST {path} HTTP/1.1" 201 {hundreds} {ms}ms
nginx info 1 | {ip} "GET {path}?v={id} HTTP/1.1" 304 0 {ms}ms
app info 3 | session {id} opened for {user} from {ip}
app info 2 | session {id} closed after {hundreds} s
app info 2 | job {job} finished in {seconds} s, {hundreds} records
app warning 0.3 | request {id} took {hundreds} ms, above the target of 500 ms
nginx warning 0.3 | {ip} client closed connection while sending response {path}
"""

_TABLES: Mapping[str, str] = {
    "antenna": """
antenna info 4 | Az {deg} El 38.{n} pol {n} tracking satellite, Es/No {db} dB
antenna info 2 | Radome temperature {celsius} C, humidity {percent} percent
antenna info 1 | BUC output power {n} dBm, within range
""",
    "acu": """
acu info 4 | Tracking: AGC {hundreds}, heading {deg}, step track gain 0.{n} dB
acu info 2 | Heading input from gyro ok, {deg} degrees
acu info 1 | Conical scan completed in {seconds} s
acu warning 0.3 | Roll above 6 degrees, tracking loop widened
""",
    "modem": """
modemd info 4 | Rx lock on beam {beam}, Es/No {db} dB, MODCOD 8PSK 3/4
modemd info 3 | Tx {thousands} kB Rx {thousands} kB in 60 s
modemd info 2 | Uplink power control: adjusted by 0.{n} dB
modemd info 1 | Keepalive from hub answered in {hundreds} ms
modemd warning 0.3 | Short burst of corrected FEC blocks: {n}
""",
    "router": """
ipsla info 3 | Probe {n} to shore hub ok, round trip 6{digit}0 ms
bgpd info 2 | Keepalive received from {outside}
dhcpc info 1 | Lease of {ip} renewed for 86400 s
qosd info 2 | Class business used {percent} percent of its share
snmpd info 2 | Connection from UDP: [{ip}]:{port}->[{ip2}]:161
""",
    "firewall": """
filterlog info 8 | pass in vlan{vlan} tcp {ip}:{port} -> {outside}:443 len {hundreds}
filterlog info 6 | block in wan tcp {outside}:{port} -> {ip}:23 flags S
filterlog info 3 | pass in vlan{vlan} udp {ip}:{port} -> {ip2}:53 len {n}
ipsec info 1 | Tunnel to shore rekeyed, SPI {hex}
fwd info 1 | State table {thousands} entries, {percent} percent of maximum
filterlog warning 0.4 | Port scan suspected from {outside}: {n} ports, dropped
""",
    "core_switch": _SWITCH,
    "switch": _SWITCH,
    "wlc": """
wlcd info 5 | Client {mac} roamed from ap-d05-01 to ap-d05-02, rssi -{percent}
wlcd info 2 | Access point ap-d09-01 echo ok, {n} clients
radiusc info 3 | Access-Accept for {user} in {ms} ms
rrm info 1 | Channel plan unchanged, {n} neighbours
rrm warning 0.3 | Foreign network on channel {n} heard at -{percent} dBm
""",
    "ap": """
hostapd info 8 | wlan0: STA {mac} IEEE 802.11: associated (aid {n})
hostapd info 5 | wlan0: STA {mac} IEEE 802.11: disassociated, left the cell
hostapd info 6 | wlan0: STA {mac} WPA: pairwise key handshake completed (RSN)
capwap info 1 | Echo to controller answered in {ms} ms
hostapd warning 0.4 | wlan0: STA {mac} did not acknowledge, retry {n}
""",
    "portal": _APP
    + """
portal info 5 | Voucher {id} accepted for cabin 9{hundreds}, device {mac}
portal info 3 | Session of {mac} ended, {thousands} kB used
portal warning 0.3 | Voucher {id} refused: already used on another device
""",
    "hypervisor": _LINUX
    + """
vmmon info 2 | VM {host} heartbeat ok, cpu {percent} percent
vmmon info 1 | Snapshot of {host} taken in {seconds} s
""",
    "database": _LINUX
    + """
postgres info 5 | connection authorized: user=pms database=hotel application_name=app-{id}
postgres info 3 | disconnection: session time: 0:00:{seconds} user=pos database=hotel host={ip}
postgres info 2 | checkpoint complete: wrote {hundreds} buffers; write={seconds} s
postgres info 2 | automatic vacuum of table "hotel.public.folio": {hundreds} rows removed
postgres warning 0.2 | duration: {hundreds} ms  statement: REFRESH MATERIALIZED VIEW occupancy
""",
    "app": _APP,
    "directory": _LINUX
    + """
slapd info 5 | conn={thousands} op={n} SRCH base="ou=crew,dc=ship" nentries={n}
slapd info 3 | conn={thousands} op=0 BIND dn="uid={user},ou=crew,dc=ship" method=128 err=0
sshd info 0.3 | Failed password for {user} from {ip} port {port} ssh2
""",
    "dns": _LINUX
    + """
named info 6 | client @0x{hex} {ip}#{port} ({name}.ship.lan): query: {name}.ship.lan IN A + ({ip2})
named info 1 | zone ship.lan/IN: serial {thousands} is current
dhcpd info 5 | DHCPREQUEST for {ip} from {mac} via vlan{vlan}
dhcpd info 5 | DHCPACK on {ip} to {mac} via vlan{vlan}
dhcpd warning 0.3 | uid lease {ip} for client {mac} is duplicate on 10.60.0.0/21
""",
    "ntp": """
chronyd info 3 | GPS pulse within {ms} ns, jitter {ms} ns
chronyd info 2 | Served {hundreds} clients in the last hour
""",
    "mail": _LINUX
    + """
postfix/smtpd info 4 | connect from crew-{n}.ship.lan[{ip}]
postfix/qmgr info 3 | {id}: from=<{user}@ship.example>, size={thousands}, nrcpt=1 (queue active)
postfix/smtp info 3 | {id}: to=<office@shore.example>, delay={seconds}, status=sent (250 OK)
postfix/smtpd warning 0.3 | hostname crew-{n}.ship.lan does not resolve to address {ip}
""",
    "fileserver": _LINUX
    + """
smbd info 4 | {user} ({ip}) opened file menus/{id}.pdf read=Yes write=No
smbd info 2 | {ip} closed connection to service public
""",
    "signage": """
player info 4 | Playlist atrium-{n} refreshed, {n} items
player info 2 | Screen {n} shows item {id}
""",
    "sync": """
sync info 4 | Batch {id} of {hundreds} records acknowledged by shore in {seconds} s
sync info 1 | Queue empty, next run in 60 s
sync warning 0.2 | Batch {id} sent twice, shore had no answer within {n} s
""",
    "nvr": """
nvrd info 5 | {camera}: segment {id}.mp4 closed, {thousands} kB
nvrd info 2 | {camera}: motion started in zone {n}
nvrd info 1 | Retention: removed {hundreds} segments older than 30 days
nvrd warning 0.3 | {camera}: {n} frames late, buffer recovered
""",
    "cctv_desk": """
viewer info 3 | Operator {user} opened live view of {camera}
viewer info 2 | Playback of {camera} finished after {hundreds} s
""",
    "camera": """
camd info 3 | Keyframe interval {n}, bitrate {thousands} kbit/s
camd info 1 | Infrared filter switched
""",
    "pbx": """
asterisk info 4 | Call {id} from extension 2{hundreds} to 3{hundreds} answered
asterisk info 3 | Call {id} ended after {hundreds} s
asterisk info 2 | Registered SIP extension 2{hundreds} at {ip}:5060
asterisk warning 0.3 | Extension 2{hundreds} is now lagged ({hundreds} ms)
""",
    "voip_gateway": """
sipgw info 3 | Shore trunk registered, expires in 300 s
sipgw info 3 | Call {id} to shore connected, codec G.729
""",
    "tracker": """
lritd info 2 | Position report {thousands} acknowledged
lritd info 1 | Self test passed
""",
    "gps": """
gpsd info 4 | Fix 3D, 1{digit} satellites in view, HDOP 0.{n}
gpsd info 1 | Almanac age {n} h
""",
    "gyro": """
gyrod info 3 | Heading {deg} rate of turn 0.{n} deg/min
gyrod info 1 | Speed correction {knots} kn applied
""",
    "ais": """
ais-rx info 8 | Target {mmsi} class A sog {knots} cog {deg} range {knots} nm
ais-rx info 3 | Target {mmsi} lost after 360 s without report
ais-tx info 2 | Own position reported on channel A
ais-rx warning 0.3 | Target {mmsi} reports position twice, kept the newer
""",
    "ecdis": """
ecdis info 3 | Chart cell EU5{id} loaded in {ms} ms
ecdis info 2 | Route monitoring: cross track 0.0{digit} nm
ecdis warning 0.3 | Chart correction {thousands} is due within {n} days
""",
    "radar": """
radard info 3 | ARPA target {n} acquired at {knots} nm
radard info 1 | Magnetron hours {thousands}
""",
    "engine_gateway": """
modbus-gw info 5 | Polled unit {n}: {n} registers in {ms} ms
modbus-gw info 1 | Buffer flushed, {hundreds} values forwarded
modbus-gw warning 0.3 | Unit {n} answered on the second attempt
""",
    "exhaust_sensor": """
sensord info 3 | Exhaust {sensor} within band, deviation {n} C
""",
    "oil_sensor": """
sensord info 3 | Lube oil inlet pressure 4.{n} bar, filter difference 0.{n} bar
""",
    "generator": """
genset info 3 | Load sharing balanced, {percent} percent
genset info 1 | Coolant {celsius} C above ambient, normal
""",
    "ups": """
upsd info 3 | On line, load {percent} percent, runtime {n} min
upsd info 1 | Battery self test passed
""",
    "plc": """
plc info 3 | Bus voltage balanced, breaker states unchanged
plc info 1 | Scan cycle {ms} ms
""",
}

NORMAL: Mapping[str, tuple[Template, ...]] = {
    kind: templates(table) for kind, table in _TABLES.items()
}

CHATTY: Mapping[str, float] = {  # share of the traffic relative to a quiet device
    "firewall": 8.0,
    "dns": 6.0,
    "ap": 4.0,
    "app": 4.0,
    "portal": 4.0,
    "database": 4.0,
    "ais": 3.0,
    "directory": 3.0,
    "mail": 2.0,
    "wlc": 2.0,
}

_HARMLESS: Mapping[str, str] = {
    "directory": "sshd error | kex_exchange_identification: Connection closed by remote host {ip}",
    "gps": "gpsd error | Bad checksum in NMEA sentence, dropped",
    "dns": "named error | lame server resolving '{name}.example' (in 'example'?): {outside}#53",
    "portal": "nginx error | SSL_do_handshake() failed: unsupported protocol, client: {ip}",
    "switch": "snmpd error | Authentication failure, bad community name from {ip}",
}

HARMLESS_ERRORS: Mapping[str, tuple[Template, ...]] = {
    kind: templates(row) for kind, row in _HARMLESS.items()
}

_STRAY = """
app error | unexpected reply from {host}, retried and succeeded ({id})
kernel error | usb 1-{n}: device descriptor read/64, error -71
snmpd error | Cannot statfs /run/user/{thousands}: Permission denied
cupsd error | Printer {id}: out of paper
player error | Cannot decode item {id}, skipped
camd error | Keyframe {hex} damaged, next one used
"""

STRAY = templates(_STRAY)  # for the pseudo fault ``noise``: unrelated errors, each of them alone
