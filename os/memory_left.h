/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_MEMORY_LEFT_H
#define HAVEN_OS_MEMORY_LEFT_H

#include <cstdint>
#include <optional>
#include <string>

namespace haven::os {

/// A limit that somebody has set, and how far this process is from it.
struct MemoryLimit {
  uint64_t left_bytes = 0;
  std::string name;  ///< for people: what to raise
};

/// The nearest of the limits that this process has to keep: those of its control groups (version 2), beyond which the
/// kernel ends it, and with vm.overcommit_memory=2 what the kernel promises. None: there is no such limit.
/// @param root  of the file system, for tests.
std::optional<MemoryLimit> MemoryLeft(const std::string& root = "");

}  // namespace haven::os

#endif
