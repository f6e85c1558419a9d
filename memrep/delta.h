/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_DELTA_H
#define HAVEN_MEMREP_DELTA_H

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/bytes.h"
#include "core/epoch.h"

// What of a page has changed, and how that travels. A page is 64 blocks of 64
// octets, a block 8 words of 8 octets. The coding of a delta, in this order:
//
//   u8 n            number of blocks if 1..15, else 0
//   n > 0:          n times u8: mode << 6 | block, blocks strictly ascending
//   n = 0:          two u64, bit b of them is bit 0 and bit 1 of block b's mode
//   word masks      one octet for each block of mode kWords, then one for each
//                   of mode kBytes, ascending: the words that have changed
//   octet masks     one octet for each changed word of the blocks of mode kBytes:
//                   the octets of it that have changed
//   data            of each block, ascending: the changed words (kWords), the
//                   changed octets (kBytes), the whole block (kWhole)
//
// Source: docs/wire-protocol.md, PAGES.

namespace haven::memrep {

constexpr size_t kBlockBytes = 64;
constexpr size_t kBlocksPerPage = kPageBytes / kBlockBytes;
static_assert(kBlocksPerPage == 64, "a page's blocks are the bits of one uint64_t");

enum class BlockMode : uint8_t { kSame = 0, kWords = 1, kBytes = 2, kWhole = 3 };

constexpr unsigned kMaxListedBlocks = 15;
constexpr size_t kMaxDeltaHeadBytes = 1 + 2 * sizeof(uint64_t);
/// A run: u16 offset, u16 octets, the octets.
constexpr size_t kRunHeadBytes = 4;
/// Kernels may write this much past the end of what they return.
constexpr size_t kDeltaSlackBytes = 64;

/// Which octets of a page differ from its base.
struct PageDiff {
  alignas(64) uint64_t byte_masks[kBlocksPerPage];  ///< bit i: octet i of the block
  uint64_t changed;                                 ///< bit b: block b
  uint32_t changed_blocks;                          ///< how many have changed, before any was widened
};

/// What is compared next, to be fetched into the processor's cache; nullptr where nothing is.
struct Ahead {
  const uint8_t* base = nullptr;
  const uint8_t* page = nullptr;
  /// It is right behind what is compared now: the processor sees that by itself, and fetches better.
  bool base_follows = false, page_follows = false;

  bool far_base() const { return base != nullptr && !base_follows; }
  bool far_page() const { return page != nullptr && !page_follows; }
  bool far() const { return far_base() || far_page(); }
};

/// A change that has been coded.
struct Coded {
  enum class Kind : uint8_t { kNone, kRun, kDelta };
  Kind kind = Kind::kNone;  ///< kNone: would be longer than the limit
  size_t bytes = 0;
};

/// The inner loops for one kind of processor. All give the same octets.
/// Pure; any thread.
struct DeltaKernels {
  const char* name;
  /// Compares two pages. Any alignment of `page`; `base` likewise.
  void (*compare)(const uint8_t* base, const uint8_t* page, const Ahead& ahead, PageDiff& diff);
  /// Codes what `diff`, which is not empty, says of `page`, as a run or a
  /// delta, whichever is shorter. @param ahead  as it was given to compare().
  /// @param out  room for `limit` + kDeltaSlackBytes octets.
  Coded (*encode)(const uint8_t* page, const PageDiff& diff, const Ahead& ahead, uint8_t* out, size_t limit);
  /// Applies a delta that MeasureDelta() accepted.
  void (*apply)(const uint8_t* delta, uint8_t* page);
  /// Copies the blocks whose bit is set.
  void (*copy_blocks)(const uint8_t* from, uint64_t blocks, uint8_t* to);
};

const DeltaKernels& PortableKernels();
/// nullptr where the processor cannot.
const DeltaKernels* Avx2Kernels();
const DeltaKernels* Avx512Kernels();
/// The fastest of them; HAVEN_SIMD=portable|avx2|avx512 in the environment
/// asks for one that the processor has.
const DeltaKernels& BestKernels();

/// How long the delta at the front of `in` is. Pure; any thread.
/// @param in   untrusted.
/// @param why  set to what is wrong when 0 is returned.
size_t MeasureDelta(ByteSpan in, const char*& why);

}  // namespace haven::memrep

#endif
