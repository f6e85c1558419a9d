/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_OWN_LIMITS_H
#define HAVEN_OS_OWN_LIMITS_H

#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/types.h>

#include "core/status.h"

namespace haven::os {

/// What this process has for itself only, while this lives: as many descriptors as the hard limit allows, and a score
/// at which the kernel ends others first when memory is short. Spawn() and SpawnRecorded() give a program what this
/// process had before. At most one; made before, and ended after all threads that start programs.
class OwnLimits {
 public:
  /// Of a daemon that many guests depend on.
  static constexpr int kSpared = -900;

  /// @param oom_score  as in /proc/PID/oom_score_adj; a process that has a lower one keeps it.
  explicit OwnLimits(int oom_score = kSpared);
  ~OwnLimits();
  OwnLimits(const OwnLimits&) = delete;
  OwnLimits& operator=(const OwnLimits&) = delete;

  /// Whether all of it could be had; what could be had is there all the same.
  const Status& status() const { return status_; }

 private:
  friend void GiveBackLimits(pid_t pid);
  Status RaiseDescriptors();
  Status LowerOomScore(int score);

  std::optional<rlimit> descriptors_before_;
  std::string oom_score_before_;  ///< empty: it is what it was
  Status status_;
};

/// To a program that this process has just started: what the process had before OwnLimits, if there is one. What
/// cannot be given back the program goes without. Any thread.
void GiveBackLimits(pid_t pid);

}  // namespace haven::os

#endif
