/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_PID_FILE_H
#define HAVEN_OS_PID_FILE_H

#include <optional>
#include <string>
#include <sys/types.h>

#include "core/status.h"

namespace haven::os {

/// Which process runs, or waits to run, a guest. It is on disk because that
/// process may outlive the one that has started it.
struct PidRecord {
  pid_t pid = 0;
  unsigned long long start_time = 0;  ///< clock ticks after boot
  bool runs_guest = false;            ///< false: waits for a promotion, may be ended
  /// The kernel's name for this boot; with pid and start time it names one
  /// process for ever. Empty: of whatever boot.
  std::string boot_id{};

  bool operator==(const PidRecord&) const = default;
};

/// The record of a process of this boot.
PidRecord RecordOf(pid_t pid, bool runs_guest);

/// Replaces the file in one step; afterwards it is on stable storage. @return kEnvironment naming the path.
Status WritePidFile(const std::string& path, const PidRecord& record);

/// @return nothing when there is no file or it is not one of ours.
std::optional<PidRecord> ReadPidFile(const std::string& path);

/// The start time of a process, 0 when there is none (or a zombie).
unsigned long long ProcessStartTime(pid_t pid);

/// A pidfd of exactly the recorded process, -1 when it is gone. The caller closes it.
int OpenRecordedProcess(const PidRecord& record);

/// Kills the process behind `pidfd` and waits until it has ended, at most 10 s.
Status EndProcess(int pidfd);

}  // namespace haven::os

#endif
