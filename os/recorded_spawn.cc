/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "os/recorded_spawn.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <mutex>
#include <unistd.h>

#include "os/own_limits.h"
#include "os/pipe.h"
#include "os/scoped_fd.h"

namespace haven::os {

namespace {

/// This process's own test hook and notification socket are none of the program's business.
std::vector<char*> ChildEnvironment() {
  std::vector<char*> environment;
  for (char** at = environ; *at != nullptr; at++) {
    bool own = strncmp(*at, "HAVEN_KILL_AT=", 14) == 0 || strncmp(*at, "NOTIFY_SOCKET=", 14) == 0;
    if (!own) environment.push_back(*at);
  }
  environment.push_back(nullptr);
  return environment;
}

struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  std::vector<int> inherited;
  int input = -1, output = -1;
  int go_read = -1, error_write = -1;
};

/// In the child, between fork and exec: async-signal-safe calls only, and none that needs a new descriptor: the limits
/// are the program's already, while the descriptors are this process's.
[[noreturn]] void RunChild(const ChildPlan& plan) {
  char go;
  if (read(plan.go_read, &go, 1) != 1) _exit(127);
  setsid();
  for (int signal = 1; signal < NSIG; signal++) std::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  bool ok = dup2(plan.input, STDIN_FILENO) >= 0 && dup2(plan.output, STDOUT_FILENO) >= 0 &&
            dup2(plan.output, STDERR_FILENO) >= 0;
  for (int fd : plan.inherited) ok = ok && fcntl(fd, F_SETFD, 0) == 0;
  if (ok) execve(plan.argv[0], plan.argv.data(), plan.environment.data());
  int error = errno;
  [[maybe_unused]] ssize_t told = write(plan.error_write, &error, sizeof(error));
  _exit(127);
}

int OpenOutput(const std::string& path) {
  // The last words of the run before this one are worth keeping.
  rename(path.c_str(), (path + ".1").c_str());
  return open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
}

/// @return 0 when the program was executed, else the errno of the child.
int ReadExecError(int fd) {
  int error = 0;
  ssize_t got;
  do {
    got = read(fd, &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  return got == sizeof(error) ? error : 0;
}

}  // namespace

Result<std::unique_ptr<Process>> SpawnRecorded(const ProgramSpec& spec, const std::function<Status(pid_t)>& record) {
  // One at a time: two children that hold the ends of each other's pipes would
  // never see that this process is gone.
  static std::mutex spawning;
  std::lock_guard<std::mutex> lock(spawning);
  Pipe go, error;
  if (!go.ok() || !error.ok()) return Status::FromErrno(errno, "cannot make a pipe");
  const ScopedFd input{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  if (input.fd < 0) return Status::FromErrno(errno, "cannot read /dev/null");
  const ScopedFd output{OpenOutput(spec.output_path)};
  if (output.fd < 0) return Status::FromErrno(errno, "cannot write " + spec.output_path);

  ChildPlan plan;
  for (const std::string& word : spec.argv) plan.argv.push_back(const_cast<char*>(word.c_str()));
  plan.argv.push_back(nullptr);
  plan.environment = ChildEnvironment();
  plan.inherited = spec.inherited;
  plan.input = input.fd;
  plan.output = output.fd;
  plan.go_read = go.read_end();
  plan.error_write = error.write_end();
  pid_t pid = fork();
  if (pid == 0) {
    go.CloseWrite();  // else the child would never see the end of its own pipe
    RunChild(plan);
  }
  if (pid < 0) return Status::FromErrno(errno, "cannot fork");
  go.CloseRead();
  error.CloseWrite();

  GiveBackLimits(pid);
  auto process = std::make_unique<Process>(pid);
  Status status = process->pidfd() < 0 ? Status::FromErrno(errno, "cannot watch a process") : record(pid);
  if (!status.ok()) {
    go.CloseWrite();
    process->Wait();
    return status;
  }
  [[maybe_unused]] ssize_t told = write(go.write_end(), "g", 1);
  if (int exec_error = ReadExecError(error.read_end()); exec_error != 0) {
    process->Wait();
    return Status::FromErrno(exec_error, "cannot execute " + spec.argv[0]);
  }
  return process;
}

}  // namespace haven::os
