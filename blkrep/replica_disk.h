/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_REPLICA_DISK_H
#define HAVEN_BLKREP_REPLICA_DISK_H

#include <cstdint>
#include <string>

#include "blkrep/open_disk.h"
#include "core/status.h"

namespace haven::blkrep {

/// What a person has allowed.
struct ReplicaOptions {
  bool create = false;  ///< a file that is missing, or empty, is made with the disk's size
  bool resize = false;  ///< a file of another size gets the disk's
  bool longer = false;  ///< a file may be longer than the disk, as a device may
};

/// Opens a replica for writing: a file of `bytes` octets or a block device that has
/// room for them. It must be free, see RefuseIfInUse(); it is locked with ImageLock,
/// and a device claimed (O_EXCL). Its content is not changed, but for what a resize
/// cuts off.
/// @return kRefused if it is missing, of another size or in use; kInvalid if a
///         device is too small or the path is neither file nor block device;
///         kEnvironment with errno. Each names the path.
Result<OpenedDisk> OpenReplicaDisk(const std::string& path, uint64_t bytes, const ReplicaOptions& options);

}  // namespace haven::blkrep

#endif
