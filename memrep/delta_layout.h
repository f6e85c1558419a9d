/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_DELTA_LAYOUT_H
#define HAVEN_MEMREP_DELTA_LAYOUT_H

#include <bit>

#include "memrep/delta.h"

// Private to the delta kernels. Everything here is inlined by force, so that
// each kernel compiles it for its own processor.

#define HAVEN_INLINE inline __attribute__((always_inline))

namespace haven::memrep {

HAVEN_INLINE uint64_t LoadLittle64(const uint8_t* from) {
  uint64_t v;
  memcpy(&v, from, sizeof(v));
  return std::endian::native == std::endian::little ? v : __builtin_bswap64(v);
}

HAVEN_INLINE void StoreLittle64(uint8_t* to, uint64_t v) {
  if (std::endian::native != std::endian::little) v = __builtin_bswap64(v);
  memcpy(to, &v, sizeof(v));
}

HAVEN_INLINE void StoreLittle32(uint8_t* to, uint32_t v) {
  if (std::endian::native != std::endian::little) v = __builtin_bswap32(v);
  memcpy(to, &v, sizeof(v));
}

/// Bit i of the result: octet i of `v` is not 0.
HAVEN_INLINE uint8_t NonZeroOctets(uint64_t v) {
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  uint64_t high = (((v & kLow7) + kLow7) | v) & ~kLow7;
  return static_cast<uint8_t>((high >> 7) * 0x0102040810204080 >> 56);
}

/// Octet i of the result: 0xff if bit i of `mask` is set, else 0.
HAVEN_INLINE uint64_t SpreadBits(uint8_t mask) {
  uint64_t bits = mask * 0x0101010101010101ull & 0x8040201008040201ull;
  constexpr uint64_t kLow7 = 0x7f7f7f7f7f7f7f7f;
  uint64_t high = (((bits & kLow7) + kLow7) | bits) & ~kLow7;
  return (high >> 7) * 0xff;
}

/// The blocks of a delta by their mode.
struct BlockModes {
  uint64_t words = 0, bytes = 0, whole = 0;

  HAVEN_INLINE uint64_t all() const { return words | bytes | whole; }
  HAVEN_INLINE size_t head_bytes() const {
    auto n = static_cast<unsigned>(std::popcount(all()));
    return n <= kMaxListedBlocks ? 1 + n : kMaxDeltaHeadBytes;
  }
};

/// Reads the head of a delta that was accepted. @return its length.
HAVEN_INLINE size_t ReadHead(const uint8_t* delta, BlockModes& modes) {
  uint64_t low = 0, high = 0;
  size_t bytes = kMaxDeltaHeadBytes;
  if (delta[0] == 0) {
    low = LoadLittle64(delta + 1);
    high = LoadLittle64(delta + 9);
  } else {
    for (unsigned i = 1; i <= delta[0]; i++) {
      unsigned block = delta[i] & 63;
      low |= uint64_t{delta[i] >> 6 & 1u} << block;
      high |= uint64_t{delta[i] >> 7 & 1u} << block;
    }
    bytes = 1 + size_t{delta[0]};
  }
  modes = {low & ~high, high & ~low, low & high};
  return bytes;
}

/// Where the change begins, and how many octets it spans.
struct Span {
  size_t offset, bytes;
};

HAVEN_INLINE Span SpanOf(const PageDiff& diff) {
  auto first = static_cast<size_t>(std::countr_zero(diff.changed));
  auto last = static_cast<size_t>(63 - std::countl_zero(diff.changed));
  size_t begin = first * kBlockBytes + static_cast<size_t>(std::countr_zero(diff.byte_masks[first]));
  size_t end = last * kBlockBytes + static_cast<size_t>(64 - std::countl_zero(diff.byte_masks[last]));
  return {begin, end - begin};
}

HAVEN_INLINE Coded WriteRun(const uint8_t* page, const Span& span, uint8_t* out) {
  out[0] = static_cast<uint8_t>(span.offset);
  out[1] = static_cast<uint8_t>(span.offset >> 8);
  out[2] = static_cast<uint8_t>(span.bytes);
  out[3] = static_cast<uint8_t>(span.bytes >> 8);
  memcpy(out + kRunHeadBytes, page + span.offset, span.bytes);
  return {Coded::Kind::kRun, kRunHeadBytes + span.bytes};
}

}  // namespace haven::memrep

#endif
