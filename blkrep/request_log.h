/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_REQUEST_LOG_H
#define HAVEN_BLKREP_REQUEST_LOG_H

#include <optional>
#include <vector>

#include "blkrep/dirty_map.h"

namespace haven::blkrep {

/// What was written to a guest's disks, epoch by epoch, as far as the backup may not have it. Callers serialise.
class RequestLog {
 public:
  explicit RequestLog(const std::vector<uint64_t>& disk_bytes);

  /// A backup is there: what it may not have is to be copied, what comes belongs to the synchronisation until the
  /// first Cut(). @param copy_all  for each disk: everything, else only what it may not have.
  void Begin(const std::vector<bool>& copy_all);
  /// The backup is lost, and with it all that it has not committed.
  void Lost();

  /// A change that is sent, as `records` records. @return the epoch that they belong to.
  Epoch Written(uint32_t disk, uint64_t offset, uint64_t bytes, uint64_t records);
  /// A change that nobody is there for.
  void Missed(uint32_t disk, uint64_t offset, uint64_t bytes) { maps_[disk].MarkLost(offset, bytes); }

  /// @return the next piece that is to be copied; or none, also outside of a synchronisation.
  std::optional<DirtyMap::Piece> NextCopy(uint32_t disk);
  /// A piece that was handed out and has not reached the backup.
  void ReturnCopy(uint32_t disk, const DirtyMap::Piece& piece) { maps_[disk].ReturnCopy(piece); }
  uint64_t CopyLeftBytes() const;

  /// The epoch of what comes now; kSyncEpoch during a synchronisation.
  Epoch current() const { return syncing_ ? kSyncEpoch : epoch_; }
  /// @return how many records the closed epoch has.
  uint64_t Cut();
  void Committed(Epoch epoch);

 private:
  std::vector<DirtyMap> maps_;
  bool syncing_ = false;  ///< before the first Cut() of a connection
  Epoch epoch_ = 1;
  uint64_t epoch_records_ = 0;
};

}  // namespace haven::blkrep

#endif
