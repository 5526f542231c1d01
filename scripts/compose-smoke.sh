#!/usr/bin/env bash
# Tests the fleet in containers. Checks the deployment files, builds the images of our five
# services, runs them with nats and the embedded ClickHouse, sends log lines with two faults, waits
# for two incidents at the API, traces one line through its four stages, and stops each service.
#
#   scripts/compose-smoke.sh          uses the running Docker engine, or starts one (as root)
#   AIOPS_SMOKE_INSTALL=1             installs docker.io, docker-compose and debootstrap first
#   AIOPS_SMOKE_NETWORK=host          containers on the host's network, even if bridges work
#
# Needs no container registry: the base image is made of Debian packages (scripts/base-image.sh),
# nats-server and ClickHouse come from the package index. Without an engine it says SKIP and exits
# with 0. It leaves its images as a cache (of an engine that it starts: in /var/cache/aiops-smoke),
# and no container, network, volume or engine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
PATH=$PATH:$root/.venv/bin # some of the validators are Python packages
services=(anomaly-detection enrichment-service correlation-service llm-enricher incident-api)
probes=(anomaly:8080 enrichment:8084 correlation:8082 llm-enricher:8083 api:8081) # container:port
base=aiops-python:bookworm
local_image=aiops/local:smoke
incidents_within=60 # seconds for the incidents
grace=10    # seconds in which a service that is told to stop has to be gone
user=10001  # of the Dockerfile
# Images and build cache of an engine that we start. Not in the usual place: the engine would start
# the containers that it finds there, and this cache is deleted when it has grown.
cache=/var/cache/aiops-smoke
cache_limit=10 # GB
work=$(mktemp -d)
engine=      # process id of a dockerd that we started
docker=
compose=()
token= # of an operator, for the API
up=0
passed=0
reason= # why it failed
docker0_was=0

say() { echo "smoke: $*"; }
skip() { echo "SKIP: $*" && exit 0; }
fail() { reason=$* && echo "FAIL: $*" >&2 && exit 1; }

# ---------------------------------------------------------------------- taking down

tear_down() {
  local status=$?
  trap - EXIT
  set +e
  if ((up)); then
    ((status)) && [[ $reason != interrupted ]] && show_logs
    "${compose[@]}" down --volumes --remove-orphans --timeout 15 >"$work/down.log" 2>&1 ||
      { status=1 reason="the containers cannot be taken down" && cat "$work/down.log"; }
  fi
  [[ -n $engine ]] && stop_engine
  rm -rf --one-file-system "$work"
  ((status)) && [[ $up == 1 || -z $reason ]] && echo "FAIL: ${reason:-ended with $status, see above}" >&2
  ((passed && !status)) && say "passed in $SECONDS s; nothing is left but the images"
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
  # An engine leaves its bridge, its firewall rules and IP forwarding behind; they were not there
  # before.
  ((docker0_was)) || ip link delete docker0 2>/dev/null
  [[ -e $work/iptables ]] && iptables-restore <"$work/iptables"
  [[ -s $work/ip_forward ]] && cat "$work/ip_forward" >/proc/sys/net/ipv4/ip_forward
  engine=
}

trap tear_down EXIT
trap 'reason=interrupted && exit 130' INT TERM

# ---------------------------------------------------------------------- the static checks

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

# ---------------------------------------------------------------------- the engine

install_engine() {
  [[ $(id -u) == 0 ]] || skip "AIOPS_SMOKE_INSTALL=1 needs root"
  command -v apt-get >/dev/null || skip "AIOPS_SMOKE_INSTALL=1 needs apt-get"
  say "installing docker.io, docker-compose, debootstrap"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    docker.io docker-compose debootstrap iptables fuse-overlayfs; } >"$work/apt.log" 2>&1 ||
    { tail "$work/apt.log" && skip "the packages cannot be installed"; }
}

# A client that builds with BuildKit: before version 23 by itself, later with its plug-in. There may
# be several clients in the path, and the first one may lack the plug-in.
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

# Every change of the code adds layers, and this version of the engine may fail to collect the old
# ones.
bound_cache() {
  local gigabytes
  [[ -d $cache ]] || return 0
  gigabytes=$(du -s --block-size=1G "$cache" | cut -f1)
  ((gigabytes > cache_limit)) || return 0
  say "the cache $cache has grown to $gigabytes GB: it is made anew"
  rm -rf --one-file-system "$cache"
}

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
  bound_cache
  cat /proc/sys/net/ipv4/ip_forward >"$work/ip_forward" 2>/dev/null || true

  # The best first: a kernel may lack overlayfs on this file system, or bridges and the firewall.
  local storage network data
  for network in "" "--iptables=false --ip6tables=false --bridge=none"; do
    for storage in overlay2 fuse-overlayfs vfs; do
      # The cache is of the usual driver; the others start from nothing.
      data=$cache
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

