/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "os/pid_file.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/host_boot.h"
#include "os/durable_file.h"
#include "os/polling.h"

namespace haven::os {

namespace {

constexpr char kWaiting[] = "waiting";
constexpr char kRunning[] = "running";

}  // namespace

PidRecord RecordOf(pid_t pid, bool runs_guest) { return {pid, ProcessStartTime(pid), runs_guest, BootId()}; }

Status WritePidFile(const std::string& path, const PidRecord& record) {
  const std::string text = std::to_string(record.pid) + " " + std::to_string(record.start_time) + " " +
                           (record.runs_guest ? kRunning : kWaiting) + " " + record.boot_id + "\n";
  return ReplaceFileDurably(path, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

std::optional<PidRecord> ReadPidFile(const std::string& path) {
  std::ifstream in(path);
  PidRecord record;
  std::string state;
  if (!(in >> record.pid >> record.start_time >> state) || record.pid <= 1) return std::nullopt;
  if (state != kWaiting && state != kRunning) return std::nullopt;
  record.runs_guest = state == kRunning;
  in >> record.boot_id;
  return record;
}

unsigned long long ProcessStartTime(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  if (!std::getline(in, text)) return 0;
  // The second field, the name in parentheses, may contain anything.
  size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped, state;
  fields >> state;
  if (state == "Z" || state == "X") return 0;
  constexpr int kFieldsBetween = 18;  // state is field 3, starttime field 22
  for (int i = 0; i < kFieldsBetween; i++) fields >> skipped;
  unsigned long long start_time = 0;
  fields >> start_time;
  return start_time;
}

int OpenRecordedProcess(const PidRecord& record) {
  if (!record.boot_id.empty() && record.boot_id != BootId()) return -1;
  int pidfd = static_cast<int>(syscall(SYS_pidfd_open, record.pid, 0));
  if (pidfd < 0) return -1;
  // Looked at after the open: from here on the pid cannot pass to another process.
  if (ProcessStartTime(record.pid) == record.start_time) return pidfd;
  close(pidfd);
  return -1;
}

Status EndProcess(int pidfd) {
  constexpr int kWaitMs = 10000;
  if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return Status::FromErrno(errno, "cannot end the process");
  }
  pollfd poller{pidfd, POLLIN, 0};
  if (Poll(&poller, 1, kWaitMs) == 0) return Status(StatusCode::kEnvironment, "the process does not end after SIGKILL");
  return Status::Ok();
}

}  // namespace haven::os
