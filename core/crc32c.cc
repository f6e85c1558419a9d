// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/crc32c.h"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace haven {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}

constexpr auto kTable = MakeTable();

#if defined(__x86_64__)
// The instruction takes three cycles, and one can begin in each: three streams
// side by side, joined by moving a checksum over the octets that follow it.

/// Product of two polynomials modulo the CRC's, bits reflected: x^0 is bit 31.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) ? kPolynomial : 0);
  }
  return product;
}

/// x^n modulo the CRC's polynomial.
constexpr uint32_t PowerOfX(uint64_t n) {
  uint32_t result = 1u << 31;
  for (uint32_t power = 1u << 30; n != 0; n >>= 1, power = Multiply(power, power)) {
    if ((n & 1) != 0) result = Multiply(result, power);
  }
  return result;
}

/// What a checksum becomes when `bytes` octets of zero follow, by its octets.
struct Mover {
  std::array<std::array<uint32_t, 256>, 4> table{};

  explicit constexpr Mover(uint64_t bytes) {
    uint32_t power = PowerOfX(8 * bytes);
    for (uint32_t octet = 0; octet < 4; octet++) {
      for (uint32_t bit = 1; bit < 256; bit *= 2) {
        uint32_t moved = Multiply(bit << (8 * octet), power);
        for (uint32_t i = 0; i < bit; i++) table[octet][bit + i] = table[octet][i] ^ moved;
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return table[0][crc & 0xFF] ^ table[1][crc >> 8 & 0xFF] ^ table[2][crc >> 16 & 0xFF] ^ table[3][crc >> 24];
  }
};

/// Octets of each stream. Three of the longer ones are nearly a page.
constexpr size_t kLongStream = 1344;
constexpr size_t kShortStream = 168;
constexpr Mover kMoveLong(kLongStream);
constexpr Mover kMoveShort(kShortStream);

uint64_t Word(const uint8_t* p) {
  uint64_t word;
  memcpy(&word, p, sizeof(word));
  return word;
}

template <size_t kStream>
__attribute__((target("sse4.2"))) void ThreeStreams(const uint8_t*& p, size_t& left, uint64_t& crc, const Mover& move) {
  for (; left >= 3 * kStream; left -= 3 * kStream, p += 3 * kStream) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      crc = _mm_crc32_u64(crc, Word(p + i));
      second = _mm_crc32_u64(second, Word(p + kStream + i));
      third = _mm_crc32_u64(third, Word(p + 2 * kStream + i));
    }
    crc = move(static_cast<uint32_t>(crc)) ^ second;
    crc = move(static_cast<uint32_t>(crc)) ^ third;
  }
}

__attribute__((target("sse4.2"))) uint32_t Crc32cSse42(ByteSpan in, uint32_t seed) {
  uint64_t crc = static_cast<uint32_t>(~seed);
  const uint8_t* p = in.data();
  size_t left = in.size();
  ThreeStreams<kLongStream>(p, left, crc, kMoveLong);
  ThreeStreams<kShortStream>(p, left, crc, kMoveShort);
  for (; left >= 8; left -= 8, p += 8) crc = _mm_crc32_u64(crc, Word(p));
  auto crc32 = static_cast<uint32_t>(crc);
  for (; left > 0; left--, p++) crc32 = _mm_crc32_u8(crc32, *p);
  return ~crc32;
}
#endif

}  // namespace

uint32_t Crc32cPortable(ByteSpan in, uint32_t seed) {
  uint32_t crc = ~seed;
  for (uint8_t byte : in) crc = (crc >> 8) ^ kTable[(crc ^ byte) & 0xFF];
  return ~crc;
}

uint32_t Crc32c(ByteSpan in, uint32_t seed) {
#if defined(__x86_64__)
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2");
  if (has_sse42) return Crc32cSse42(in, seed);
#endif
  return Crc32cPortable(in, seed);
}

}  // namespace haven
