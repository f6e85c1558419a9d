/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_REPLICA_H
#define HAVEN_BLKREP_REPLICA_H

#include <memory>
#include <span>
#include <string>

#include "blkrep/request.h"
#include "core/bytes.h"
#include "core/status.h"

namespace haven::blkrep {

/// The backup's copy of one disk: a raw file or a block device.
/// Thread: one at a time.
class Replica {
 public:
  /// Opens `path`; a file that is missing is created with its folder, one of
  /// another size is resized (only files: a block device must be large enough).
  /// @return kInvalid if a device is too small or the path is neither file nor
  ///         block device; kEnvironment with errno.
  static Result<std::unique_ptr<Replica>> Open(const std::string& path, uint64_t bytes);
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
  Replica(int fd, uint64_t bytes, bool device) : fd_(fd), bytes_(bytes), device_(device) {}
  int fd_;
  uint64_t bytes_;
  bool device_;
};

}  // namespace haven::blkrep

#endif
