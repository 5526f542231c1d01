#!/bin/sh
# Starts nats-server in its container, with the arguments of this script.
#
# After one disk error nats-server stores nothing more in that stream until it is restarted. So it
# is ended when it has been unhealthy at three looks in a row and its disk can be written to;
# Docker starts it again. `aiops up` does the same.
set -eu
data=${AIOPS_NATS_DATA:-/data} monitor=${AIOPS_NATS_MONITOR:-http://127.0.0.1:8222}

started=0 unhealthy=0
look() {
  if wget -q -T 3 -O /dev/null "$monitor/healthz"; then
    started=1 unhealthy=0
  elif [ $started = 1 ] && unhealthy=$((unhealthy + 1)) && [ $unhealthy -ge 3 ] && writable; then
    kill $$
  fi
}

writable() {
  dd if=/dev/zero of="$data/.trial" bs=1M count=4 conv=fsync 2>/dev/null && failed=0 || failed=1
  rm -f "$data/.trial"
  return $failed
}

(while sleep 2; do look; done) 2>/dev/null &
exec nats-server "$@"
