/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_BLKREP_LOOP_DEVICE_H
#define HAVEN_TESTS_UNIT_BLKREP_LOOP_DEVICE_H

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "core/bytes.h"

namespace haven::blkrep::test {

constexpr long long kPartitionOffset = 1 << 20, kPartitionBytes = 2 << 20;

/// A disk of zeros with an MBR: disk 12345678, and that one partition.
inline Bytes PartitionTable(size_t bytes) {
  Bytes table(bytes);
  const uint8_t disk[] = {0x78, 0x56, 0x34, 0x12};
  const uint8_t entry[] = {0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0};
  const uint8_t end[] = {0x55, 0xaa};
  std::copy(std::begin(disk), std::end(disk), table.begin() + 440);
  std::copy(std::begin(entry), std::end(entry), table.begin() + 446);
  std::copy(std::begin(end), std::end(end), table.begin() + 510);
  return table;
}

/// A loop device on a file; detached with the object. Needs root and the kernel's
/// driver: ok() says whether it is there, and why_not() what is missing.
class LoopDevice {
 public:
  explicit LoopDevice(const std::string& file, bool with_partitions = false) {
    const int backing = open(file.c_str(), O_RDWR | O_CLOEXEC);
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    // Somebody else may take the free one first.
    for (int attempt = 0; control >= 0 && fd_ < 0 && attempt < 8; attempt++) Attach(control, backing);
    if (control < 0) why_not_ = std::string("no /dev/loop-control: ") + strerror(errno);
    if (control >= 0) close(control);
    close(backing);
    if (fd_ < 0 || !with_partitions) return;
    struct loop_info64 info = {};
    info.lo_flags = LO_FLAGS_PARTSCAN;
    ioctl(fd_, LOOP_SET_STATUS64, &info);
    // Not every kernel knows this kind of table: it is told, as by partx.
    struct blkpg_partition partition = {kPartitionOffset, kPartitionBytes, 1, {}, {}};
    struct blkpg_ioctl_arg add = {BLKPG_ADD_PARTITION, 0, sizeof(partition), &partition};
    ioctl(fd_, BLKPG, &add);
  }
  ~LoopDevice() {
    if (fd_ < 0) return;
    ioctl(fd_, LOOP_CLR_FD, 0);
    close(fd_);
  }
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;

  bool ok() const { return fd_ >= 0; }
  const std::string& why_not() const { return why_not_; }
  const std::string& path() const { return path_; }
  /// A node for its first partition; /dev need not have one. @return whether there is one now.
  bool MakePartitionNode(const std::string& at) const {
    const std::string name = path_.substr(path_.rfind('/') + 1);
    unsigned major = 0, minor = 0;
    std::ifstream number("/sys/block/" + name + "/" + name + "p1/dev");
    char colon = 0;
    number >> major >> colon >> minor;
    return number && mknod(at.c_str(), S_IFBLK | 0600, makedev(major, minor)) == 0 && access(at.c_str(), R_OK) == 0;
  }

 private:
  void Attach(int control, int backing) {
    const int number = ioctl(control, LOOP_CTL_GET_FREE);
    path_ = "/dev/loop" + std::to_string(number);
    const int fd = number < 0 ? -1 : open(path_.c_str(), O_RDWR | O_CLOEXEC);
    if (fd >= 0 && ioctl(fd, LOOP_SET_FD, backing) == 0) {
      fd_ = fd;
      return;
    }
    why_not_ = "no loop device: " + std::string(strerror(errno));
    if (fd >= 0) close(fd);
  }

  int fd_ = -1;
  std::string path_, why_not_;
};

}  // namespace haven::blkrep::test

#endif
