// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/kernel_use.h"

#include <fstream>
#include <sstream>

#include "blkrep/block_device.h"
#include "blkrep/printable.h"

namespace haven::blkrep {
namespace {

/// "\040" and the like, by which procfs writes what separates its words.
std::string Unescape(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    const std::string digits = text.substr(i + 1, 3);
    if (text[i] == '\\' && digits.size() == 3 && digits.find_first_not_of("01234567") == std::string::npos) {
      out += static_cast<char>(std::stoi(digits, nullptr, 8));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

bool IsDevice(const std::string& path, dev_t device) {
  // A file system without a device may call its source whatever it likes.
  struct stat st;
  return path.rfind("/dev/", 0) == 0 && stat(path.c_str(), &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == device;
}

/// Where it is mounted, in this process's mount namespace; empty: nowhere.
std::string MountPointOf(dev_t device) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string ignored, number, place, word, source;
    words >> ignored >> ignored >> number >> ignored >> place;
    while (words >> word && word != "-") {
    }
    words >> ignored >> source;
    // Btrfs has a number of its own instead of the device's.
    if (ParseDeviceNumber(number) == device || IsDevice(Unescape(source), device)) return Unescape(place);
  }
  return "";
}

bool IsSwap(const struct stat& disk) {
  std::ifstream swaps("/proc/swaps");
  std::string line;
  std::getline(swaps, line);  // what the columns are
  while (std::getline(swaps, line)) {
    struct stat st;
    if (stat(Unescape(line.substr(0, line.find(' '))).c_str(), &st) != 0) continue;
    const bool same = S_ISBLK(disk.st_mode) ? S_ISBLK(st.st_mode) && st.st_rdev == disk.st_rdev
                                            : st.st_dev == disk.st_dev && st.st_ino == disk.st_ino;
    if (same) return true;
  }
  return false;
}

DiskUse AsSwap(const std::string& path) { return {"is used as swap", "end that (swapoff " + path + ")"}; }

/// Of a device itself, not of its partitions.
std::optional<DiskUse> UseOf(dev_t device, const std::string& path) {
  const std::string place = MountPointOf(device);
  if (!place.empty()) {
    const std::string shown = Printable(place, 200);
    return DiskUse{"is mounted on " + shown, "unmount it (umount " + shown + ")"};
  }
  struct stat st = {};
  st.st_mode = S_IFBLK;
  st.st_rdev = device;
  if (IsSwap(st)) return AsSwap(path);
  const auto holders = HoldersOf(device);
  if (holders.empty()) return {};
  return DiskUse{"is a part of the device " + Printable(holders[0]), "take it out of that"};
}

std::optional<DiskUse> UseOfDevice(dev_t device, const std::string& path) {
  if (auto use = UseOf(device, path)) return use;
  for (dev_t partition : PartitionsOf(device)) {
    const std::string name = "/dev/" + DeviceName(partition);
    const auto use = UseOf(partition, name);
    if (use) return DiskUse{"has a partition " + name + ", which " + use->how, use->remedy};
  }
  return {};
}

std::optional<DiskUse> UseOfFile(const struct stat& file, const std::string& path) {
  if (IsSwap(file)) return AsSwap(path);
  for (dev_t loop : LoopDevices()) {
    const auto backing = BackingOf(loop);
    struct stat st;
    if (!backing || stat(backing->path.c_str(), &st) != 0) continue;
    if (st.st_dev != file.st_dev || st.st_ino != file.st_ino) continue;
    const std::string name = "/dev/" + DeviceName(loop);
    const auto use = UseOfDevice(loop, name);
    if (use) return DiskUse{"is the file of " + name + ", which " + use->how, use->remedy};
    return DiskUse{"is the file of the loop device " + name, "detach that (losetup -d " + name + ")"};
  }
  return {};
}

}  // namespace

std::optional<DiskUse> FindKernelUse(const struct stat& disk, const std::string& path) {
  return S_ISBLK(disk.st_mode) ? UseOfDevice(disk.st_rdev, path) : UseOfFile(disk, path);
}

}  // namespace haven::blkrep
