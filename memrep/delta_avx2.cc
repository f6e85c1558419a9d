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

/// How much of a page is fetched during the end of the one before it. Of one that follows in memory
/// just the beginning: the processor fetches ahead by itself, but not from one page into the next.
constexpr size_t kNearBlocks = 4;
constexpr size_t kFarBlocks = 32;

/// Compares blocks `first` to `end`, and fetches a block each of the next base and page.
template <bool kFetchBase, bool kFetchPage>
HAVEN_AVX2 inline uint64_t CompareBlocks(const uint8_t* base, const uint8_t* page, size_t first, size_t end,
                                         const uint8_t*& next_base, const uint8_t*& next_page, PageDiff& diff) {
  uint64_t changed = 0;
  for (size_t block = first; block < end; block++) {
    if (kFetchBase) _mm_prefetch(reinterpret_cast<const char*>(next_base), _MM_HINT_T0), next_base += kBlockBytes;
    if (kFetchPage) _mm_prefetch(reinterpret_cast<const char*>(next_page), _MM_HINT_T0), next_page += kBlockBytes;
    uint64_t mask = ~EqualOctets(base + block * kBlockBytes, page + block * kBlockBytes);
    diff.byte_masks[block] = mask;
    changed |= uint64_t{mask != 0} << block;
  }
  return changed;
}

HAVEN_AVX2 void CompareAvx2(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff) {
  const uint8_t* next_base = ahead.base;
  const uint8_t* next_page = ahead.page;
  constexpr size_t kFar = kBlocksPerPage - kFarBlocks, kNear = kBlocksPerPage - kNearBlocks;
  uint64_t changed = CompareBlocks<false, false>(base, page, 0, kFar, next_base, next_page, diff);
  if (ahead.far_base()) {
    changed |= ahead.far_page() ? CompareBlocks<true, true>(base, page, kFar, kNear, next_base, next_page, diff)
                                : CompareBlocks<true, false>(base, page, kFar, kNear, next_base, next_page, diff);
  } else {
    changed |= ahead.far_page() ? CompareBlocks<false, true>(base, page, kFar, kNear, next_base, next_page, diff)
                                : CompareBlocks<false, false>(base, page, kFar, kNear, next_base, next_page, diff);
  }
  if (next_base == nullptr) next_base = base;  // it is there already
  if (next_page == nullptr) next_page = page;
  diff.changed = changed | CompareBlocks<true, true>(base, page, kNear, kBlocksPerPage, next_base, next_page, diff);
}

// --- coding --------------------------------------------------------------------

/// Below this the plan is made block by block.
constexpr size_t kManyChangedBlocks = 8;
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

/// Of each set of 8: its members, ascending.
struct BitPlaces {
  alignas(64) uint16_t at[256][8];
  constexpr BitPlaces() : at() {
    for (unsigned mask = 0; mask < 256; mask++) {
      unsigned n = 0;
      for (unsigned bit = 0; bit < 8; bit++) {
        if ((mask >> bit & 1) != 0) at[mask][n++] = static_cast<uint16_t>(bit);
      }
    }
  }
};

