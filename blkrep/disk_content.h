/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_CONTENT_H
#define HAVEN_BLKREP_DISK_CONTENT_H

#include <string>

#include "core/status.h"

namespace haven::blkrep {

/// What is on a disk, as far as its beginning, its end and libblkid tell.
struct DiskContent {
  bool blank = false;  ///< no signature, and zeros in the first and the last MiB
  /// For people: "an ext4 file system (label x)", "a dos partition table", "a qcow2
  /// image", "data that is not known", "nothing (blank)".
  std::string what;
};

/// Looks at a file or block device, which is only read. What is ambiguous is not
/// blank. Blocks; any thread.
/// @return kInvalid if it is neither; kEnvironment with errno.
Result<DiskContent> InspectContent(const std::string& path);

}  // namespace haven::blkrep

#endif
