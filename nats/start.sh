#!/bin/sh
# Starts the broker in its container; arguments go to nats-server. It gathers batches in memory (decision 14) and takes
# turns with the other processes (decision 16).
set -eu
data=${AIOPS_NATS_DATA:-/data} memory=${AIOPS_NATS_BATCHES:-/batches}

# What `aiops up` does in aiops_core/local/staging.py. A folder in use is left for the next time.
lead() {
  for stream in "$data"/jetstream/*/streams/*; do
    batches=$stream/batches target=$memory/${stream##*/}
    if [ -f "$stream/meta.inf" ]; then
      mkdir -p "$target"
      [ ! -e "$batches" ] || [ -L "$batches" ] || rmdir "$batches" 2>/dev/null || continue
      [ -L "$batches" ] || ln -sT "$target" "$batches" 2>/dev/null || continue
    elif [ -d "$batches" ]; then # left of a start that made no stream; the broker would not get well with it
      rmdir "$batches" "$stream" 2>/dev/null || continue
    fi
  done
}

lead
(while sleep 2; do lead; done) & # a stream that is new has no folder yet
if chrt -b 0 true 2>/dev/null; then
  exec chrt -b 0 nats-server "$@"
fi
exec nats-server "$@"
