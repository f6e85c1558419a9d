/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_IMAGE_LOCK_H
#define HAVEN_BLKREP_IMAGE_LOCK_H

#include <string>

#include "core/status.h"

namespace haven::blkrep {

/// The locks on single octets of an image by which QEMU's programs tell each
/// other what they do with it. Those of one that writes, and lets others only
/// read what may change under them: as QEMU for a disk of a guest.
/// Source: QEMU 7.2, block/file-posix.c.
class ImageLock {
 public:
  /// Takes them for the open file that `fd` is of, which must be readable; they go
  /// with its last descriptor. A file system without locks has none to respect: Ok.
  /// @return kRefused with `path` when somebody else's do not allow it.
  static Status Take(int fd, const std::string& path);
  /// At once, even if a child that is just being started has the descriptor, too.
  static void Release(int fd);
};

}  // namespace haven::blkrep

#endif
