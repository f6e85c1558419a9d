// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/dirty_map.h"

#include <algorithm>
#include <bit>

#include "core/assert.h"

namespace haven::blkrep {
namespace {

constexpr size_t kCompactAtLeast = 1024;

/// The bits of `range` that lie in word number `word`.
uint64_t MaskIn(uint64_t word, uint64_t first, uint64_t end) {
  uint64_t mask = ~uint64_t{0};
  if (first > word * 64) mask &= ~uint64_t{0} << (first - word * 64);
  if (end < (word + 1) * 64) mask &= ~uint64_t{0} >> ((word + 1) * 64 - end);
  return mask;
}

}  // namespace

void DirtyMap::Bitmap::Set(Range range) {
  for (uint64_t w = range.first / 64; w * 64 < range.end; w++) {
    const uint64_t added = MaskIn(w, range.first, range.end) & ~words[w];
    words[w] |= added;
    count += static_cast<uint64_t>(std::popcount(added));
  }
}

void DirtyMap::Bitmap::Clear(Range range) {
  for (uint64_t w = range.first / 64; w * 64 < range.end; w++) {
    const uint64_t removed = MaskIn(w, range.first, range.end) & words[w];
    words[w] &= ~removed;
    count -= static_cast<uint64_t>(std::popcount(removed));
  }
}

void DirtyMap::Bitmap::MoveTo(Bitmap& other) {
  if (count == 0) return;
  other.count = 0;
  for (size_t w = 0; w < words.size(); w++) {
    other.words[w] |= words[w];
    other.count += static_cast<uint64_t>(std::popcount(other.words[w]));
    words[w] = 0;
  }
  count = 0;
}

uint64_t DirtyMap::Bitmap::NextSet(uint64_t grain, uint64_t limit) const {
  while (grain < limit) {
    const uint64_t rest = words[grain / 64] >> (grain % 64);
    if (rest != 0) return std::min<uint64_t>(grain + std::countr_zero(rest), limit);
    grain = (grain / 64 + 1) * 64;
  }
  return limit;
}

void DirtyMap::EpochSet::Add(Range range) {
  if (!ranges.empty() && range.first <= ranges.back().end && range.end >= ranges.back().first) {
    ranges.back() = {std::min(range.first, ranges.back().first), std::max(range.end, ranges.back().end)};
    return;
  }
  ranges.push_back(range);
  if (ranges.size() < compact_at) return;
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  size_t kept = 0;
  for (size_t i = 1; i < ranges.size(); i++) {
    if (ranges[i].first <= ranges[kept].end)
      ranges[kept].end = std::max(ranges[kept].end, ranges[i].end);
    else
      ranges[++kept] = ranges[i];
  }
  ranges.resize(kept + 1);
  // Doubling keeps the cost of an addition constant on average, and disjoint
  // ranges cannot become more than the disk has pieces.
  compact_at = std::max(kCompactAtLeast, ranges.size() * 2);
}

DirtyMap::DirtyMap(uint64_t disk_bytes)
    : disk_bytes_(disk_bytes), grains_(disk_bytes / kGrainBytes + (disk_bytes % kGrainBytes != 0)) {
  lost_.words.resize((grains_ + 63) / 64);
  copying_.words.resize((grains_ + 63) / 64);
}

/// Clipped to the disk.
DirtyMap::Range DirtyMap::GrainsOf(uint64_t offset, uint64_t bytes) const {
  if (offset >= disk_bytes_ || bytes == 0) return {0, 0};
  const uint64_t last = offset + std::min(bytes, disk_bytes_ - offset) - 1;
  return {offset / kGrainBytes, last / kGrainBytes + 1};
}

void DirtyMap::MarkWritten(Epoch epoch, uint64_t offset, uint64_t bytes) {
  const Range range = GrainsOf(offset, bytes);
  if (range.end == 0) return;
  // A write may be late by a cut or two; nearly always it is of the last epoch.
  auto at = open_epochs_.end();
  while (at != open_epochs_.begin() && std::prev(at)->epoch > epoch) --at;
  if (at == open_epochs_.begin() || std::prev(at)->epoch != epoch)
    at = std::next(open_epochs_.insert(at, {epoch, {}, kCompactAtLeast}));
  std::prev(at)->Add(range);
}

void DirtyMap::MarkLost(uint64_t offset, uint64_t bytes) {
  const Range range = GrainsOf(offset, bytes);
  if (range.end != 0) lost_.Set(range);
}

void DirtyMap::MarkAll() { MarkLost(0, disk_bytes_); }

void DirtyMap::Committed(Epoch epoch) {
  while (!open_epochs_.empty() && open_epochs_.front().epoch <= epoch) open_epochs_.pop_front();
}

void DirtyMap::ConnectionLost() {
  for (const EpochSet& set : open_epochs_)
    for (const Range& range : set.ranges) lost_.Set(range);
  open_epochs_.clear();
  copying_.MoveTo(lost_);
}

void DirtyMap::BeginCopy() {
  lost_.MoveTo(copying_);
  copy_cursor_ = 0;
}

std::optional<DirtyMap::Piece> DirtyMap::NextCopy(uint64_t max_bytes) {
  HAVEN_ASSERT(max_bytes >= kGrainBytes);
  if (copying_.count == 0) return std::nullopt;
  const uint64_t first = copying_.NextSet(copy_cursor_, grains_);
  HAVEN_ASSERT(first < grains_);
  const uint64_t limit = std::min(grains_, first + max_bytes / kGrainBytes);
  uint64_t end = first + 1;
  while (end < limit && copying_.Test(end)) end++;
  copying_.Clear({first, end});
  copy_cursor_ = end;
  const uint64_t offset = first * kGrainBytes;
  return Piece{offset, std::min((end - first) * kGrainBytes, disk_bytes_ - offset)};
}

void DirtyMap::ReturnCopy(const Piece& piece) {
  const Range range = GrainsOf(piece.offset, piece.bytes);
  if (range.end == 0) return;
  copying_.Set(range);
  copy_cursor_ = std::min(copy_cursor_, range.first);
}

uint64_t DirtyMap::BytesOf(const Bitmap& map) const {
  if (map.count == 0) return 0;
  const uint64_t beyond = grains_ * kGrainBytes - disk_bytes_;
  return map.count * kGrainBytes - (map.Test(grains_ - 1) ? beyond : 0);
}

uint64_t DirtyMap::LostBytes() const { return BytesOf(lost_); }

uint64_t DirtyMap::CopyLeftBytes() const { return BytesOf(copying_); }

}  // namespace haven::blkrep
