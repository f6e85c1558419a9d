// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/own_limits.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

#include "core/assert.h"
#include "os/scoped_fd.h"

namespace haven::os {
namespace {

/// The limits are the process's, and so is what it had before.
std::atomic<const OwnLimits*> current{nullptr};

/// @param pid  0: this process.
std::string OomScorePath(pid_t pid) { return "/proc/" + (pid == 0 ? "self" : std::to_string(pid)) + "/oom_score_adj"; }

/// @return 0 or errno.
int WriteOomScore(pid_t pid, const std::string& score) {
  const ScopedFd file{open(OomScorePath(pid).c_str(), O_WRONLY | O_CLOEXEC)};
  if (file.fd < 0) return errno;
  return write(file.fd, score.data(), score.size()) < 0 ? errno : 0;
}

}  // namespace

OwnLimits::OwnLimits(int oom_score) {
  HAVEN_ASSERT(current == nullptr);
  status_ = RaiseDescriptors();
  const Status spared = LowerOomScore(oom_score);
  if (status_.ok()) status_ = spared;
  current = this;
}

OwnLimits::~OwnLimits() {
  GiveBackLimits(0);
  current = nullptr;
}

Status OwnLimits::RaiseDescriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return Status::FromErrno(errno, "cannot read the limit of descriptors");
  const rlimit before = limit;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return Status::FromErrno(errno, "cannot use more than " + std::to_string(before.rlim_cur) + " descriptors");
  }
  descriptors_before_ = before;
  return Status::Ok();
}

Status OwnLimits::LowerOomScore(int score) {
  std::string before;
  std::ifstream(OomScorePath(0)) >> before;
  if (before.empty() || atoi(before.c_str()) <= score) return Status::Ok();
  if (int error = WriteOomScore(0, std::to_string(score)); error != 0) {
    return Status::FromErrno(error, "cannot have others ended first when memory is short");
  }
  oom_score_before_ = before;
  return Status::Ok();
}

void GiveBackLimits(pid_t pid) {
  const OwnLimits* own = current;
  if (own == nullptr) return;
  if (own->descriptors_before_) prlimit(pid, RLIMIT_NOFILE, &*own->descriptors_before_, nullptr);
  if (!own->oom_score_before_.empty()) (void)WriteOomScore(pid, own->oom_score_before_);
}

}  // namespace haven::os
