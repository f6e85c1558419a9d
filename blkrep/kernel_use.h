/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_KERNEL_USE_H
#define HAVEN_BLKREP_KERNEL_USE_H

#include <sys/stat.h>

#include <optional>
#include <string>

namespace haven::blkrep {

/// Continues "PATH (CONTENT) ...", and says what ends it.
struct DiskUse {
  std::string how, remedy;
};

/// What the kernel does with a file or block device: mounts, swap areas, loop
/// devices on a file, devices that are made of it. Nothing: it does not say.
std::optional<DiskUse> FindKernelUse(const struct stat& disk, const std::string& path);

}  // namespace haven::blkrep

#endif
