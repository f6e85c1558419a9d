// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/process.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/polling.h"

namespace haven::os {

Process::Process(pid_t pid) : pid_(pid), pidfd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

Process::~Process() {
  if (pidfd_ >= 0) close(pidfd_);
}

void Process::Kill() {
  if (waited_for_) return;
  kill(pid_, SIGKILL);  // not reaped yet, so the pid is still ours
  Wait();
}

void Process::KillSession() {
  if (waited_for_) return;
  kill(-pid_, SIGKILL);
  Wait();
}

bool Process::WaitForEnd(milliseconds timeout) {
  if (waited_for_) return true;
  pollfd poller{pidfd_, POLLIN, 0};
  if (Poll(&poller, 1, static_cast<int>(timeout.count())) <= 0) return false;
  Wait();
  return true;
}

void Process::Wait() {
  if (waited_for_) return;
  pid_t got;
  do {
    got = waitpid(pid_, &wait_status_, 0);
  } while (got < 0 && errno == EINTR);
  waited_for_ = true;
}

int Process::exit_status() const { return WIFEXITED(wait_status_) ? WEXITSTATUS(wait_status_) : -1; }

std::string Process::HowItEnded() const {
  if (WIFSIGNALED(wait_status_)) {
    int signal = WTERMSIG(wait_status_);
    return "was ended by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status_));
}

}  // namespace haven::os
