#!/usr/bin/env bash
# Writes .env for docker-compose: a copy of .env.example with random secrets and the ship's name.
#
#   scripts/generate-env.sh [SHIP_ID] [FILE]
#
# Refuses to overwrite: the data volumes already know the old passwords.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ship=${1:-ship-1}
file=${2:-$root/.env}

if [[ -e $file ]]; then
  echo "generate-env: $file exists; its passwords are in use, so it stays as it is" >&2
  exit 1
fi
if [[ ! $ship =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]]; then
  echo "generate-env: ship id '$ship': letters, digits, '.', '_' and '-' only" >&2
  exit 2
fi

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

api_token=$(secret) # stands in two places

umask 077 # only the owner reads it
half=$(mktemp "$file.XXXXXX")
trap 'rm -f "$half"' EXIT
while IFS= read -r line; do
  case $line in
    '# Copied by nobody'*) echo "# Written by scripts/generate-env.sh. Keep it out of git and of backups that leave the ship." ;;
    '# Every "change-me-'*) ;;
    *=change-me-ship) echo "${line%%=*}=$ship" ;;
    *change-me-api-token) echo "${line%%change-me-*}$api_token" ;;
    *change-me-*) echo "${line%%change-me-*}$(secret)" ;;
    *) echo "$line" ;;
  esac
done <"$root/.env.example" >"$half"
ln "$half" "$file" # fails when somebody else was faster
echo "generate-env: wrote $file for $ship"
