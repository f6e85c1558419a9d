# SPDX-License-Identifier: GPL-2.0-or-later
# Helpers for the scripts; source it after `set -euo pipefail`.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=$ROOT/.cache
LOGS=$CACHE/log
mkdir -p "$LOGS"

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Seconds since the script started, for progress lines.
elapsed() { printf '%4ds' "$SECONDS"; }

# step N OF TEXT: one progress line.
step() { printf '[%s/%s] %s  %s\n' "$1" "$2" "$(elapsed)" "$3"; }

note() { printf '      %s  %s\n' "$(elapsed)" "$*"; }

# as_root CMD...: as root, through sudo when we are not.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root for: $* (there is no sudo; run this command as root and start again)"
  fi
}

# What a long command is doing: the last line of its log, whatever bytes it has, ninja's [12/345] included.
last_line() { tail -c 2048 "$1" | tr '\r' '\n' | grep -av '^ *$' | tail -n 1 | cut -c 1-60; }

# logged NAME CMD...: runs CMD with its output in LOGS/NAME.log and shows what it is at:
# on a terminal all the time, else twice a minute. When it fails, the tail of the log.
logged() {
  local log=$LOGS/$1.log
  shift
  "$@" >"$log" 2>&1 </dev/null &
  local pid=$! status=0 next=$((SECONDS + 30))
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r      %s  %-60s' "$(elapsed)" "$(last_line "$log")"
    elif [ "$SECONDS" -ge "$next" ]; then
      note "$(last_line "$log")"
      next=$((SECONDS + 30))
    fi
    sleep 0.2
  done
  [ -t 1 ] && printf '\r%74s\r' ''
  wait "$pid" || status=$?
  if [ "$status" -ne 0 ]; then
    {
      printf -- '--- the last lines of %s\n' "$log"
      tail -n 30 "$log"
      printf -- '---\n%s: failed with status %s: %s\nThe whole log: %s\n' \
        "${0##*/}" "$status" "$*" "$log"
    } >&2
    return "$status"
  fi
}

# newer TARGET SOURCE...: true when TARGET exists and is newer than each SOURCE.
newer() {
  local target=$1 source
  shift
  [ -e "$target" ] || return 1
  for source in "$@"; do
    [ "$source" -nt "$target" ] && return 1
  done
  return 0
}
