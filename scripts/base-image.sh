#!/usr/bin/env bash
# Makes a Debian image with Python 3.11 from Debian packages, for hosts without a container
# registry:
#
#   scripts/base-image.sh [TAG]          then: docker build --build-arg PYTHON_IMAGE=TAG ...
#
# Does nothing if the image exists. Packages come from the mirror of this host's own apt.
set -euo pipefail

suite=bookworm # the Debian release whose Python is 3.11
tag=${1:-aiops-python:$suite}
docker=${DOCKER:-docker}

fail() { echo "base-image: $*" >&2 && exit 1; }

if "$docker" image inspect "$tag" >/dev/null 2>&1; then
  echo "base-image: $tag is there"
  exit 0
fi
[[ $(id -u) == 0 ]] || fail "debootstrap needs root"
command -v debootstrap >/dev/null || fail "debootstrap is missing (apt-get install debootstrap)"

# The host may run another release or have other sources: take the first that serves Debian itself.
# shellcheck disable=SC2016 # the $(…) are apt's
mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(COMPONENT)' 'Created-By: Packages' |
  awk '$2 == "Debian" && $3 == "main" && $1 !~ /security/ { print $1; exit }')
[[ -n $mirror ]] || fail "no Debian mirror in this host's apt sources; run 'apt-get update' once"

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
echo "base-image: making $tag (about a minute)"
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
  "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2 && fail "debootstrap failed"; }

# Without documentation, package lists and downloaded packages.
tar --directory "$work/root" --create \
  --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
  --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*' --exclude='./dev/*' . |
  "$docker" import --change 'CMD ["python3"]' --change 'ENV LANG=C.UTF-8' - "$tag" >/dev/null
echo "base-image: made $tag, $("$docker" image inspect --format '{{.Size}}' "$tag" | awk '{ printf "%.0f MB", $1 / 1e6 }')"
