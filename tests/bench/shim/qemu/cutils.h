/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BENCH_SHIM_CUTILS_H
#define HAVEN_BENCH_SHIM_CUTILS_H

#include <stdint.h>

/* LEB128 of at most 14 bits: the octets written or read; -1: longer. */
int uleb128_encode_small(uint8_t* out, uint32_t n);
int uleb128_decode_small(const uint8_t* in, uint32_t* n);

#endif
