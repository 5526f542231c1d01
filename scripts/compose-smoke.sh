#!/usr/bin/env bash
# Does the fleet work in containers? Checks the deployment files, builds the images of our five services, runs
# them with nats and the embedded ClickHouse, sends log lines in and waits for one incident at the API.
#
#   scripts/compose-smoke.sh                         uses the Docker engine that runs, or starts one when root
#   AIOPS_SMOKE_INSTALL=1 scripts/compose-smoke.sh   installs docker.io, docker-compose and debootstrap first
#   AIOPS_SMOKE_NETWORK=host                         containers on the host's network, also where bridges work
#
# Needs no container registry: the base image is made of Debian packages (scripts/base-image.sh), nats-server
# and ClickHouse come from the package index. Where no engine can run it says SKIP and ends with 0. It leaves
# its images, as a cache, and nothing else: no container, network, volume or engine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
PATH=$PATH:$root/.venv/bin # some of the validators are Python packages
services=(anomaly-detection enrichment-service correlation-service llm-enricher incident-api)
probes=(anomaly:8080 enrichment:8084 correlation:8082 llm-enricher:8083 api:8081) # container:port
base=aiops-python:bookworm
local_image=aiops/local:smoke
patience=90 # seconds for the first incident; the first start also migrates the tables
work=$(mktemp -d)
engine=      # process id of a dockerd that we started
docker=
compose=()
up=0
docker0_was=0

say() { echo "smoke: $*"; }
skip() { echo "SKIP: $*" && exit 0; }
fail() { echo "FAIL: $*" >&2 && exit 1; }

# ------------------------------------------------------------------------------------------- taking down

tear_down() {
  local status=$?
  trap - EXIT
  set +e
  if ((up)); then
    ((status)) && show_logs
    "${compose[@]}" down --volumes --remove-orphans --timeout 15 >"$work/down.log" 2>&1 || cat "$work/down.log"
  fi
  [[ -n $engine ]] && stop_engine
  rm -rf --one-file-system "$work"
  exit "$status"
}

show_logs() {
  local name
  for name in $("$docker" ps --all --filter name=aiops-smoke- --format '{{.Names}}'); do
    echo "---- $name: $("$docker" inspect --format '{{.State.Status}}, exit code {{.State.ExitCode}}' "$name")"
    "$docker" logs --tail 30 "$name" 2>&1
  done
}

