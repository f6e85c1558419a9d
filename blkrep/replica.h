/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_REPLICA_H
#define HAVEN_BLKREP_REPLICA_H

#include <memory>
#include <span>
#include <string>

#include "blkrep/open_disk.h"
#include "blkrep/replica_disk.h"
#include "blkrep/request.h"
#include "core/bytes.h"
#include "core/status.h"

namespace haven::blkrep {

/// The backup's copy of one disk: a raw file or a block device.
/// Thread: one at a time.
class Replica {
 public:
  /// Opens `path` as OpenReplicaDisk() does. What is in it stays as it is.
  static Result<std::unique_ptr<Replica>> Open(const std::string& path, uint64_t bytes, const ReplicaOptions& options);
  /// Gives up its locks.
  ~Replica();

  /// Bounds are checked: kProtocol if the request leaves the disk.
  /// @param data  request.bytes octets for kWrite, empty otherwise.
  /// kZero really zeroes (deallocating if may_unmap); kDiscard deallocates if
  /// that reads as zeros, else does nothing. Falls back where the file system
  /// cannot.
  Status Apply(const Request& request, ByteSpan data);
  Status Sync();
  uint64_t bytes() const { return bytes_; }

 private:
  Replica(OpenedDisk disk, uint64_t bytes) : disk_(std::move(disk)), bytes_(bytes) {}
  OpenedDisk disk_;
  uint64_t bytes_;
};

}  // namespace haven::blkrep

#endif
