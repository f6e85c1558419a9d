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

template <bool kFetchBase, bool kFetchPage>
HAVEN_AVX2 inline void Compare(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff) {
  uint64_t changed = 0;
  for (size_t block = 0; block < kBlocksPerPage; block++) {
    size_t at = block * kBlockBytes;
    if (kFetchBase) _mm_prefetch(reinterpret_cast<const char*>(ahead.base + at), _MM_HINT_T0);
    if (kFetchPage) _mm_prefetch(reinterpret_cast<const char*>(ahead.page + at), _MM_HINT_T0);
    uint64_t mask = ~EqualOctets(base + at, page + at);
    diff.byte_masks[block] = mask;
    changed |= uint64_t{mask != 0} << block;
  }
  diff.changed = changed;
}

HAVEN_AVX2 void CompareAvx2(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff) {
  if (ahead.base == nullptr) {
    ahead.page == nullptr ? Compare<false, false>(base, page, ahead, diff) : Compare<false, true>(base, page, ahead, diff);
  } else {
    ahead.page == nullptr ? Compare<true, false>(base, page, ahead, diff) : Compare<true, true>(base, page, ahead, diff);
  }
}

// --- coding --------------------------------------------------------------------

/// Below this the plan is made block by block.
constexpr int kManyChangedBlocks = 8;
constexpr size_t kHalfPlan = 32;  ///< blocks whose octets fill one register

HAVEN_AVX2 inline __m256i Load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
HAVEN_AVX2 inline uint32_t Octets(__m256i mask) { return static_cast<uint32_t>(_mm256_movemask_epi8(mask)); }

/// The number of bits of each octet.
HAVEN_AVX2 inline __m256i CountBits(__m256i v) {
  const __m256i bits = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low4 = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(bits, _mm256_and_si256(v, low4)),
                         _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(v, 4), low4)));
}

/// PlanDelta() for all blocks at once. Word masks of all blocks are set.
HAVEN_AVX2 inline void PlanAll(const PageDiff& diff, DeltaPlan& plan) {
  alignas(32) uint8_t octets[kBlocksPerPage];
  for (size_t block = 0; block < kBlocksPerPage; block += 4) {
    uint32_t words = ~Octets(_mm256_cmpeq_epi8(Load(diff.byte_masks + block), _mm256_setzero_si256()));
    memcpy(plan.word_masks + block, &words, sizeof(words));
    for (size_t i = block; i < block + 4; i++) octets[i] = static_cast<uint8_t>(_mm_popcnt_u64(diff.byte_masks[i]));
  }
  const __m256i one = _mm256_set1_epi8(1);
  const __m256i whole = _mm256_set1_epi8(kBlockBytes);
  uint64_t whole_blocks = 0, bytes_blocks = 0;
  __m256i sum = _mm256_setzero_si256();
  for (size_t first = 0; first < kBlocksPerPage; first += kHalfPlan) {
    const __m256i words = CountBits(Load(plan.word_masks + first));
    // All lengths are below 128.
    const __m256i as_words = _mm256_add_epi8(_mm256_slli_epi16(words, 3), one);
    const __m256i as_bytes = _mm256_add_epi8(_mm256_add_epi8(words, Load(octets + first)), one);
    const __m256i shorter = _mm256_min_epu8(as_words, as_bytes);
    whole_blocks |= uint64_t{~Octets(_mm256_cmpgt_epi8(whole, shorter))} << first;
    bytes_blocks |= uint64_t{Octets(_mm256_cmpgt_epi8(as_words, as_bytes))} << first;
    // What has not changed has no words.
    const __m256i size = _mm256_andnot_si256(_mm256_cmpeq_epi8(words, _mm256_setzero_si256()), _mm256_min_epu8(shorter, whole));
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(size, _mm256_setzero_si256()));
  }
  plan.modes.whole = diff.changed & whole_blocks;
  plan.modes.bytes = diff.changed & bytes_blocks & ~whole_blocks;
  plan.modes.words = diff.changed & ~plan.modes.whole & ~plan.modes.bytes;
  alignas(32) uint64_t sums[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums), sum);
  plan.bytes = plan.modes.head_bytes() + sums[0] + sums[1] + sums[2] + sums[3];
}

/// For each set of 4 words: where the first, second ... of them is, in pairs of 4 octets.
struct Gather {
  alignas(32) uint32_t at[16][8];
  constexpr Gather() : at() {
    for (unsigned words = 0; words < 16; words++) {
      unsigned n = 0;
      for (unsigned word = 0; word < 4; word++) {
        if ((words >> word & 1) == 0) continue;
        at[words][2 * n] = 2 * word;
        at[words][2 * n + 1] = 2 * word + 1;
        n++;
      }
    }
  }
};

/// Moves the chosen of the 4 words at `from` together. Writes 32 octets in any case.
HAVEN_AVX2 inline uint8_t* WriteWords(const uint8_t* from, unsigned words, uint8_t* to) {
  static constexpr Gather kGather;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(Load(from), Load(kGather.at[words])));
  return to + 8 * _mm_popcnt_u32(words);
}

HAVEN_AVX2 Coded EncodeAvx2(const uint8_t* page, const PageDiff& diff, const Ahead&, uint8_t* out, size_t limit) {
  DeltaPlan plan;
  if (_mm_popcnt_u64(diff.changed) < kManyChangedBlocks) {
    PlanDelta(diff, plan);
  } else {
    PlanAll(diff, plan);
  }
  uint8_t* to;
  Coded coded = WriteBeforeData(page, diff, plan, out, limit, to);
  for (uint64_t left = to != nullptr ? diff.changed : 0; left != 0; left &= left - 1) {
    auto block = static_cast<size_t>(std::countr_zero(left));
    if (plan.modes.bytes >> block & 1) {
      to = WriteBlock(page, diff, plan, block, to);
      continue;
    }
    // Without a branch on the number of words, which is hard to predict.
    unsigned words = plan.word_masks[block] | -static_cast<unsigned>(plan.modes.whole >> block & 1);
    to = WriteWords(page + block * kBlockBytes, words & 15, to);
    to = WriteWords(page + block * kBlockBytes + 32, words >> 4 & 15, to);
  }
  return coded;
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
