/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_BLOCK_DEVICE_H
#define HAVEN_BLKREP_BLOCK_DEVICE_H

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace haven::blkrep {

// What sysfs says about a block device. Any thread; nothing is opened but small
// files of the kernel's.

/// First line of a file of sysfs or procfs, without the spaces at its end; empty: there is none.
std::string FirstLine(const std::string& path);

/// "8:1", as the kernel writes it.
std::string DeviceNumber(dev_t device);
std::optional<dev_t> ParseDeviceNumber(const std::string& text);
/// The kernel's name: "sda1".
std::string DeviceName(dev_t device);
/// Its folder in sysfs, without a slash at the end.
std::string SysfsFolder(dev_t device);

bool IsPartition(dev_t device);
std::vector<dev_t> PartitionsOf(dev_t device);
/// Names of the devices that are made of it: "dm-0 (vg-root)", "md0".
std::vector<std::string> HoldersOf(dev_t device);

/// The file behind a loop device.
struct LoopBacking {
  std::string path;
  uint64_t offset = 0;
};
/// Nothing: it is no loop device, or its file has no name any more.
std::optional<LoopBacking> BackingOf(dev_t device);
std::vector<dev_t> LoopDevices();

}  // namespace haven::blkrep

#endif
