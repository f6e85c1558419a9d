/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU's migration/xbzrle.c needs of QEMU's header of this name, to be
 * compiled unmodified outside of QEMU. */
#ifndef HAVEN_BENCH_SHIM_OSDEP_H
#define HAVEN_BENCH_SHIM_OSDEP_H

#include <glib.h>
#include <stdint.h>
#include <string.h>

#endif
