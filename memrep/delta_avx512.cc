// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/delta_scalar.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if !defined(__clang__)
// GCC 12's own header initialises a vector with itself, deliberately.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

// See delta_avx2.cc for why each function names its target.
#define HAVEN_AVX512                                                                          \
  __attribute__((                                                                             \
      target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vbmi2,avx512bitalg,avx512vpopcntdq," \
             "bmi,bmi2,popcnt,lzcnt")))

namespace haven::memrep {
namespace {

constexpr size_t kGroups = 8;  // of 8 blocks: the masks of a group fill one register

HAVEN_AVX512 inline __m512i Load(const void* from) { return _mm512_loadu_si512(from); }
HAVEN_AVX512 inline void Store(void* to, __m512i v) { _mm512_storeu_si512(to, v); }
/// The first `n` octets at `from`, 0 .. 64; nothing beyond them is read.
HAVEN_AVX512 inline __m512i LoadFirst(const void* from, unsigned n) {
  return _mm512_maskz_loadu_epi8(_bzhi_u64(~uint64_t{0}, n), from);
}
HAVEN_AVX512 inline unsigned Count(uint64_t mask) { return static_cast<unsigned>(_mm_popcnt_u64(mask)); }
/// All octets of each of a group's 8 words-of-masks whose bit is set.
HAVEN_AVX512 inline uint64_t Widen(uint64_t bits) { return _pdep_u64(bits, 0x0101010101010101) * 0xff; }

/// Comparing waits for memory, coding does not: the next page's last groups
/// are left for coding to fetch, so that memory is never idle.
constexpr size_t kFetchedByCompare = 6;

HAVEN_AVX512 inline void Fetch(const Ahead& ahead, size_t at) {
  if (ahead.far_base()) _mm_prefetch(reinterpret_cast<const char*>(ahead.base + at), _MM_HINT_T0);
  if (ahead.far_page()) _mm_prefetch(reinterpret_cast<const char*>(ahead.page + at), _MM_HINT_T0);
}

template <bool kFetch>
HAVEN_AVX512 inline void Compare(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff) {
  uint64_t changed = 0;
  for (size_t group = 0; group < kGroups; group++) {
    uint64_t* masks = diff.byte_masks + group * 8;
    for (size_t i = 0; i < 8; i++) {
      size_t at = (group * 8 + i) * kBlockBytes;
      if (kFetch && group < kFetchedByCompare) Fetch(ahead, at);
      __mmask64 differ = _mm512_cmpneq_epi8_mask(Load(base + at), Load(page + at));
      masks[i] = differ;
      changed |= uint64_t{differ != 0} << (group * 8 + i);
    }
  }
  diff.changed = changed;
  diff.changed_blocks = Count(changed);
}

HAVEN_AVX512 void CompareAvx512(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff) {
  ahead.far() ? Compare<true>(base, page, ahead, diff) : Compare<false>(base, page, ahead, diff);
}

/// How the blocks will be coded; the vectors hold an octet for each block.
struct VectorPlan {
  BlockModes modes;
  __m512i word_masks;
  alignas(64) uint64_t group_words[kGroups];  ///< the word masks again, 8 blocks in each
  size_t bytes;
};

HAVEN_AVX512 inline void Plan(const PageDiff& diff, const Ahead& ahead, VectorPlan& plan) {
  alignas(64) uint8_t octets[kBlocksPerPage];
  for (size_t group = 0; group < kGroups; group++) {
    for (size_t i = 0; ahead.far() && i < 8 - kFetchedByCompare; i++) {
      Fetch(ahead, (kFetchedByCompare * 8 + group * (8 - kFetchedByCompare) + i) * kBlockBytes);
    }
    __m512i masks = Load(diff.byte_masks + group * 8);
    plan.group_words[group] = _mm512_test_epi8_mask(masks, masks);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(octets + group * 8), _mm512_cvtepi64_epi8(_mm512_popcnt_epi64(masks)));
  }
  plan.word_masks = Load(plan.group_words);
  __m512i one = _mm512_set1_epi8(1);
  __m512i whole = _mm512_set1_epi8(kBlockBytes);
  __m512i word_count = _mm512_popcnt_epi8(plan.word_masks);
  __m512i as_words = _mm512_add_epi8(_mm512_slli_epi16(word_count, 3), one);  // at most 8 << 3: stays in its octet
  __m512i as_bytes = _mm512_add_epi8(_mm512_add_epi8(word_count, Load(octets)), one);
  __m512i shorter = _mm512_min_epu8(as_words, as_bytes);
  plan.modes.whole = diff.changed & _mm512_cmpge_epu8_mask(shorter, whole);
  plan.modes.bytes = diff.changed & ~plan.modes.whole & _mm512_cmplt_epu8_mask(as_bytes, as_words);
  plan.modes.words = diff.changed & ~plan.modes.whole & ~plan.modes.bytes;
  __m512i sizes = _mm512_maskz_mov_epi8(diff.changed, _mm512_min_epu8(shorter, whole));
  plan.bytes = plan.modes.head_bytes() +
               static_cast<size_t>(_mm512_reduce_add_epi64(_mm512_sad_epu8(sizes, _mm512_setzero_si512())));
}

HAVEN_AVX512 inline uint8_t* WriteHeadVector(const BlockModes& modes, uint8_t* out) {
  uint64_t all = modes.all();
  unsigned n = Count(all);
  uint64_t low = modes.words | modes.whole;
  uint64_t high = modes.bytes | modes.whole;
  if (n > kMaxListedBlocks) {
    out[0] = 0;
    StoreLittle64(out + 1, low);
    StoreLittle64(out + 9, high);
    return out + kMaxDeltaHeadBytes;
  }
  static constexpr struct alignas(64) Indices {
    uint8_t at[kBlocksPerPage];
    constexpr Indices() : at() {
      for (size_t i = 0; i < kBlocksPerPage; i++) at[i] = static_cast<uint8_t>(i);
    }
  } kIndices;
  __m512i entries = _mm512_or_si512(
      Load(kIndices.at),
      _mm512_or_si512(_mm512_maskz_set1_epi8(low, 0x40), _mm512_maskz_set1_epi8(high, static_cast<char>(0x80))));
  out[0] = static_cast<uint8_t>(n);
  Store(out + 1, _mm512_maskz_compress_epi8(all, entries));
  return out + 1 + n;
}

/// The octets that travel of each block of a group, from its modes and masks.
HAVEN_AVX512 inline __m512i Effective(const BlockModes& modes, size_t group, uint64_t words, __m512i octet_masks) {
  auto of_bytes = static_cast<__mmask8>(modes.bytes >> (group * 8));
  auto of_whole = static_cast<__mmask8>(modes.whole >> (group * 8));
  __m512i masks = _mm512_mask_blend_epi64(of_bytes, _mm512_movm_epi8(words), octet_masks);
  return _mm512_mask_blend_epi64(of_whole, masks, _mm512_set1_epi64(-1));
}

HAVEN_AVX512 Coded EncodeAvx512(const uint8_t* page, const PageDiff& diff, const Ahead& ahead, uint8_t* out,
                                size_t limit) {
  VectorPlan plan;
  Plan(diff, ahead, plan);
  Span span = SpanOf(diff);
  if (kRunHeadBytes + span.bytes <= plan.bytes) {
    if (kRunHeadBytes + span.bytes > limit) return {};
    return WriteRun(page, span, out);
  }
  if (plan.bytes > limit) return {};
  const BlockModes& modes = plan.modes;
  uint8_t* to = WriteHeadVector(modes, out);
  Store(to, _mm512_maskz_compress_epi8(modes.words, plan.word_masks));
  to += Count(modes.words);
  Store(to, _mm512_maskz_compress_epi8(modes.bytes, plan.word_masks));
  to += Count(modes.bytes);

  alignas(64) uint64_t travels[kBlocksPerPage];
  for (size_t group = 0; group < kGroups; group++) {
    if ((diff.changed >> (group * 8) & 0xff) == 0) continue;
    __m512i masks = Load(diff.byte_masks + group * 8);
    uint64_t of_bytes = plan.group_words[group] & Widen(modes.bytes >> (group * 8) & 0xff);
    if (of_bytes != 0) {
      Store(to, _mm512_maskz_compress_epi8(of_bytes, masks));
      to += Count(of_bytes);
    }
    _mm512_store_si512(travels + group * 8, Effective(modes, group, plan.group_words[group], masks));
  }
  // Compressed in a register: compressing to memory is slow on some processors.
  for (uint64_t left = diff.changed; left != 0; left &= left - 1) {
    auto block = static_cast<size_t>(_tzcnt_u64(left));
    Store(to, _mm512_maskz_compress_epi8(travels[block], Load(page + block * kBlockBytes)));
    to += Count(travels[block]);
  }
  return {Coded::Kind::kDelta, plan.bytes};
}

HAVEN_AVX512 void ApplyAvx512(const uint8_t* delta, uint8_t* page) {
  BlockModes modes;
  const uint8_t* from = delta + ReadHead(delta, modes);
  unsigned n = Count(modes.words);
  __m512i word_masks = _mm512_maskz_expand_epi8(modes.words, LoadFirst(from, n));
  from += n;
  n = Count(modes.bytes);
  word_masks = _mm512_mask_expand_epi8(word_masks, modes.bytes, LoadFirst(from, n));
  from += n;
  alignas(64) uint64_t group_words[kGroups];
  _mm512_store_si512(group_words, word_masks);

  alignas(64) uint64_t travels[kBlocksPerPage];
  uint64_t changed = modes.all();
  for (size_t group = 0; group < kGroups; group++) {
    if ((changed >> (group * 8) & 0xff) == 0) continue;
    uint64_t of_bytes = group_words[group] & Widen(modes.bytes >> (group * 8) & 0xff);
    n = Count(of_bytes);
    __m512i octet_masks = _mm512_maskz_expand_epi8(of_bytes, LoadFirst(from, n));
    from += n;
    _mm512_store_si512(travels + group * 8, Effective(modes, group, group_words[group], octet_masks));
  }
  for (; changed != 0; changed &= changed - 1) {
    auto block = static_cast<size_t>(_tzcnt_u64(changed));
    uint8_t* to = page + block * kBlockBytes;
    n = Count(travels[block]);
    Store(to, _mm512_mask_expand_epi8(Load(to), travels[block], LoadFirst(from, n)));
    from += n;
  }
}

HAVEN_AVX512 void CopyBlocksAvx512(const uint8_t* from, uint64_t blocks, uint8_t* to) {
  for (; blocks != 0; blocks &= blocks - 1) {
    size_t at = static_cast<size_t>(_tzcnt_u64(blocks)) * kBlockBytes;
    Store(to + at, Load(from + at));
  }
}

}  // namespace

const DeltaKernels* Avx512Kernels() {
  static constexpr DeltaKernels kKernels{"avx512", CompareAvx512, EncodeAvx512, ApplyAvx512, CopyBlocksAvx512};
  static const bool can = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                          __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
                          __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vpopcntdq") &&
                          __builtin_cpu_supports("bmi2");
  return can ? &kKernels : nullptr;
}

}  // namespace haven::memrep

#else

namespace haven::memrep {
const DeltaKernels* Avx512Kernels() { return nullptr; }
}  // namespace haven::memrep

#endif
