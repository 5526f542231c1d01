#!/usr/bin/env bash
# Prints the Python to run on: the first usable one on PATH, or a later one of the same version that
# is clearly faster. A Python built without optimizations (pyenv's default) takes a third longer.
set -euo pipefail

# Prints version, microseconds for some work, base installation and path; fails without a module.
probe='
import sys, time
if sys.version_info < (3, 11):
    sys.exit(1)
import ctypes, ensurepip, sqlite3, ssl, venv

class Thing:
    def __init__(self, number):
        self.number = number

    def next(self):
        return Thing(self.number + 1)

def work():
    thing, seen = Thing(0), {}
    while thing.number < 20_000:
        thing = thing.next()
        seen[str(thing.number)] = [thing.number, thing]

def timed():
    start = time.perf_counter()
    work()
    return time.perf_counter() - start

fastest = min(timed() for _ in range(7))
print("%d.%d" % sys.version_info[:2], round(fastest * 1e6), sys.base_prefix, sys.executable)
'

chosen="" version="" limit=0
declare -A seen
for candidate in $(type -aP python3 python3.11 || true); do
    found=$("$candidate" -c "$probe" 2>/dev/null) || continue
    read -r its_version time base path <<<"$found"
    [ -z "${seen[$base]:-}" ] || continue
    seen[$base]=1
    if [ -z "$chosen" ]; then
        version=$its_version
    elif [ "$its_version" != "$version" ] || [ "$time" -ge "$limit" ]; then
        continue
    fi
    chosen=$path limit=$((time * 85 / 100))
done
if [ -z "$chosen" ]; then
    echo "Python 3.11 or newer with venv is needed, and none is on PATH; say where one is: make PYTHON=..." >&2
    exit 1
fi
echo "$chosen"