# ---------------------------------------------------------------------- images

# What this host's pip is told about its index, for the build, as secrets: they end in no layer.
# Folders of the host are left out, the build does not see them.
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

# What the steps of the build printed, which have a time in front; without any, what Docker itself
# says.
build_errors() { grep -E '^#[0-9]+ [0-9]+\.[0-9]+ ' "$work/build.log" | tail -20 | grep . || tail -20 "$work/build.log"; }

# build IMAGE SERVICE [WITH]
build() {
  local started=$SECONDS before
  before=$("$docker" image inspect --format '{{.Id}}' "$1" 2>/dev/null || true)
  DOCKER_BUILDKIT=1 "$docker" build --network host --tag "$1" \
    --build-arg PYTHON_IMAGE="$base" --build-arg SERVICE="$2" --build-arg WITH="${3:-}" \
    --secret id=pip_conf,src="$work/pip.conf" --secret id=ca_bundle,src="$work/ca.pem" \
    . >"$work/build.log" 2>&1 || { build_errors && fail "$1 cannot be built"; }
  # The image of the last run would stay as an unnamed one, a few hundred megabytes at each run.
  [[ -z $before || $before == $("$docker" image inspect --format '{{.Id}}' "$1") ]] ||
    "$docker" rmi "$before" >/dev/null 2>&1 || true
  say "built $1 in $((SECONDS - started)) s, $("$docker" image inspect --format '{{.Size}}' "$1" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
}

# ---------------------------------------------------------------------- the run

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
  "$root/scripts/generate-env.sh" smoke "$work/.env" >/dev/null
  sed -i 's/^AIOPS_VERSION=.*/AIOPS_VERSION=smoke/' "$work/.env"
  # The environment wins over the file, and static_checks has put its own values there.
  unset AIOPS_SHIP_ID AIOPS_CLICKHOUSE_USER AIOPS_CLICKHOUSE_PASSWORD
  "${compose[@]}" --env-file "$work/.env" config --quiet || fail "docker-compose.yml is refused"
  say "docker-compose config: ok"
  "${compose[@]}" --profile cli --env-file "$work/.env" config >"$work/resolved.yml"
  "$(python_with_yaml)" scripts/smoke_compose.py --local "$local_image" --samples "$work/samples" \
    --api-port "$port" --network "$network" <"$work/resolved.yml" >"$work/compose.yml"
  compose+=(--project-name aiops-smoke --file "$work/compose.yml")
  token=$(sed -n 's/^AIOPS_API_TOKEN=//p' "$work/.env")
}

# A minute of a ship with two faults in it: somebody guesses passwords, a disk fails. The rest is
# nothing.
write_samples() {
  mkdir -p "$work/samples"
  local i now
  now=$(LC_ALL=C date -u '+%b %e %H:%M:%S')
  {
    for i in {1..20}; do echo "<30>$now bridge-pc systemd[1]: Started session $i of user mate."; done
    for i in {1..12}; do
      echo "<34>$now gateway sshd[2$i]: error: maximum authentication attempts exceeded for root from 10.9.8.7 port 5$i ssh2"
    done
    for i in {1..6}; do echo "<26>$now nas-1 kernel: EXT4-fs error (device sda1): I/O error while writing block $i"; done
    for i in {1..10}; do echo "<30>$now bridge-pc dhclient[90]: bound to 10.1.0.$i -- renewal in 1800 seconds."; done
  } >"$work/samples/ship.log"
}

# get CONTAINER URL: GET it inside of the container, where it is on loopback whatever the network
# is.
get() {
  "$docker" exec "$1" python -c 'import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode().strip())
except urllib.error.HTTPError as exc:
    sys.exit(f"{exc.code} {exc.read().decode().strip()}")
except OSError as exc:
    sys.exit(f"no answer: {exc}")' "$2"
}

# The command of the platform, as an operator has it who has only compose.
aiops() { "${compose[@]}" --profile cli run --rm --no-deps -T aiops "$@" 2>>"$work/run.log"; }

# pick EXPRESSION: its value for the JSON document `it` of the standard input.
pick() { python3 -c 'import json, sys; it = json.load(sys.stdin); print(eval(f"({sys.argv[1]})"))' "$1"; }

wait_until_ready() {
  local name container url answer
  for name in "${probes[@]}"; do
    container=aiops-smoke-${name%:*} url=http://127.0.0.1:${name#*:}
    for ((i = 0; ; i++)); do
      answer=$(get "$container" "$url/ready" 2>&1) && break
      ((i < 60)) || fail "$name is not ready after a minute: $answer"
      sleep 1
    done
    get "$container" "$url/health" >/dev/null || fail "$name is ready, but not healthy"
    echo "   $(pick '", ".join([it["service"], it["state"], *map(" ".join, it["dependencies"].items())])' <<<"$answer")"
  done
}

