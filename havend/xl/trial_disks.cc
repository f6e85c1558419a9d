// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/trial_disks.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace haven::havend {
namespace {

Result<off_t> SizeOf(const std::string& disk) {
  const int fd = open(disk.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const off_t bytes = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
  const Status failed = bytes < 0 ? Status::FromErrno(errno, "cannot find out the size of " + disk) : Status::Ok();
  if (fd >= 0) close(fd);
  if (!failed.ok()) return failed;
  return bytes;
}

Status MakeFile(const std::string& path, off_t bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool made = fd >= 0 && ftruncate(fd, bytes) == 0;
  const Status status = made ? Status::Ok() : Status::FromErrno(errno, "cannot make " + path);
  if (fd >= 0) close(fd);
  return status;
}

}  // namespace

TrialDisks::~TrialDisks() {
  for (const std::string& path : paths_) unlink(path.c_str());
}

Result<std::string> TrialDisks::Add(const std::string& disk) {
  auto bytes = SizeOf(disk);
  if (!bytes.ok()) return bytes.status();
  paths_.push_back(folder_ + "/trial-disk" + std::to_string(paths_.size()));
  HAVEN_RETURN_IF_ERROR(MakeFile(paths_.back(), bytes.value()));
  return paths_.back();
}

}  // namespace haven::havend
