/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_OPEN_DISK_H
#define HAVEN_BLKREP_OPEN_DISK_H

#include <sys/stat.h>

#include <string>
#include <utility>

#include "core/status.h"

namespace haven::blkrep {

/// A file or block device that is open; closed with the object. One thread.
class OpenedDisk {
 public:
  OpenedDisk(int fd, const struct stat& st) : fd_(fd), st_(st) {}
  OpenedDisk(OpenedDisk&& other) noexcept : fd_(std::exchange(other.fd_, -1)), st_(other.st_) {}
  OpenedDisk& operator=(OpenedDisk&&) = delete;
  ~OpenedDisk();

  int fd() const { return fd_; }
  /// As it was when it was opened.
  const struct stat& st() const { return st_; }
  bool device() const { return S_ISBLK(st_.st_mode); }
  /// Its size now, in octets.
  Result<uint64_t> Bytes() const;

 private:
  int fd_;
  struct stat st_;
};

/// @param flags  of open(); O_CLOEXEC comes by itself.
/// @return kInvalid if the path is neither file nor block device, of which
///         nothing is opened; kEnvironment with errno. The path is in the message.
Result<OpenedDisk> OpenDisk(const std::string& path, int flags);

}  // namespace haven::blkrep

#endif
