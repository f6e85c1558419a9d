/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_BLOCK_REFERENCES_H
#define HAVEN_MEMREP_BLOCK_REFERENCES_H

#include <span>
#include <vector>

#include "memrep/delta.h"

// A page of which some blocks equal blocks of other pages. The coding:
//
//   u8 n            number of runs, 1..64
//   n times         u8 first block, u8 number of blocks, u64 where they are equal to:
//                   region << 56 | page * 64 + block; ascending, apart from each other
//   data            the other blocks, ascending
//
// Source: docs/wire-protocol.md, PAGES.

namespace haven::memrep {

constexpr size_t kBlockRunBytes = 10;
/// Fewer blocks than this are not worth a reference: the page travels whole, or compressed.
constexpr size_t kFewSharedBlocks = 16;

/// Blocks in a row that equal those of another page.
struct BlockRun {
  uint8_t first = 0, count = 0;
  uint64_t source = 0;  ///< as it is coded
};

/// @param runs  as they are coded; at least kFewSharedBlocks blocks in all.
/// @param out   room for a page. @return the octets written.
size_t EncodeAssembled(const uint8_t* page, std::span<const BlockRun> runs, uint8_t* out);

/// The runs at the front of what MeasureAssembled() accepted.
size_t RunsOf(const uint8_t* coded);
BlockRun RunAt(const uint8_t* coded, size_t i);

/// How long the coding at the front of `in` is. Whether the pages that it
/// names exist is left to the caller. Pure; any thread.
/// @param in   untrusted.
/// @param why  set to what is wrong when 0 is returned.
size_t MeasureAssembled(ByteSpan in, const char*& why);

/// Makes the page at `to` of what MeasureAssembled() accepted, whose pages exist.
void ApplyAssembled(const uint8_t* coded, std::span<uint8_t* const> regions, uint8_t* to);

/// Finds blocks by what they contain. Holds candidates only: what it finds has
/// to be compared. Thread: one at a time.
class BlockIndex {
 public:
  static constexpr uint32_t kNone = ~0u;

  /// @param slots  of the cache whose blocks are found.
  explicit BlockIndex(uint32_t slots);

  void Prefetch(uint32_t hash) const { __builtin_prefetch(&places_[hash >> shift_]); }
  /// @return slot * kBlocksPerPage + block, or kNone.
  uint32_t Find(uint32_t hash) const { return places_[hash >> shift_]; }
  void Put(uint32_t hash, uint32_t slot, uint32_t block) {
    places_[hash >> shift_] = slot * static_cast<uint32_t>(kBlocksPerPage) + block;
  }
  void Clear();

 private:
  unsigned shift_;
  std::vector<uint32_t> places_;
};

/// A hash of each block of a page; equal blocks have the same.
void HashBlocks(const uint8_t* page, uint32_t* hashes);

}  // namespace haven::memrep

#endif
