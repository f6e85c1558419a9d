# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash

# build_servers OPTION...: the guest of servers, as a benchmark with these options needs it.
build_servers() {
  case " $* " in
    *' --help '* | *' -h '*) ;;
    *' --xen '*)
      "$ROOT/scripts/xen-testbed" build >&2
      "$ROOT/scripts/bench-parts/servers-image" --xen >&2
      ;;
    *) "$ROOT/scripts/bench-parts/servers-image" >&2 ;;
  esac
}
