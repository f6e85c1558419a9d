/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_DELTA_SCALAR_H
#define HAVEN_MEMREP_DELTA_SCALAR_H

#include "memrep/delta_layout.h"

// Coding and applying a delta block by block, without vectors. Private to the
// kernels, as delta_layout.h is.

namespace haven::memrep {

/// How the blocks of a page will be coded.
struct DeltaPlan {
  BlockModes modes;
  uint8_t word_masks[kBlocksPerPage];  ///< of the changed blocks
  size_t bytes = 0;
};

HAVEN_INLINE void PlanDelta(const PageDiff& diff, DeltaPlan& plan) {
  size_t bytes = 0;
  for (uint64_t left = diff.changed; left != 0; left &= left - 1) {
    auto block = static_cast<size_t>(std::countr_zero(left));
    uint64_t octets = diff.byte_masks[block];
    uint8_t words = NonZeroOctets(octets);
    plan.word_masks[block] = words;
    auto word_count = static_cast<size_t>(std::popcount(words));
    size_t as_words = 1 + 8 * word_count;
    size_t as_bytes = 1 + word_count + static_cast<size_t>(std::popcount(octets));
    uint64_t bit = left & -left;
    if (as_words >= kBlockBytes && as_bytes >= kBlockBytes) {
      plan.modes.whole |= bit;
      bytes += kBlockBytes;
    } else if (as_bytes < as_words) {
      plan.modes.bytes |= bit;
      bytes += as_bytes;
    } else {
      plan.modes.words |= bit;
      bytes += as_words;
    }
  }
  plan.bytes = bytes + plan.modes.head_bytes();
}

HAVEN_INLINE uint8_t* WriteHead(const BlockModes& modes, uint8_t* out) {
  uint64_t all = modes.all();
  auto n = static_cast<unsigned>(std::popcount(all));
  if (n > kMaxListedBlocks) {
    out[0] = 0;
    StoreLittle64(out + 1, modes.words | modes.whole);
    StoreLittle64(out + 9, modes.bytes | modes.whole);
    return out + kMaxDeltaHeadBytes;
  }
  *out++ = static_cast<uint8_t>(n);
  for (; all != 0; all &= all - 1) {
    uint64_t bit = all & -all;
    unsigned mode = ((modes.words | modes.whole) & bit ? 1 : 0) | ((modes.bytes | modes.whole) & bit ? 2 : 0);
    *out++ = static_cast<uint8_t>(mode << 6 | static_cast<unsigned>(std::countr_zero(bit)));
  }
  return out;
}

HAVEN_INLINE uint8_t* WriteMasks(const PageDiff& diff, const DeltaPlan& plan, uint8_t* out) {
  for (uint64_t left = plan.modes.words; left != 0; left &= left - 1) {
    *out++ = plan.word_masks[std::countr_zero(left)];
  }
  for (uint64_t left = plan.modes.bytes; left != 0; left &= left - 1) {
    *out++ = plan.word_masks[std::countr_zero(left)];
  }
  for (uint64_t left = plan.modes.bytes; left != 0; left &= left - 1) {
    int block = std::countr_zero(left);
    for (unsigned words = plan.word_masks[block]; words != 0; words &= words - 1) {
      *out++ = static_cast<uint8_t>(diff.byte_masks[block] >> (8 * std::countr_zero(words)));
    }
  }
  return out;
}

/// The octets that travel of block `block`.
HAVEN_INLINE uint8_t* WriteBlock(const uint8_t* page, const PageDiff& diff, const DeltaPlan& plan, size_t block,
                                 uint8_t* to) {
  const uint8_t* from = page + block * kBlockBytes;
  if (plan.modes.whole >> block & 1) {
    memcpy(to, from, kBlockBytes);
    return to + kBlockBytes;
  }
  if (plan.modes.words >> block & 1) {
    for (unsigned words = plan.word_masks[block]; words != 0; words &= words - 1, to += 8) {
      memcpy(to, from + 8 * std::countr_zero(words), 8);
    }
    return to;
  }
  for (uint64_t octets = diff.byte_masks[block]; octets != 0; octets &= octets - 1)
    *to++ = from[std::countr_zero(octets)];
  return to;
}

/// @return false when it was written as a run, which is shorter, or is too long for either; `coded` says which.
HAVEN_INLINE bool IsDelta(const uint8_t* page, const PageDiff& diff, const DeltaPlan& plan, uint8_t* out, size_t limit,
                          Coded& coded) {
  Span span = SpanOf(diff);
  if (kRunHeadBytes + span.bytes <= plan.bytes) {
    coded = kRunHeadBytes + span.bytes > limit ? Coded{} : WriteRun(page, span, out);
    return false;
  }
  coded = plan.bytes > limit ? Coded{} : Coded{Coded::Kind::kDelta, plan.bytes};
  return plan.bytes <= limit;
}

HAVEN_INLINE Coded EncodeScalar(const uint8_t* page, const PageDiff& diff, uint8_t* out, size_t limit) {
  DeltaPlan plan;
  PlanDelta(diff, plan);
  Coded coded;
  if (!IsDelta(page, diff, plan, out, limit, coded)) return coded;
  uint8_t* to = WriteMasks(diff, plan, WriteHead(plan.modes, out));
  for (uint64_t left = diff.changed; left != 0; left &= left - 1) {
    to = WriteBlock(page, diff, plan, static_cast<size_t>(std::countr_zero(left)), to);
  }
  return coded;
}

HAVEN_INLINE void ApplyScalar(const uint8_t* delta, uint8_t* page) {
  BlockModes modes;
  const uint8_t* masks_of_words = delta + ReadHead(delta, modes);
  const uint8_t* masks_of_bytes = masks_of_words + std::popcount(modes.words);
  const uint8_t* octet_masks = masks_of_bytes + std::popcount(modes.bytes);
  const uint8_t* data = octet_masks;
  for (const uint8_t* m = masks_of_bytes; m < octet_masks; m++) data += std::popcount(*m);
  for (uint64_t left = modes.all(); left != 0; left &= left - 1) {
    uint8_t* to = page + static_cast<size_t>(std::countr_zero(left)) * kBlockBytes;
    uint64_t bit = left & -left;
    if (modes.whole & bit) {
      memcpy(to, data, kBlockBytes);
      data += kBlockBytes;
    } else if (modes.words & bit) {
      for (unsigned words = *masks_of_words++; words != 0; words &= words - 1, data += 8) {
        memcpy(to + 8 * std::countr_zero(words), data, 8);
      }
    } else {
      for (unsigned words = *masks_of_bytes++; words != 0; words &= words - 1) {
        uint8_t* word = to + 8 * std::countr_zero(words);
        for (unsigned octets = *octet_masks++; octets != 0; octets &= octets - 1)
          word[std::countr_zero(octets)] = *data++;
      }
    }
  }
}

HAVEN_INLINE void CopyBlocksScalar(const uint8_t* from, uint64_t blocks, uint8_t* to) {
  for (; blocks != 0; blocks &= blocks - 1) {
    size_t at = static_cast<size_t>(std::countr_zero(blocks)) * kBlockBytes;
    memcpy(to + at, from + at, kBlockBytes);
  }
}

}  // namespace haven::memrep

#endif
