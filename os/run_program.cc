// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/run_program.h"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

#include "os/pipe.h"
#include "os/polling.h"
#include "os/spawn_program.h"

namespace haven::os {
namespace {

constexpr size_t kMaxOutputBytes = 4u << 20;

Result<std::unique_ptr<Process>> Start(const std::vector<std::string>& argv, const std::string& log_path,
                                       const Pipe& output) {
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int log = OpenProgramLog(log_path);
  auto started = output.ok() && null >= 0 && log >= 0 ? Spawn({argv, null, output.write_end(), log})
                                                      : Status::FromErrno(errno, "no files for it");
  if (null >= 0) close(null);
  if (log >= 0) close(log);
  return started;
}

/// Until the program closes it, or has written too much. @return false: it did not end in time.
bool ReadUntil(Instant deadline, int fd, std::string& text) {
  while (text.size() < kMaxOutputBytes) {
    pollfd poller{fd, POLLIN, 0};
    if (Poll(&poller, 1, PollTimeout(deadline)) <= 0) return false;
    char piece[4096];
    ssize_t got = read(fd, piece, sizeof(piece));
    if (got <= 0) break;
    text.append(piece, static_cast<size_t>(got));
  }
  return true;
}

}  // namespace

int OpenProgramLog(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

Result<std::string> RunProgram(const std::vector<std::string>& argv, const std::string& log_path,
                               milliseconds timeout) {
  Pipe output;
  auto started = Start(argv, log_path, output);
  if (!started.ok()) return started.status().With("cannot start " + argv[0]);
  Process& process = *started.value();
  output.CloseWrite();
  std::string text;
  const std::string name = argv[0] + " " + argv[1];
  if (!ReadUntil(SteadyClock::now() + timeout, output.read_end(), text)) {
    process.KillSession();
    return Status(StatusCode::kEnvironment, name + " did not end in time");
  }
  process.Wait();
  if (process.Succeeded()) return text;
  return Status(StatusCode::kEnvironment, name + " " + process.HowItEnded() + "; its messages are in " + log_path);
}

}  // namespace haven::os
