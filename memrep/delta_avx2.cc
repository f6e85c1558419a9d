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
  diff.changed_blocks = static_cast<uint32_t>(_mm_popcnt_u64(diff.changed));
}

// --- coding --------------------------------------------------------------------

/// Below this the plan is made block by block.
constexpr size_t kManyChangedBlocks = 8;
constexpr size_t kHalfPlan = 32;  ///< blocks whose octets fill one register
constexpr size_t kWordsPerPage = kPageBytes / 8;

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

/// Of each set of 8 its members, ascending; also what moves those octets of a word together.
struct Members {
  alignas(64) uint8_t of[256][8];
  constexpr Members() : of() {
    for (unsigned set = 0; set < 256; set++) {
      unsigned n = 0;
      for (unsigned i = 0; i < 8; i++) {
        if ((set >> i & 1) != 0) of[set][n++] = static_cast<uint8_t>(i);
      }
    }
  }
};
constexpr Members kMembers;

HAVEN_AVX2 inline __m128i LoadWord(const void* from) { return _mm_loadl_epi64(static_cast<const __m128i*>(from)); }
HAVEN_AVX2 inline void StoreWord(void* to, __m128i v) { _mm_storel_epi64(static_cast<__m128i*>(to), v); }
HAVEN_AVX2 inline size_t Count(uint64_t mask) { return static_cast<size_t>(_mm_popcnt_u64(mask)); }

/// Moves the octets of `mask` in a word together.
HAVEN_AVX2 inline __m128i Compress(__m128i word, unsigned mask) {
  return _mm_shuffle_epi8(word, LoadWord(kMembers.of[mask]));
}

/// Appends the places of the bits of `mask`, 8 of them at most, each plus `first`. Writes 8 in any case.
HAVEN_AVX2 inline uint16_t* ListBits(unsigned mask, size_t first, uint16_t* to) {
  const __m128i places = _mm_cvtepu8_epi16(LoadWord(kMembers.of[mask]));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_add_epi16(places, _mm_set1_epi16(static_cast<short>(first))));
  return to + Count(mask);
}

/// A list with room for what ListBits() writes beyond its end.
template <size_t kMost>
struct Places {
  uint16_t at[kMost + 8];
  size_t count = 0;
};

/// Changed blocks, ascending.
HAVEN_AVX2 inline void ListBlocks(uint64_t changed, bool many, Places<kBlocksPerPage>& blocks) {
  if (!many) {
    for (; changed != 0; changed &= changed - 1)
      blocks.at[blocks.count++] = static_cast<uint16_t>(std::countr_zero(changed));
    return;
  }
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
    octets[blocks.at[i]] = static_cast<uint8_t>(Count(diff.byte_masks[blocks.at[i]]));
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
    const __m256i size =
        _mm256_andnot_si256(_mm256_cmpeq_epi8(words, _mm256_setzero_si256()), _mm256_min_epu8(shorter, whole));
    sum = _mm256_add_epi64(sum, _mm256_sad_epu8(size, _mm256_setzero_si256()));
  }
  plan.modes.whole = diff.changed & whole_blocks;
  plan.modes.bytes = diff.changed & bytes_blocks & ~whole_blocks;
  plan.modes.words = diff.changed & ~plan.modes.whole & ~plan.modes.bytes;
  alignas(32) uint64_t sums[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(sums), sum);
  plan.bytes = plan.modes.head_bytes() + sums[0] + sums[1] + sums[2] + sums[3];
}

/// A delta whose blocks are all of mode kWords.
HAVEN_AVX2 inline void WriteWords(const uint8_t* page, const Places<kBlocksPerPage>& blocks, const DeltaPlan& plan,
                                  uint8_t* out) {
  constexpr uint8_t kMode = static_cast<uint8_t>(BlockMode::kWords) << 6;
  const bool listed = blocks.count <= kMaxListedBlocks;
  uint8_t no_list[kBlocksPerPage];
  uint8_t* entry = listed ? out + 1 : no_list;
  uint8_t* to = listed ? out + 1 + blocks.count : WriteHead(plan.modes, out);
  if (listed) out[0] = static_cast<uint8_t>(blocks.count);
  Places<kWordsPerPage> words;
  uint16_t* end = words.at;
  for (size_t i = 0; i < blocks.count; i++) {
    const unsigned mask = plan.word_masks[blocks.at[i]];
    *entry++ = static_cast<uint8_t>(kMode | blocks.at[i]);
    *to++ = static_cast<uint8_t>(mask);
    end = ListBits(mask, blocks.at[i] * size_t{8}, end);
  }
  for (const uint16_t* word = words.at; word < end; word++, to += 8) memcpy(to, page + *word * size_t{8}, 8);
}