stop_engine() {
  kill "$engine" 2>/dev/null
  for _ in {1..100}; do
    kill -0 "$engine" 2>/dev/null || break
    sleep 0.2
  done
  umount "$work"/exec/netns/* 2>/dev/null
  # An engine leaves its bridge, its firewall rules and IP forwarding behind; they were not there before.
  ((docker0_was)) || ip link delete docker0 2>/dev/null
  [[ -e $work/iptables ]] && iptables-restore <"$work/iptables"
  [[ -s $work/ip_forward ]] && cat "$work/ip_forward" >/proc/sys/net/ipv4/ip_forward
  engine=
}

trap tear_down EXIT
trap 'exit 130' INT TERM

# --------------------------------------------------------------------------------------- the static checks

# check TOOL ARGUMENT...: run a validator where its program is there, say so where it is not.
check() {
  if command -v "$1" >/dev/null; then
    "$@" >"$work/check.log" 2>&1 || { cat "$work/check.log" && fail "$1 refuses the deployment files"; }
    say "$1 $2: ok"
  else
    say "$1 $2: not checked, no $1 here"
  fi
}

static_checks() {
  export AIOPS_SHIP_ID=smoke AIOPS_CLICKHOUSE_USER=smoke AIOPS_CLICKHOUSE_PASSWORD=smoke
  check vmalert -dryRun -rule=vmalert/alerts.yml
  check vmagent -dryRun -promscrape.config=vmalert/vmagent.yml -remoteWrite.url=http://127.0.0.1/
  check promtool check rules vmalert/alerts.yml
  check promtool test rules vmalert/alerts_test.yml
  check amtool check-config vmalert/alertmanager.yml
  check vector validate --no-environment vector/vector.toml
  check vector test vector/vector.toml
  check nats-server -t -c nats/nats.conf
  check hadolint Dockerfile
}

# ------------------------------------------------------------------------------------------- the engine

install_engine() {
  [[ $(id -u) == 0 ]] || skip "AIOPS_SMOKE_INSTALL=1 needs root"
  command -v apt-get >/dev/null || skip "AIOPS_SMOKE_INSTALL=1 needs apt-get"
  say "installing docker.io, docker-compose, debootstrap"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    docker.io docker-compose debootstrap iptables fuse-overlayfs; } >"$work/apt.log" 2>&1 ||
    { tail "$work/apt.log" && skip "the packages cannot be installed"; }
}

# A client that can build with BuildKit: before version 23 by itself, later with its plug-in. There may be
# several clients in the path, and the first one may lack the plug-in.
find_client() {
  local candidate major
  for candidate in $(type -aP docker | awk '!seen[$0]++'); do
    major=$("$candidate" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    if ((major < 23)) || "$candidate" buildx version >/dev/null 2>&1; then
      docker=$candidate
      break
    fi
  done
  [[ -n $docker ]] || skip "no docker client that can build with BuildKit (AIOPS_SMOKE_INSTALL=1 installs one)"
  if command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  elif "$docker" compose version >/dev/null 2>&1; then
    compose=("$docker" compose)
  else
    skip "no docker-compose (AIOPS_SMOKE_INSTALL=1 installs one)"
  fi
}

answers() { "$docker" info >/dev/null 2>&1; }

# What iptables-restore shall bring back; a table without rules is not in what iptables-save prints.
save_firewall() {
  command -v iptables-save >/dev/null || return 0
  iptables-save >"$work/saved" 2>/dev/null || return 0
  grep -q '^\*filter' "$work/saved" ||
    printf '*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n' >>"$work/saved"
  grep -q '^\*nat' "$work/saved" ||
    printf '*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n' >>"$work/saved"
  mv "$work/saved" "$work/iptables"
}

start_engine() {
  answers && say "the engine that runs here is used" && return
  [[ $(id -u) == 0 ]] || skip "no Docker engine runs, and only root can start one"
  command -v dockerd >/dev/null || skip "no Docker engine (AIOPS_SMOKE_INSTALL=1 installs one)"
  export DOCKER_HOST=unix://$work/docker.sock
  ip link show docker0 >/dev/null 2>&1 && docker0_was=1
  save_firewall
  cat /proc/sys/net/ipv4/ip_forward >"$work/ip_forward" 2>/dev/null || true

  # The best first: a kernel may lack overlayfs on this file system, or bridges and the firewall.
  local storage network data
  for network in "" "--iptables=false --ip6tables=false --bridge=none"; do
    for storage in overlay2 fuse-overlayfs vfs; do
      # The build cache in the usual place is of the usual driver; the others start from nothing.
      data=/var/lib/docker
      [[ $storage == overlay2 ]] || data=$work/$storage
      # shellcheck disable=SC2086 # two or three options, or none
      dockerd --host "$DOCKER_HOST" --data-root "$data" --pidfile "$work/docker.pid" --exec-root "$work/exec" \
        --storage-driver "$storage" $network >"$work/dockerd.log" 2>&1 &
      engine=$!
      for _ in {1..60}; do
        if answers; then
          say "started an engine: storage $storage, network ${network:-bridge}"
          [[ -z $network ]] || AIOPS_SMOKE_NETWORK=host
          return
        fi
        kill -0 "$engine" 2>/dev/null || break
        sleep 0.5
      done
      kill "$engine" 2>/dev/null || true
      wait "$engine" 2>/dev/null || true
      engine=
      say "no engine with storage $storage, network ${network:-bridge}: $(grep -oE 'msg=".*|failed.*' "$work/dockerd.log" | tail -1 || true)"
    done
  done
  skip "no Docker engine can be started here"
}

# bridge, unless a container on a network of its own cannot be started.
find_network() {
  network=${AIOPS_SMOKE_NETWORK:-bridge}
  [[ $network == bridge ]] || return 0
  if ! { "$docker" network create aiops-smoke-probe &&
    "$docker" run --rm --network aiops-smoke-probe "$base" true; } >"$work/probe.log" 2>&1; then
    say "no bridge network here ($(tail -1 "$work/probe.log")): the containers share the host's"
    network=host
  fi
  "$docker" network rm aiops-smoke-probe >/dev/null 2>&1 || true
}

# --------------------------------------------------------------------------------------------- images

# What this host's pip is told about its index, for the build, as secrets: they end in no layer. Folders of
# the host are left out, the build does not see them.
pip_secrets() {
  local key value certificate
  {
    echo "[global]"
    for key in index-url extra-index-url trusted-host proxy; do
      value=$(pip_setting "$key")
      [[ -z $value || $value == *file:* ]] || echo "$key = $value"
    done
    certificate=$(pip_setting cert)
    if [[ -f $certificate ]]; then
      cp "$certificate" "$work/ca.pem"
      echo "cert = /run/secrets/ca_bundle"
    else
      : >"$work/ca.pem"
    fi
  } >"$work/pip.conf"
}

pip_setting() {
  python3 -m pip config get ":env:.$1" 2>/dev/null || python3 -m pip config get "global.$1" 2>/dev/null || true
}

# build IMAGE SERVICE [EXTRA]
build() {
  local started=$SECONDS before
  before=$("$docker" image inspect --format '{{.Id}}' "$1" 2>/dev/null || true)
  DOCKER_BUILDKIT=1 "$docker" build --network host --tag "$1" \
    --build-arg PYTHON_IMAGE="$base" --build-arg SERVICE="$2" --build-arg EXTRA="${3:-}" \
    --secret id=pip_conf,src="$work/pip.conf" --secret id=ca_bundle,src="$work/ca.pem" \
    . >"$work/build.log" 2>&1 || { tail -40 "$work/build.log" && fail "$1 cannot be built"; }
  # The image of the last run would stay as an unnamed one, a few hundred megabytes at each run.
  [[ -z $before || $before == $("$docker" image inspect --format '{{.Id}}' "$1") ]] ||
    "$docker" rmi "$before" >/dev/null 2>&1 || true
  say "built $1 in $((SECONDS - started)) s, $("$docker" image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
}

# --------------------------------------------------------------------------------------------- the run

free_port() {
  python3 -c 'import socket
def taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
print(8081 if not taken(8081) else next(p for p in range(18081, 18181) if not taken(p)))'
}

python_with_yaml() {
  local candidate
  for candidate in "$root/.venv/bin/python" python3 /usr/bin/python3; do
    "$candidate" -c 'import yaml' 2>/dev/null && echo "$candidate" && return
  done
  fail "no Python with PyYAML (make test sets one up)"
}

write_compose_file() {
  AIOPS_VERSION=smoke "$root/scripts/generate-env.sh" smoke "$work/.env" >/dev/null
  sed -i 's/^AIOPS_VERSION=.*/AIOPS_VERSION=smoke/' "$work/.env"
  # The environment wins over the file, and static_checks has put its own values there.
  unset AIOPS_SHIP_ID AIOPS_CLICKHOUSE_USER AIOPS_CLICKHOUSE_PASSWORD
  "${compose[@]}" --env-file "$work/.env" config --quiet || fail "docker-compose.yml is refused"
  say "docker-compose config: ok"
  "${compose[@]}" --env-file "$work/.env" config >"$work/resolved.yml"
  "$(python_with_yaml)" scripts/smoke_compose.py --local "$local_image" --samples "$work/samples" \
    --api-port "$port" --network "$network" <"$work/resolved.yml" >"$work/compose.yml"
  compose+=(--project-name aiops-smoke --file "$work/compose.yml")
}

