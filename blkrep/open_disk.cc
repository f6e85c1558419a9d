// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/open_disk.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>

#include "os/files.h"

namespace haven::blkrep {
namespace {

bool IsDisk(const struct stat& st) { return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode); }

Status NoDisk(const std::string& path) {
  return {StatusCode::kInvalid, path + " is neither a file nor a block device"};
}

}  // namespace

OpenedDisk::~OpenedDisk() {
  if (fd_ >= 0) os::Files::Here().Close(fd_);
}

Result<uint64_t> OpenedDisk::Bytes() const {
  uint64_t bytes = 0;
  if (device()) {
    if (ioctl(fd_, BLKGETSIZE64, &bytes) != 0) return Status::FromErrno(errno, "cannot get the device's size");
    return bytes;
  }
  struct stat now;
  if (fstat(fd_, &now) != 0) return Status::FromErrno(errno, "cannot get the file's size");
  return static_cast<uint64_t>(now.st_size);
}

Result<OpenedDisk> OpenDisk(const std::string& path, int flags) {
  struct stat st;
  // To open a device of another kind may do something to it.
  if (stat(path.c_str(), &st) != 0) return Status::FromErrno(errno, "cannot examine " + path);
  if (!IsDisk(st)) return NoDisk(path);
  // Without waiting for somebody's lease.
  const int fd = os::Files::Here().Open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return Status::FromErrno(errno, "cannot open " + path);
  if (fstat(fd, &st) == 0 && IsDisk(st)) return OpenedDisk(fd, st);
  os::Files::Here().Close(fd);
  return NoDisk(path);
}

}  // namespace haven::blkrep