/// A delta of any modes: without a branch on the mode of a block or the number of its words, which are hard to predict.
HAVEN_AVX2 inline void WriteMixed(const uint8_t* page, const PageDiff& diff, const Places<kBlocksPerPage>& blocks,
                                  const DeltaPlan& plan, uint8_t* out) {
  uint8_t masks_of_words[kBlocksPerPage], masks_of_bytes[kBlocksPerPage], octet_masks[kWordsPerPage + 8];
  size_t of_words = 0, of_bytes = 0, octets = 0;
  Places<kWordsPerPage> words;
  uint8_t travels[kWordsPerPage + 8];  ///< the octets of each word in `words`
  uint16_t* end = words.at;
  for (size_t i = 0; i < blocks.count; i++) {
    const size_t block = blocks.at[i];
    const unsigned changed = plan.word_masks[block];  // all words, if the block travels whole
    const unsigned bytes = plan.modes.bytes >> block & 1;
    masks_of_words[of_words] = masks_of_bytes[of_bytes] = static_cast<uint8_t>(changed);
    of_words += plan.modes.words >> block & 1;
    of_bytes += bytes;
    const __m128i of_block = Compress(LoadWord(diff.byte_masks + block), changed);
    StoreWord(octet_masks + octets, of_block);
    octets += Count(changed & -bytes);
    StoreWord(travels + (end - words.at), _mm_or_si128(of_block, _mm_set1_epi8(static_cast<char>(bytes - 1))));
    end = ListBits(changed, block * 8, end);
  }
  uint8_t* to = WriteHead(plan.modes, out);
  memcpy(to, masks_of_words, of_words);
  memcpy(to + of_words, masks_of_bytes, of_bytes);
  memcpy(to + of_words + of_bytes, octet_masks, octets);
  to += of_words + of_bytes + octets;
  words.count = static_cast<size_t>(end - words.at);
  for (size_t i = 0; i < words.count; i++) {
    StoreWord(to, Compress(LoadWord(page + words.at[i] * size_t{8}), travels[i]));
    to += Count(travels[i]);
  }
}

HAVEN_AVX2 Coded EncodeAvx2(const uint8_t* page, const PageDiff& diff, const Ahead&, uint8_t* out, size_t limit) {
  const bool many = Count(diff.changed) >= kManyChangedBlocks;
  Places<kBlocksPerPage> blocks;
  ListBlocks(diff.changed, many, blocks);
  DeltaPlan plan;
  if (many) {
    PlanAll(diff, blocks, plan);
  } else {
    PlanDelta(diff, plan);
  }
  Coded coded;
  if (!IsDelta(page, diff, plan, out, limit, coded)) return coded;
  if (plan.modes.words == diff.changed) {
    WriteWords(page, blocks, plan, out);
  } else {
    WriteMixed(page, diff, blocks, plan, out);
  }
  return coded;
}

HAVEN_AVX2 void ApplyAvx2(const uint8_t* delta, uint8_t* page) { ApplyScalar(delta, page); }

HAVEN_AVX2 void CopyBlocksAvx2(const uint8_t* from, uint64_t blocks, uint8_t* to) {
  CopyBlocksScalar(from, blocks, to);
}

}  // namespace

const DeltaKernels* Avx2Kernels() {
  static constexpr DeltaKernels kKernels{"avx2", CompareAvx2, EncodeAvx2, ApplyAvx2, CopyBlocksAvx2};
  static const bool can =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
  return can ? &kKernels : nullptr;
}

}  // namespace haven::memrep

#else

namespace haven::memrep {
const DeltaKernels* Avx2Kernels() { return nullptr; }
}  // namespace haven::memrep

#endif