# The image of a service holds the service and the core, the one of the command no laboratory.
images_hold_their_own() {
  local name held
  for name in "${services[@]}" cli; do
    held=$("$docker" run --rm --entrypoint ls "aiops/$name:smoke" /opt/aiops | grep -vE '^bin$|\.dist-info$' | xargs)
    [[ $name == cli || $held == "$(printf '%s\n' aiops_core "${name//-/_}" | sort | xargs)" ]] || fail "the image of $name holds $held"
    [[ $held != *aiops_lab* ]] || fail "the image of $name holds the laboratory"
  done
  say "each image holds its own service and the core; the command's holds ${held}"
}

no_process_is_root() {
  local name users
  for name in "${probes[@]}"; do
    users=$("$docker" top "aiops-smoke-${name%:*}" -eo pid,uid | awk 'NR > 1 { print $2 }' | sort -u | xargs)
    [[ $users == "$user" ]] || fail "processes of ${name%:*} run as ${users:-nobody known}, not as $user alone"
  done
  say "all processes of our services run as user $user"
}

# Both faults, each with all of its lines that count.
wait_for_incidents() {
  local found=0
  for ((i = 0; i < incidents_within; i++)); do
    found=$(aiops incidents --json 2>"$work/ask.log" | pick 'len(it["items"])' 2>/dev/null) || found=0
    ((found < 2)) || return 0
    sleep 1
  done
  aiops incidents || true
  fail "$found incidents within $incidents_within s, not 2: $(cat "$work/ask.log")"
}

# trace_whole ID: fails unless this line passed all four stages, each with its time.
trace_whole() {
  aiops trace "$1" --json | pick 'it["status"] == "complete" and
    list(it["stages"]) == ["detect", "enrich", "correlate", "store"] and
    all(stage["latency_ms"] is not None for stage in it["stages"].values())' | grep -qx True
}

report() {
  local first tracked
  first=$(aiops incidents --json | pick 'it["items"][0]["id"]')
  tracked=$(aiops incidents "$first" --json | pick 'it["tracking_ids"][0]')
  for ((i = 0; i < 10; i++)); do
    trace_whole "$tracked" && break
    sleep 1
  done
  say "what runs:"
  "$docker" ps --filter name=aiops-smoke- --format 'table {{.Names}}\t{{.Image}}\t{{.Status}}'
  say "incidents:"
  aiops incidents
  say "one of the lines, from its arrival to the store:"
  aiops trace "$tracked"
  trace_whole "$tracked" || fail "the trace is not whole"
}

# status_of TOKEN: what the published port answers to it.
status_of() {
  python3 - "http://127.0.0.1:$port/api/v3/incidents" "$1" <<'PY'
import sys, urllib.error, urllib.request
headers = {"Authorization": f"Bearer {sys.argv[2]}"} if sys.argv[2] else {}
try:
    print(urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers=headers), timeout=5).status)
except urllib.error.HTTPError as exc:
    print(exc.code)
PY
}

published_port_wants_a_token() {
  [[ $network == bridge ]] || return 0
  local answers
  answers="$(status_of "") without a token, $(status_of wrong) with a wrong one, $(status_of "$token") with the operator's"
  say "port $port of the API answers $answers"
  [[ $answers == "401 "*" 401 "*" 200 "* ]] || fail "that should be 401, 401 and 200"
}

# As `docker stop` does it: SIGTERM, and a service drains and leaves with 0.
stop_services() {
  local name container began took code ended=()
  for name in "${probes[@]}"; do
    container=aiops-smoke-${name%:*} began=${EPOCHREALTIME/[.,]/}
    "$docker" stop --time 15 "$container" >/dev/null
    took=$(((${EPOCHREALTIME/[.,]/} - began) / 1000))
    code=$("$docker" inspect --format '{{.State.ExitCode}}' "$container")
    ((code == 0 && took < grace * 1000)) || fail "$container ended with exit code $code after $took ms"
    ended+=("${name%:*} $took ms,")
  done
  ended=("${ended[*]}")
  say "docker stop ends each service with exit code 0: ${ended%,}"
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
  build aiops/cli:smoke aiops-cli "${services[*]}"
  build "$local_image" aiops-lab "aiops-cli ${services[*]}"

  port=$(free_port)
  write_samples
  write_compose_file
  up=1
  "${compose[@]}" up --detach >"$work/up.log" 2>&1 || { tail -20 "$work/up.log" && fail "the containers do not start"; }
  say "all containers are up after $SECONDS s; their /ready:"
  wait_until_ready
  no_process_is_root
  images_hold_their_own
  say "sending $(wc -l <"$work/samples/ship.log") lines with two faults in them"
  aiops replay /smoke/ship.log
  wait_for_incidents
  report
  published_port_wants_a_token
  stop_services
  passed=1
}

main
