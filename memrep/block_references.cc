// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/block_references.h"

#include <algorithm>

#include "core/assert.h"
#include "memrep/delta_layout.h"

namespace haven::memrep {
namespace {

constexpr uint64_t kBlockMask = (1ull << 56) - 1;
/// Places of the index for each page of the cache: 64 octets a page.
constexpr uint64_t kPlacesPerSlot = 16;

}  // namespace

size_t EncodeAssembled(const uint8_t* page, std::span<const BlockRun> runs, uint8_t* out) {
  HAVEN_ASSERT(!runs.empty() && runs.size() <= kBlocksPerPage);
  uint8_t* to = out;
  *to++ = static_cast<uint8_t>(runs.size());
  for (const BlockRun& run : runs) {
    to[0] = run.first;
    to[1] = run.count;
    StoreLittle64(to + 2, run.source);
    to += kBlockRunBytes;
  }
  size_t block = 0;
  auto copy_until = [&](size_t end) {
    memcpy(to, page + block * kBlockBytes, (end - block) * kBlockBytes);
    to += (end - block) * kBlockBytes;
  };
  for (const BlockRun& run : runs) {
    copy_until(run.first);
    block = size_t{run.first} + run.count;
  }
  copy_until(kBlocksPerPage);
  return static_cast<size_t>(to - out);
}

size_t RunsOf(const uint8_t* coded) { return coded[0]; }

BlockRun RunAt(const uint8_t* coded, size_t i) {
  const uint8_t* at = coded + 1 + i * kBlockRunBytes;
  return {at[0], at[1], LoadLittle64(at + 2)};
}

size_t MeasureAssembled(ByteSpan in, const char*& why) {
  why = "too short for its blocks";
  if (in.empty()) return 0;
  size_t runs = in[0];
  if (runs == 0 || runs > kBlocksPerPage) {
    why = "the number of its runs is not between 1 and 64";
    return 0;
  }
  size_t head = 1 + runs * kBlockRunBytes;
  if (in.size() < head) return 0;
  size_t end = 0, shared = 0;
  for (size_t i = 0; i < runs; i++) {
    BlockRun run = RunAt(in.data(), i);
    if (run.count == 0 || run.first < end || size_t{run.first} + run.count > kBlocksPerPage) {
      why = "runs of blocks do not ascend within the page";
      return 0;
    }
    if (run.source % kBlocksPerPage + run.count > kBlocksPerPage) {
      why = "a run of blocks passes the end of the page that it names";
      return 0;
    }
    end = size_t{run.first} + run.count;
    shared += run.count;
  }
  size_t bytes = head + (kBlocksPerPage - shared) * kBlockBytes;
  return in.size() < bytes ? 0 : bytes;
}

void ApplyAssembled(const uint8_t* coded, std::span<uint8_t* const> regions, uint8_t* to) {
  size_t runs = RunsOf(coded);
  const uint8_t* data = coded + 1 + runs * kBlockRunBytes;
  size_t block = 0;
  auto copy_until = [&](size_t end) {
    memcpy(to + block * kBlockBytes, data, (end - block) * kBlockBytes);
    data += (end - block) * kBlockBytes;
  };
  for (size_t i = 0; i < runs; i++) {
    BlockRun run = RunAt(coded, i);
    copy_until(run.first);
    const uint8_t* from = regions[run.source >> 56] + (run.source & kBlockMask) * kBlockBytes;
    memmove(to + run.first * kBlockBytes, from, run.count * kBlockBytes);  // it may name the page itself
    block = size_t{run.first} + run.count;
  }
  copy_until(kBlocksPerPage);
}

BlockIndex::BlockIndex(uint32_t slots)
    : shift_(static_cast<unsigned>(32 - std::clamp(static_cast<int>(std::bit_width(slots * kPlacesPerSlot)), 4, 30))),
      places_(size_t{1} << (32 - shift_)) {
  Clear();
}

void BlockIndex::Clear() { std::fill(places_.begin(), places_.end(), kNone); }

void HashBlocks(const uint8_t* page, uint32_t* hashes) {
  static constexpr uint64_t kOdd[8] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5,
                                       0x85EBCA77C2B2AE63, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB};
  for (size_t block = 0; block < kBlocksPerPage; block++) {
    const uint8_t* at = page + block * kBlockBytes;
    uint64_t sum = 0;
    for (size_t i = 0; i < 8; i++) {
      uint64_t word = LoadLittle64(at + 8 * i);
      sum += (word ^ word >> 29) * kOdd[i];  // high bits, too, shall reach all others
    }
    sum = (sum ^ sum >> 32) * kOdd[0];
    hashes[block] = static_cast<uint32_t>(sum >> 32);
  }
}

}  // namespace haven::memrep
