# SPDX-License-Identifier: GPL-2.0-or-later
# HAVEN in build folders, each with options of its own; nothing is done twice.
# shellcheck shell=bash

source_folders=()
for folder in core os memrep blkrep netrep session qmp xen capi havend cli m4 qemu qemu-patches docs; do
  [ -d "$ROOT/$folder" ] && source_folders+=("$ROOT/$folder")
done

# Make and ninja start compilers later, too. The folder in which a compiler runs is no part of a result.
export CCACHE_DIR=${CCACHE_DIR:-$CACHE/ccache} CCACHE_NOHASHDIR=1
# Without this it stores nothing that is compiled with a precompiled header.
export CCACHE_SLOPPINESS=pch_defines,time_macros

# unchanged STAMP: nothing that is built from the tree is newer than STAMP.
unchanged() {
  [ -e "$1" ] && [ -z "$(find "${source_folders[@]}" "$ROOT/configure.ac" "$ROOT/Makefile.am" \
    "$ROOT"/scripts/qemu-* -type f -newer "$1" ! -name '*~' -print -quit 2>/dev/null)" ]
}

# install_haven NAME BUILD PREFIX OPTION...: configured, built and installed into PREFIX,
# when the tree or the options are others than the last time.
install_haven() {
  local name=$1 build=$2 prefix=$3
  shift 3
  set -- --prefix="$prefix" "$@"
  configured_as "$build" "$@" && unchanged "$build/.installed" && return 0
  configure_haven "$name" "$build" "$@" || return
  touch "$build/.building"
  logged "build-$name" make -C "$build" -j "$(nproc)" || return
  logged "install-$name" make -C "$build" install || return
  mv "$build/.building" "$build/.installed"
}

# configure_haven NAME BUILD OPTION...
configure_haven() {
  local name=$1 build=$2
  shift 2
  configured_as "$build" "$@" && newer "$build/config.status" "$ROOT/configure.ac" && return 0
  mkdir -p "$build"
  newer "$ROOT/configure" "$ROOT/configure.ac" "$ROOT/Makefile.am" ||
    logged autoreconf autoreconf -fi "$ROOT" || return
  configure_words "$@"
  (cd "$build" && logged "configure-$name" "$ROOT/configure" "${words[@]}") || return
  echo "${words[*]}" >"$build/.configured"
}

# configured_as BUILD OPTION...: it was configured with these options.
configured_as() {
  local build=$1
  shift
  configure_words "$@"
  [ "$(cat "$build/.configured" 2>/dev/null)" = "${words[*]}" ]
}

# Sets words: what configure is told.
configure_words() {
  # Lines, but no variables, for debuggers: compiling takes less. An option may say otherwise.
  words=(CXXFLAGS="-g1 -O2" "$@" --quiet)
  # One file of several builds is compiled once.
  if command -v ccache >/dev/null; then words+=(CC="ccache gcc" CXX="ccache g++"); fi
}
