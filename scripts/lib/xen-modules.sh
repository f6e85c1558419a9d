# SPDX-License-Identifier: GPL-2.0-or-later
# Kernel modules, with all that they depend on, in the order in which to load them.
# shellcheck shell=bash

# module_file ROOT NAME: the file of a module; names use _ and - as they like.
module_file() {
  find "$1" \( -name "$2.ko" -o -name "${2//_/-}.ko" \) -print -quit
}

# module_closure ROOT NAME...: files, dependencies first. modules.dep of the package is
# written when it is installed, so each module is asked.
module_closure() {
  local root=$1 name
  shift
  declare -A module_seen=()
  for name in "$@"; do
    module_visit "$root" "$name"
  done
}

module_visit() {
  local root=$1 name=${2//-/_} file dependency
  [ -z "${module_seen[$name]:-}" ] || return 0
  module_seen[$name]=yes
  file=$(module_file "$root" "$name")
  [ -n "$file" ] || die "the kernel in $root has no module $name"
  for dependency in $(objcopy -O binary --only-section=.modinfo "$file" /dev/stdout |
    tr '\0' '\n' | sed -n 's/^depends=//p' | tr ',' ' '); do
    module_visit "$root" "$dependency"
  done
  echo "$file"
}

# pack_modules FOLDER FILE...: stripped copies, and their order in FOLDER/order.
pack_modules() {
  local folder=$1 file
  shift
  mkdir -p "$folder"
  for file in "$@"; do
    strip --strip-debug -o "$folder/${file##*/}" "$file"
    echo "${file##*/}" >>"$folder/order"
  done
}

# pack_initramfs TREE: the tree as a cpio archive on stdout.
pack_initramfs() {
  (cd "$1" && find . | sort | busybox cpio -o -H newc -R 0:0 2>/dev/null)
}
