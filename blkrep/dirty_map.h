/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DIRTY_MAP_H
#define HAVEN_BLKREP_DIRTY_MAP_H

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/epoch.h"

namespace haven::blkrep {

/// Which pieces of a disk the backup may not have: what was written while it
/// was away, plus the epochs that it has not committed. Decides what a rejoin
/// copies. One bit per kGrainBytes. Callers serialise.
class DirtyMap {
 public:
  static constexpr uint64_t kGrainBytes = 64 * 1024;

  explicit DirtyMap(uint64_t disk_bytes);

  /// A write of `epoch` began; while disconnected use MarkLost().
  void MarkWritten(Epoch epoch, uint64_t offset, uint64_t bytes);
  void MarkLost(uint64_t offset, uint64_t bytes);
  void MarkAll();

  /// The backup has committed `epoch` and all before it.
  void Committed(Epoch epoch);
  /// The backup is gone: whatever is not committed is lost to it.
  void ConnectionLost();

  /// Moves the lost pieces into the copy set and hands them out in order.
  void BeginCopy();
  /// @param max_bytes  at least kGrainBytes.
  /// @return the next piece, at most `max_bytes`, clipped to the disk; or none.
  /// Who sends it within an epoch says so with MarkWritten(): what was handed
  /// out is otherwise taken to be on the backup.
  struct Piece {
    uint64_t offset;
    uint64_t bytes;
  };
  std::optional<Piece> NextCopy(uint64_t max_bytes);
  /// A piece that was handed out and is not known to have reached the backup.
  void ReturnCopy(const Piece& piece);

  uint64_t LostBytes() const;
  uint64_t CopyLeftBytes() const;
  uint64_t disk_bytes() const { return disk_bytes_; }

 private:
  struct Range {
    uint64_t first;
    uint64_t end;  ///< grains; behind the last
  };
  /// Pieces as bits, with the number of those set.
  struct Bitmap {
    std::vector<uint64_t> words;
    uint64_t count = 0;
    bool Test(uint64_t grain) const { return (words[grain / 64] >> (grain % 64) & 1) != 0; }
    void Set(Range range);
    void Clear(Range range);
    void MoveTo(Bitmap& other);
    /// @return the first set bit from `grain` on, or `limit`.
    uint64_t NextSet(uint64_t grain, uint64_t limit) const;
  };
  /// What one epoch wrote: ranges as they came, compacted when they get many.
  struct EpochSet {
    Epoch epoch;
    std::vector<Range> ranges;
    size_t compact_at;
    void Add(Range range);
  };

  Range GrainsOf(uint64_t offset, uint64_t bytes) const;
  uint64_t BytesOf(const Bitmap& map) const;

  uint64_t disk_bytes_;
  uint64_t grains_;
  Bitmap lost_;
  Bitmap copying_;
  uint64_t copy_cursor_ = 0;  ///< no bit of copying_ below it is set
  std::deque<EpochSet> open_epochs_;
};

}  // namespace haven::blkrep

#endif
