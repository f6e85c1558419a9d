/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_SCOPED_FD_H
#define HAVEN_OS_SCOPED_FD_H

#include <unistd.h>

namespace haven::os {

/// Closes a descriptor at the end of its scope; negative: there is none.
struct ScopedFd {
  int fd = -1;
  ~ScopedFd() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace haven::os

#endif