/// Appends the places of the bits of `mask`, 8 of them at most, each plus `first`. Writes 8 in any case.
HAVEN_AVX2 inline uint16_t* ListBits(unsigned mask, size_t first, uint16_t* to) {
  static constexpr BitPlaces kPlaces;
  const __m128i places = _mm_load_si128(reinterpret_cast<const __m128i*>(kPlaces.at[mask]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_add_epi16(places, _mm_set1_epi16(static_cast<short>(first))));
  return to + _mm_popcnt_u32(mask);
}

/// A list with room for what ListBits() writes beyond its end.
template <size_t kMost>
struct Places {
  uint16_t at[kMost + 8];
  size_t count = 0;
};

/// Changed blocks, ascending.
HAVEN_AVX2 inline void ListBlocks(uint64_t changed, Places<kBlocksPerPage>& blocks) {
  uint16_t* to = blocks.at;
  for (size_t first = 0; first < kBlocksPerPage; first += 8) to = ListBits(changed >> first & 0xff, first, to);
  blocks.count = static_cast<size_t>(to - blocks.at);
}

/// PlanDelta() for all blocks at once. Word masks of all blocks are set.
HAVEN_AVX2 inline void PlanAll(const PageDiff& diff, const Places<kBlocksPerPage>& blocks, DeltaPlan& plan) {
  alignas(32) uint8_t octets[kBlocksPerPage] = {};
  for (size_t block = 0; block < kBlocksPerPage; block += 4) {
    uint32_t words = ~Octets(_mm256_cmpeq_epi8(Load(diff.byte_masks + block), _mm256_setzero_si256()));
    memcpy(plan.word_masks + block, &words, sizeof(words));
  }
  for (size_t i = 0; i < blocks.count; i++) {
    octets[blocks.at[i]] = static_cast<uint8_t>(_mm_popcnt_u64(diff.byte_masks[blocks.at[i]]));
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

/// The same with the 8 words of a block, without a branch on their number, which is hard to predict.
HAVEN_AVX2 inline uint8_t* WriteBlockWords(const uint8_t* from, unsigned words, uint8_t* to) {
  return WriteWords(from + kBlockBytes / 2, words >> 4, WriteWords(from, words & 15, to));
}

constexpr uint8_t kWordsEntry = static_cast<uint8_t>(BlockMode::kWords) << 6;

/// A delta of a few blocks, all of mode kWords.
HAVEN_AVX2 inline void WriteFewWords(const uint8_t* page, const DeltaPlan& plan, uint8_t* out) {
  const auto n = static_cast<size_t>(_mm_popcnt_u64(plan.modes.words));
  *out++ = static_cast<uint8_t>(n);
  uint8_t* to = out + 2 * n;
  for (uint64_t left = plan.modes.words; left != 0; left &= left - 1, out++) {
    const auto block = static_cast<size_t>(std::countr_zero(left));
    const unsigned words = plan.word_masks[block];
    out[0] = static_cast<uint8_t>(kWordsEntry | block);
    out[n] = static_cast<uint8_t>(words);
    to = WriteBlockWords(page + block * kBlockBytes, words, to);
  }
}

/// A delta of more blocks than that, all of mode kWords.
HAVEN_AVX2 inline void WriteManyWords(const uint8_t* page, const Places<kBlocksPerPage>& blocks, const DeltaPlan& plan, uint8_t* out) {
  const bool listed = blocks.count <= kMaxListedBlocks;
  uint8_t no_list[kBlocksPerPage];
  uint8_t* entry = listed ? out + 1 : no_list;
  uint8_t* to = listed ? out + 1 + blocks.count : WriteHead(plan.modes, out);
  if (listed) out[0] = static_cast<uint8_t>(blocks.count);
  Places<kPageBytes / 8> words;
  uint16_t* end = words.at;
  for (size_t i = 0; i < blocks.count; i++) {
    const unsigned mask = plan.word_masks[blocks.at[i]];
    *entry++ = static_cast<uint8_t>(kWordsEntry | blocks.at[i]);
    *to++ = static_cast<uint8_t>(mask);
    end = ListBits(mask, blocks.at[i] * size_t{8}, end);
  }
  for (const uint16_t* word = words.at; word < end; word++, to += 8) memcpy(to, page + *word * size_t{8}, 8);
}

HAVEN_AVX2 Coded EncodeAvx2(const uint8_t* page, const PageDiff& diff, const Ahead&, uint8_t* out, size_t limit) {
  Places<kBlocksPerPage> blocks;
  DeltaPlan plan;
  const bool many = static_cast<size_t>(_mm_popcnt_u64(diff.changed)) >= kManyChangedBlocks;
  if (many) {
    ListBlocks(diff.changed, blocks);
    PlanAll(diff, blocks, plan);
  } else {
    PlanDelta(diff, plan);
  }
  Coded coded;
  if (!IsDelta(page, diff, plan, out, limit, coded)) return coded;
  if (plan.modes.words == diff.changed) {
    many ? WriteManyWords(page, blocks, plan, out) : WriteFewWords(page, plan, out);
    return coded;
  }
  uint8_t* to = WriteMasks(diff, plan, WriteHead(plan.modes, out));
  for (uint64_t left = diff.changed; left != 0; left &= left - 1) {
    auto block = static_cast<size_t>(std::countr_zero(left));
    if (plan.modes.bytes >> block & 1) {
      to = WriteBlock(page, diff, plan, block, to);
      continue;
    }
    unsigned words = plan.word_masks[block] | -static_cast<unsigned>(plan.modes.whole >> block & 1);
    to = WriteBlockWords(page + block * kBlockBytes, words & 0xff, to);
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
