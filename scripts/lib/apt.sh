# SPDX-License-Identifier: GPL-2.0-or-later
# Packages and sources from the mirror that the system already uses.
# shellcheck shell=bash

PACKAGE_LIST=$ROOT/scripts/lib/packages
QEMU_SRC_DIR=$CACHE/qemu-src

missing_packages() {
  local wanted installed
  wanted=$(grep -vE '^(#|$)' "$PACKAGE_LIST" | sort -u)
  installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
    sed -n 's/^ii  *//p' | sort -u)
  comm -23 <(echo "$wanted") <(echo "$installed")
}

install_packages() {
  local packages=("$@")
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
  if ! apt-get install -s --no-install-recommends "${packages[@]}" >/dev/null 2>&1; then
    as_root apt-get update
  fi
  # Package lists that are old name files that the mirror no longer has.
  as_root "${install[@]}" "${packages[@]}" || {
    as_root apt-get update
    as_root "${install[@]}" "${packages[@]}"
  }
}

# The mirror's `deb-src` lines go into lists of our own: /etc/apt stays as it is.
private_sources() {
  apt-get indextargets --format 'deb-src $(REPO_URI) $(CODENAME) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | grep -v -- -backports | sort -u
}

fetch_qemu_source() {
  local apt=$CACHE/apt
  [ -e "$QEMU_SRC_DIR/configure" ] && return 0
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/download"
  private_sources >"$apt/sources.list"
  if [ ! -s "$apt/sources.list" ]; then
    as_root apt-get update
    private_sources >"$apt/sources.list"
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
