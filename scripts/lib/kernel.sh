# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's kernel: Debian's package, unpacked into the cache, never installed.
# shellcheck shell=bash

KERNEL_DIR=$CACHE/kernel

# fetch_kernel: leaves KERNEL_DIR/root with boot/ and lib/modules/ of the newest kernel.
fetch_kernel() {
  if ls "$KERNEL_DIR"/root/boot/vmlinuz-* >/dev/null 2>&1; then
    return 0
  fi
  local package
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: \(linux-image-6.*\)/\1/p' | head -n 1)
  [ -n "$package" ] || {
    echo "apt knows no linux-image-amd64; is the main component of Debian 12 configured?" >&2
    return 1
  }
  rm -rf "$KERNEL_DIR"
  mkdir -p "$KERNEL_DIR/new"
  (cd "$KERNEL_DIR" && apt-get download "$package" && dpkg -x "$package"_*.deb new && rm -f ./*.deb)
  mv "$KERNEL_DIR/new" "$KERNEL_DIR/root"
}
