/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_OS_PROCESS_H
#define HAVEN_OS_PROCESS_H

#include <string>
#include <sys/types.h>

#include "core/clock.h"

namespace haven::os {

/// A program that this process has started, in a session of its own; nothing
/// else waits for it. One thread at a time.
class Process {
 public:
  /// @param pid  a child of this process that was not waited for yet.
  explicit Process(pid_t pid);
  /// Leaves a living program alone.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_; }  ///< readable when the program has ended; negative: there is none

  /// Ends the program at once; no-op when it was waited for.
  void Kill();
  /// Ends the program and what it has started; no-op when it was waited for.
  void KillSession();
  /// Waits up to `timeout` for the end and reaps. @return false: it still runs.
  bool WaitForEnd(milliseconds timeout);
  /// Waits for the end and reaps.
  void Wait();

  bool waited_for() const { return waited_for_; }
  /// -1: by a signal; after the end.
  int exit_status() const;
  /// Exited with 0; after the end.
  bool Succeeded() const { return wait_status_ == 0; }
  /// "exited with status 1", "was ended by signal 9 (Killed)"; after the end.
  std::string HowItEnded() const;

 private:
  const pid_t pid_;
  const int pidfd_;
  bool waited_for_ = false;
  int wait_status_ = 0;
};

}  // namespace haven::os

#endif
