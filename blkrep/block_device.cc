// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/block_device.h"

#include <sys/sysmacros.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace haven::blkrep {
namespace {

/// Names in a folder; none if there is no such folder.
std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  return names;
}

}  // namespace

std::string FirstLine(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  line.erase(line.find_last_not_of(" \t\r") + 1);
  return line;
}

std::string DeviceNumber(dev_t device) { return std::to_string(major(device)) + ":" + std::to_string(minor(device)); }

std::optional<dev_t> ParseDeviceNumber(const std::string& text) {
  unsigned major = 0, minor = 0;
  if (sscanf(text.c_str(), "%u:%u", &major, &minor) != 2) return {};
  return makedev(major, minor);
}

std::string SysfsFolder(dev_t device) { return "/sys/dev/block/" + DeviceNumber(device); }

std::string DeviceName(dev_t device) {
  std::error_code error;
  const std::string name = std::filesystem::read_symlink(SysfsFolder(device), error).filename().string();
  return name.empty() ? DeviceNumber(device) : name;
}

bool IsPartition(dev_t device) {
  std::error_code error;
  return std::filesystem::exists(SysfsFolder(device) + "/partition", error);
}

std::vector<dev_t> PartitionsOf(dev_t device) {
  std::vector<dev_t> partitions;
  const std::string folder = SysfsFolder(device);
  for (const std::string& name : NamesIn(folder)) {
    if (FirstLine(folder + "/" + name + "/partition").empty()) continue;
    if (auto number = ParseDeviceNumber(FirstLine(folder + "/" + name + "/dev"))) partitions.push_back(*number);
  }
  return partitions;
}

std::vector<std::string> HoldersOf(dev_t device) {
  std::vector<std::string> holders;
  for (const std::string& name : NamesIn(SysfsFolder(device) + "/holders")) {
    const std::string mapped = FirstLine("/sys/class/block/" + name + "/dm/name");
    holders.push_back(mapped.empty() ? name : name + " (" + mapped + ")");
  }
  return holders;
}

std::optional<LoopBacking> BackingOf(dev_t device) {
  const std::string folder = SysfsFolder(device) + "/loop";
  LoopBacking backing;
  backing.path = FirstLine(folder + "/backing_file");
  backing.offset = strtoull(FirstLine(folder + "/offset").c_str(), nullptr, 10);
  std::error_code error;
  if (backing.path.empty() || !std::filesystem::exists(backing.path, error)) return {};
  return backing;
}

std::vector<dev_t> LoopDevices() {
  std::vector<dev_t> devices;
  for (const std::string& name : NamesIn("/sys/block")) {
    if (name.rfind("loop", 0) != 0) continue;
    if (auto number = ParseDeviceNumber(FirstLine("/sys/block/" + name + "/dev"))) devices.push_back(*number);
  }
  return devices;
}

}  // namespace haven::blkrep
