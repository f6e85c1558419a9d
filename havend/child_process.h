/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_CHILD_PROCESS_H
#define HAVEN_HAVEND_CHILD_PROCESS_H

#include <functional>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

#include "core/clock.h"
#include "core/status.h"

namespace haven::havend {

/// What to execute, without a shell.
struct ChildSpec {
  std::vector<std::string> argv;  ///< [0] is a path
  std::vector<int> inherited;     ///< descriptors it keeps, under the same numbers
  std::string output_path;        ///< standard output and error; the former file becomes .1
};

/// A program in a session of its own, so that it outlives havend and no
/// signal to havend's terminal or group reaches it. One thread at a time.
class ChildProcess {
 public:
  /// @param before_exec  called with the pid while the child still waits;
  ///        when it fails, or this process dies, the child ends without having
  ///        executed anything.
  /// @return kEnvironment naming the program when it cannot be executed.
  static Result<std::unique_ptr<ChildProcess>> Spawn(const ChildSpec& spec,
                                                     const std::function<Status(pid_t)>& before_exec);

  /// Leaves a living program alone.
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_; }  ///< readable when the program has ended

  /// Ends the program at once; no-op when it has ended.
  void Kill();
  /// Waits up to `timeout` for the end and reaps. @return false: it still runs.
  bool WaitForEnd(milliseconds timeout);
  /// "exited with status 1", "was ended by signal 9 (Killed)"; after the end.
  std::string HowItEnded() const;

 private:
  ChildProcess(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}

  const pid_t pid_;
  const int pidfd_;
  bool ended_ = false;
  int wait_status_ = 0;
};

}  // namespace haven::havend

#endif