# A quiet minute of a ship, and then two things that go wrong.
write_samples() {
  mkdir -p "$work/samples"
  local i now
  now=$(LC_ALL=C date '+%b %e %H:%M:%S')
  {
    for i in {1..20}; do echo "<30>$now bridge-pc systemd[1]: Started session $i of user mate."; done
    for i in {1..12}; do
      echo "<34>$now gateway sshd[2$i]: error: maximum authentication attempts exceeded for root from 10.9.8.7 port 5$i ssh2"
    done
    for i in {1..6}; do echo "<26>$now nas-1 kernel: EXT4-fs error (device sda1): I/O error while writing block $i"; done
    for i in {1..10}; do echo "<30>$now bridge-pc dhclient[90]: bound to 10.1.0.$i -- renewal in 1800 seconds."; done
  } >"$work/samples/ship.log"
}

# get CONTAINER URL: GET it inside of the container, where it is on loopback whatever the network is.
get() {
  "$docker" exec "$1" python -c 'import os, sys, urllib.error, urllib.request
token = os.environ.get("AIOPS_API_TOKENS", "").partition(":")[2]
request = urllib.request.Request(sys.argv[1], headers={"Authorization": f"Bearer {token}"})
try:
    print(urllib.request.urlopen(request, timeout=5).read().decode().strip())
except urllib.error.HTTPError as exc:
    sys.exit(f"{exc.code} {exc.read().decode().strip()}")
except OSError as exc:
    sys.exit(f"no answer: {exc}")' "$2"
}

