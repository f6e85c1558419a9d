/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qemu/osdep.h"
#include "qemu/cutils.h"

int uleb128_encode_small(uint8_t* out, uint32_t n) {
  g_assert(n < 1u << 14);
  if (n >> 7 == 0) {
    out[0] = (uint8_t)n;
    return 1;
  }
  out[0] = (uint8_t)(n | 0x80);
  out[1] = (uint8_t)(n >> 7);
  return 2;
}

int uleb128_decode_small(const uint8_t* in, uint32_t* n) {
  *n = in[0] & 0x7f;
  if ((in[0] & 0x80) == 0) {
    return 1;
  }
  if ((in[1] & 0x80) != 0) {
    return -1;
  }
  *n |= (uint32_t)in[1] << 7;
  return 2;
}
