#!/bin/sh
# Starts the broker in its container; arguments go to nats-server. It takes turns with the other processes
# (decision 16), and gets well after an error of its disk.
set -eu
data=${AIOPS_NATS_DATA:-/data} monitor=${AIOPS_NATS_MONITOR:-http://127.0.0.1:8222}

# A former version led the folders of batches to memory, which is empty now.
find "$data" -name batches -type l -delete 2>/dev/null || true

# After one error of its disk nats-server stores nothing more in that stream until it starts anew: it ends, to be
# started again, once it has not been well for three looks and its disk takes something.
well=0 ill=0
look() {
  if wget -q -T 3 -O /dev/null "$monitor/healthz"; then
    well=1 ill=0
  elif [ $well = 1 ] && ill=$((ill + 1)) && [ $ill -ge 3 ] && room; then
    kill $$
  fi
}

room() {
  dd if=/dev/zero of="$data/.room" bs=1M count=4 conv=fsync 2>/dev/null && room=0 || room=1
  rm -f "$data/.room"
  return $room
}

(while sleep 2; do look; done) 2>/dev/null &
if chrt -b 0 true 2>/dev/null; then
  exec chrt -b 0 nats-server "$@"
fi
exec nats-server "$@"
