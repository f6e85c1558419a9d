/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_USE_H
#define HAVEN_BLKREP_DISK_USE_H

#include <string>

#include "core/status.h"

namespace haven::blkrep {

/// Whether a file or block device that is to be written is free: not mounted, not
/// swapped to, no part of another device, no loop device on it, open nowhere else
/// (a block device: not open for writing). Symbolic links are followed. The disk is
/// opened for a moment, read-only. Blocks, for a second when it is open by nobody who
/// can be named, or by a child of this process that is just being started; any thread.
/// @return kRefused with path, content, what or who uses it, and what ends that;
///         kInvalid if it is neither file nor device; kEnvironment with errno.
Status RefuseIfInUse(const std::string& path);

}  // namespace haven::blkrep

#endif
