/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/daemonize.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include "os/pipe.h"

namespace haven::havend {

namespace {

constexpr char kReady = 'R';
constexpr char kFailed = 'F';

/// In the process that the user started.
[[noreturn]] void WaitForReportAndExit(int fd) {
  std::string report;
  char chunk[1024];
  for (;;) {
    ssize_t got = read(fd, chunk, sizeof(chunk));
    if (got > 0) report.append(chunk, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) break;
  }
  if (!report.empty() && report[0] == kReady) _exit(0);
  std::string reason = report.empty() ? "it ended before it was ready" : report.substr(1);
  fprintf(stderr, "havend: %s\n", reason.c_str());
  _exit(1);
}

}  // namespace

Daemonizer::~Daemonizer() {
  if (report_fd_ >= 0) close(report_fd_);
}

Status Daemonizer::Detach(const std::string& folder, const std::string& log_path) {
  std::error_code made;
  std::filesystem::create_directories(folder, made);
  int log = open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log < 0) return Status::FromErrno(errno, "cannot write " + log_path);
  os::Pipe report;
  if (!report.ok()) return Status::FromErrno(errno, "cannot make a pipe");
  pid_t pid = fork();
  if (pid < 0) return Status::FromErrno(errno, "cannot fork");
  if (pid > 0) {
    report.CloseWrite();
    WaitForReportAndExit(report.read_end());
  }
  report_fd_ = report.TakeWrite();
  setsid();
  int null = open("/dev/null", O_RDWR);
  if (null < 0 || chdir("/") != 0) return Status::FromErrno(errno, "cannot go into the background");
  dup2(null, STDIN_FILENO);
  dup2(null, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (null > STDERR_FILENO) close(null);
  close(log);
  return Status::Ok();
}

void Daemonizer::Report(const std::string& error) {
  if (report_fd_ < 0) return;
  std::string text = error.empty() ? std::string(1, kReady) : kFailed + error;
  [[maybe_unused]] ssize_t written = write(report_fd_, text.data(), text.size());
  close(report_fd_);
  report_fd_ = -1;
}

}  // namespace haven::havend
