// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/delta_scalar.h"

#if defined(__x86_64__)
#include <immintrin.h>

// Functions name their target, instead of the file: what this file includes
// must not be compiled for a processor that others may not have.
#define HAVEN_AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt,lzcnt")))

namespace haven::memrep {
namespace {

HAVEN_AVX2 inline uint64_t EqualOctets(const uint8_t* a, const uint8_t* b) {
  auto* x = reinterpret_cast<const __m256i*>(a);
  auto* y = reinterpret_cast<const __m256i*>(b);
  __m256i equal_low = _mm256_cmpeq_epi8(_mm256_loadu_si256(x), _mm256_loadu_si256(y));
  __m256i equal_high = _mm256_cmpeq_epi8(_mm256_loadu_si256(x + 1), _mm256_loadu_si256(y + 1));
  auto low = static_cast<uint32_t>(_mm256_movemask_epi8(equal_low));
  auto high = static_cast<uint32_t>(_mm256_movemask_epi8(equal_high));
  return uint64_t{high} << 32 | low;
}

HAVEN_AVX2 void CompareAvx2(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff) {
  uint64_t changed = 0;
  for (size_t block = 0; block < kBlocksPerPage; block++) {
    size_t at = block * kBlockBytes;
    _mm_prefetch(reinterpret_cast<const char*>(ahead.base + at), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(ahead.page + at), _MM_HINT_T0);
    uint64_t mask = ~EqualOctets(base + at, page + at);
    diff.byte_masks[block] = mask;
    changed |= uint64_t{mask != 0} << block;
  }
  diff.changed = changed;
}

HAVEN_AVX2 Coded EncodeAvx2(const uint8_t* page, const PageDiff& diff, const Ahead&, uint8_t* out, size_t limit) {
  return EncodeScalar(page, diff, out, limit);
}

HAVEN_AVX2 void ApplyAvx2(const uint8_t* delta, uint8_t* page) { ApplyScalar(delta, page); }

HAVEN_AVX2 void CopyBlocksAvx2(const uint8_t* from, uint64_t blocks, uint8_t* to) { CopyBlocksScalar(from, blocks, to); }

}  // namespace

const DeltaKernels* Avx2Kernels() {
  static constexpr DeltaKernels kKernels{"avx2", CompareAvx2, EncodeAvx2, ApplyAvx2, CopyBlocksAvx2};
  static const bool can = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
                          __builtin_cpu_supports("popcnt");
  return can ? &kKernels : nullptr;
}

}  // namespace haven::memrep

#else

namespace haven::memrep {
const DeltaKernels* Avx2Kernels() { return nullptr; }
}  // namespace haven::memrep

#endif
