# SPDX-License-Identifier: GPL-2.0-or-later
# Packages and sources from the mirror that the system already uses.
# shellcheck shell=bash

# Those that source this use them.
# shellcheck disable=SC2034
PACKAGE_LIST=$ROOT/scripts/lib/packages
# shellcheck disable=SC2034
TESTBED_PACKAGE_LIST=$ROOT/scripts/lib/testbed-packages
# shellcheck disable=SC2034
LINT_PACKAGE_LIST=$ROOT/scripts/lib/lint-packages
QEMU_SRC_DIR=$CACHE/qemu-src
LOCK_SECONDS=600 # how long another package manager may keep us waiting

# missing_packages LIST...: what the lists name and the machine does not have.
missing_packages() {
  local wanted installed
  wanted=$(grep -hvE '^(#|$)' "$@" | sort -u)
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
    sed -n 's/^ii  *//p' | sort -u)
  comm -23 <(echo "$wanted") <(echo "$installed")
}

# apt_get ARGUMENT...: apt-get as root. Another package manager may be at work, as on a
# machine that has just started: apt waits for dpkg's lock itself, but not for that of the lists.
apt_get() {
  local status said until=$((SECONDS + LOCK_SECONDS))
  said=$(mktemp)
  while :; do
    status=0
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -o "DPkg::Lock::Timeout=$LOCK_SECONDS" "$@" \
      2>"$said" || status=$?
    cat "$said" >&2
    if [ "$status" -eq 0 ] || [ "$SECONDS" -ge "$until" ] || ! grep -q '^E: Could not get lock' "$said"; then break; fi
    sleep 2
  done
  rm -f "$said"
  return "$status"
}

install_packages() {
  local install=(install -y --no-install-recommends "$@")
  if ! apt-get install -s --no-install-recommends "$@" >/dev/null 2>&1; then
    apt_get update
  fi
  # Package lists that are old name files that the mirror no longer has.
  apt_get "${install[@]}" || {
    apt_get update
    apt_get "${install[@]}"
  }
}

# debian_mirror TYPE: lines of Debian itself, of type deb or deb-src, from the mirror that the system
# already uses. They go into lists of our own: /etc/apt stays as it is.
debian_mirror() {
  # shellcheck disable=SC2016 # apt-get's own placeholders
  apt-get indextargets --format "$1"' $(REPO_URI) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | grep -v -- -backports | sort -u
}

fetch_qemu_source() {
  local apt=$CACHE/apt
  [ -e "$QEMU_SRC_DIR/configure" ] && return 0
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/download"
  debian_mirror deb-src >"$apt/sources.list"
  if [ ! -s "$apt/sources.list" ]; then
    apt_get update
    debian_mirror deb-src >"$apt/sources.list"
  fi
  [ -s "$apt/sources.list" ] || {
    echo "apt has no Debian source configured, so there is no mirror to fetch QEMU's source from" >&2
    return 1
  }
  local options=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=$(id -un)")
  apt-get "${options[@]}" update
  (cd "$apt/download" && apt-get "${options[@]}" source --download-only qemu)
  rm -rf "$QEMU_SRC_DIR.new"
  dpkg-source --no-check --no-copy -x "$apt"/download/qemu_7.2*.dsc "$QEMU_SRC_DIR.new"
  mv "$QEMU_SRC_DIR.new" "$QEMU_SRC_DIR"
}