ask() { get aiops-smoke-api "http://127.0.0.1:8081$1"; }

wait_until_ready() {
  local name answer
  for name in "${probes[@]}"; do
    for ((i = 0; ; i++)); do
      answer=$(get "aiops-smoke-${name%:*}" "http://127.0.0.1:${name#*:}/ready" 2>&1) && break
      ((i < 60)) || fail "$name is not ready after a minute: $answer"
      sleep 1
    done
    echo "   $answer"
  done
}

wait_for_incident() {
  local answer
  for ((i = 0; i < patience; i++)); do
    answer=$(ask '/api/v3/incidents?limit=5' 2>"$work/ask.log") || answer=
    if [[ $answer == *'"id"'* ]]; then
      echo "$answer" >"$work/incidents.json"
      return
    fi
    sleep 1
  done
  fail "no incident within $patience s; the API said: ${answer:-$(cat "$work/ask.log")}"
}

report() {
  say "what runs:"
  "$docker" ps --filter name=aiops-smoke- --format 'table {{.Names}}\t{{.Image}}\t{{.Status}}'
  say "incidents:"
  python3 - "$work/incidents.json" <<'PY' | tee "$work/first"
import json, sys
page = json.load(open(sys.argv[1]))
found = page if isinstance(page, list) else page.get("items") or page.get("incidents") or page["data"]
for it in found:
    print("  ", it["id"], it["severity"], it["status"], it["title"], f"({it['anomaly_count']} anomalies)")
print("tracking_id", found[0]["tracking_ids"][0])
PY
  local tracked
  tracked=$(awk '$1 == "tracking_id" { print $2 }' "$work/first")
  say "trace of $tracked:"
  ask "/api/v3/trace/$tracked" | python3 -c 'import json, sys
trace = json.load(sys.stdin)
print("   status", trace["status"], "total", trace["total_latency_ms"], "ms")
stages = trace["stages"]
rows = stages.items() if isinstance(stages, dict) else ((s["stage"], s) for s in stages)
for name, stage in rows:
    print("  ", name, stage["ts"], stage["latency_ms"], "ms")'
  if [[ $network == bridge ]]; then
    python3 - "http://127.0.0.1:$port/api/v3/incidents" "$work/.env" <<'PY'
import sys, urllib.error, urllib.request
settings = dict(line.strip().split("=", 1) for line in open(sys.argv[2]) if line[0] not in "#\n")
token = settings["AIOPS_API_TOKENS"].partition(":")[2]
for who, headers in {"nobody": {}, "the operator": {"Authorization": f"Bearer {token}"}}.items():
    try:
        status = urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=5).status
    except urllib.error.HTTPError as exc:
        status = exc.code
    print(f"smoke: the published port {sys.argv[1]} answers {who} with {status}")
PY
  fi
}

main() {
  static_checks
  [[ ${AIOPS_SMOKE_INSTALL:-0} != 1 ]] || install_engine
  find_client
  start_engine
  "$docker" image inspect "$base" >/dev/null 2>&1 || DOCKER=$docker scripts/base-image.sh "$base"
  find_network
  pip_secrets
  local service
  for service in "${services[@]}"; do build "aiops/$service:smoke" "$service"; done
  build "$local_image" incident-api local

  port=$(free_port)
  write_samples
  write_compose_file
  up=1
  "${compose[@]}" up --detach >"$work/up.log" 2>&1 || { tail -20 "$work/up.log" && fail "the containers do not start"; }
  say "all containers are up after $SECONDS s; their /ready:"
  wait_until_ready
  say "sending $(wc -l <"$work/samples/ship.log") lines"
  "$docker" exec aiops-smoke-api aiops replay /smoke/ship.log
  wait_for_incident
  report
  say "passed in $SECONDS s"
}

main
