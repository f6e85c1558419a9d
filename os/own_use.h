/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_OWN_USE_H
#define HAVEN_OS_OWN_USE_H

#include <cstdint>
#include <string>

namespace haven::os {

/// What this process has of what the system limits, and these limits.
struct OwnUse {
  uint64_t descriptors = 0, descriptors_limit = 0;
  /// The limit is the lowest of those that count: of its control groups and of the kernel, which others share.
  uint64_t threads = 0, threads_limit = 0;
};

/// Any thread. What cannot be read is 0. @param root  of the file system, for tests.
OwnUse CountOwnUse(const std::string& root = "");

}  // namespace haven::os

#endif
