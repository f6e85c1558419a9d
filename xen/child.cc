// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/child.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xen/spawn_program.h"

namespace haven::xen {
namespace {

constexpr int kPipeBytes = 1 << 20;
constexpr size_t kMaxOutputBytes = 4u << 20;
/// A program that ends closes its input some moments before it can be waited for, ms.
constexpr int kEndAfterInput = 10000;

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) == 0) {
      read_end = fds[0];
      write_end = fds[1];
    }
  }
  ~Pipe() {
    CloseRead();
    CloseWrite();
  }
  bool ok() const { return read_end >= 0; }
  void CloseRead() { Close(read_end); }
  void CloseWrite() { Close(write_end); }
  static void Close(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }
};

/// Right after a file or pipe could not be opened.
Status NoFiles() { return Status::FromErrno(errno, "no files for it"); }

int OpenLog(const std::string& path) { return open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600); }

std::string HowItEnded(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return "was ended by signal " + std::to_string(WTERMSIG(wait_status)) + " (" + strsignal(WTERMSIG(wait_status)) +
           ")";
  }
  return "exited with status " + std::to_string(WEXITSTATUS(wait_status));
}

Status NotZero(const std::string& program, int wait_status, const std::string& log_path) {
  return {StatusCode::kEnvironment, program + " " + HowItEnded(wait_status) + "; its messages are in " + log_path};
}

/// Field 22 of /proc/PID/stat: tells a process from a later one of the same number.
std::string StartTime(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(in, text);
  size_t after_name = text.rfind(')');
  if (after_name == std::string::npos) return "";
  std::istringstream fields(text.substr(after_name + 1));
  std::string field;
  for (int i = 3; i <= 22; i++) fields >> field;
  return field;
}

int PollTimeout(Instant deadline) {
  auto left = std::chrono::ceil<milliseconds>(deadline - SteadyClock::now()).count();
  return left < 0 ? 0 : static_cast<int>(std::min<int64_t>(left, 3600 * 1000));
}

int Poll(pollfd* fds, nfds_t count, int timeout) {
  int ready;
  do {
    ready = poll(fds, count, timeout);
  } while (ready < 0 && errno == EINTR);
  return ready;
}

}  // namespace

Result<std::string> RunProgram(const std::vector<std::string>& argv, const std::string& log_path,
                               milliseconds timeout) {
  Pipe output;
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int log = OpenLog(log_path);
  Result<pid_t> started = output.ok() && null >= 0 && log >= 0 ? Spawn({argv, null, output.write_end, log}) : NoFiles();
  Pipe::Close(null);
  Pipe::Close(log);
  if (!started.ok()) return started.status().With("cannot start " + argv[0]);
  const pid_t pid = started.value();
  output.CloseWrite();
  const Instant deadline = SteadyClock::now() + timeout;
  std::string text;
  bool in_time = true;
  while (in_time && text.size() < kMaxOutputBytes) {
    pollfd poller{output.read_end, POLLIN, 0};
    in_time = Poll(&poller, 1, PollTimeout(deadline)) > 0;
    char piece[4096];
    ssize_t got = in_time ? read(output.read_end, piece, sizeof(piece)) : 0;
    if (got <= 0) break;
    text.append(piece, static_cast<size_t>(got));
  }
  if (!in_time) kill(-pid, SIGKILL);
  int wait_status = 0;
  waitpid(pid, &wait_status, 0);
  if (!in_time) return Status(StatusCode::kEnvironment, argv[0] + " " + argv[1] + " did not end in time");
  if (wait_status != 0) return NotZero(argv[0] + " " + argv[1], wait_status, log_path);
  return text;
}

Interrupt::Interrupt() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
Interrupt::~Interrupt() { close(fd_); }

void Interrupt::Raise() {
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = write(fd_, &one, sizeof(one));
}

void Interrupt::Lower() {
  uint64_t value;
  [[maybe_unused]] ssize_t got = read(fd_, &value, sizeof(value));
}

Result<std::unique_ptr<StreamReader>> StreamReader::Spawn(const std::vector<std::string>& argv,
                                                          const std::string& log_path, const std::string& record_path) {
  Pipe input, output;
  int log = OpenLog(log_path);
  bool ready = input.ok() && output.ok() && log >= 0;
  Result<pid_t> started =
      ready ? xen::Spawn({argv, input.read_end, output.write_end, log, input.write_end}) : NoFiles();
  Pipe::Close(log);
  if (!started.ok()) return started.status().With("cannot start " + argv[0]);
  const pid_t pid = started.value();
  auto reader = std::unique_ptr<StreamReader>(new StreamReader);
  reader->pid_ = pid;
  reader->pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  reader->in_ = input.write_end;
  reader->out_ = output.read_end;
  input.write_end = output.read_end = -1;
  reader->log_path_ = log_path;
  reader->record_path_ = record_path;
  fcntl(reader->in_, F_SETFL, O_NONBLOCK);
  fcntl(reader->in_, F_SETPIPE_SZ, kPipeBytes);
  std::ofstream record(record_path, std::ios::trunc);
  record << pid << ' ' << StartTime(pid) << '\n';
  record.close();
  if (reader->pidfd_ < 0 || !record)
    return Status(StatusCode::kEnvironment, "cannot watch a process, or write " + record_path);
  return reader;
}

StreamReader::~StreamReader() {
  if (!reaped_ && pid_ > 0) {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  unlink(record_path_.c_str());
  for (int fd : {pidfd_, in_, out_}) {
    if (fd >= 0) close(fd);
  }
}

Status StreamReader::Gone() {
  if (!reaped_) reaped_ = waitpid(pid_, &wait_status_, 0) == pid_;
  return NotZero("the program that takes the guest's state", wait_status_, log_path_);
}

bool StreamReader::Ended() {
  pollfd poller{pidfd_, POLLIN, 0};
  return reaped_ || Poll(&poller, 1, 0) > 0;
}

Status StreamReader::InputClosed(const Interrupt& interrupt) {
  pollfd pollers[2] = {{pidfd_, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  if (Poll(pollers, 2, kEndAfterInput) <= 0) {
    return {StatusCode::kEnvironment,
            "the program that takes the guest's state reads no more; its messages are in " + log_path_};
  }
  return pollers[0].revents != 0 ? Gone() : Status(StatusCode::kTryAgain, "interrupted");
}

Status StreamReader::Write(ByteSpan data, const Interrupt& interrupt) {
  while (!data.empty()) {
    pollfd pollers[3] = {{in_, POLLOUT, 0}, {interrupt.fd(), POLLIN, 0}, {pidfd_, POLLIN, 0}};
    if (Poll(pollers, 3, -1) < 0) return Status::FromErrno(errno, "cannot wait");
    if (pollers[1].revents != 0) return {StatusCode::kTryAgain, "interrupted"};
    if (pollers[2].revents != 0) return Gone();
    ssize_t now = write(in_, data.data(), data.size());
    if (now < 0 && errno == EPIPE) return InputClosed(interrupt);
    if (now < 0 && errno != EAGAIN && errno != EINTR) return Status::FromErrno(errno, "cannot write the guest's state");
    if (now > 0) data = data.subspan(static_cast<size_t>(now));
  }
  return Status::Ok();
}

Status StreamReader::Expect(const std::string& text, milliseconds timeout, const Interrupt& interrupt) {
  const Instant deadline = SteadyClock::now() + timeout;
  std::string got_text;
  while (got_text.size() < text.size()) {
    pollfd pollers[2] = {{out_, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
    if (Poll(pollers, 2, PollTimeout(deadline)) <= 0) return {StatusCode::kEnvironment, "no greeting came in time"};
    if (pollers[1].revents != 0) return {StatusCode::kTryAgain, "interrupted"};
    char piece[256];
    ssize_t got = read(out_, piece, std::min(sizeof(piece), text.size() - got_text.size()));
    if (got <= 0) return Gone();
    got_text.append(piece, static_cast<size_t>(got));
    if (got_text != text.substr(0, got_text.size())) {
      return {StatusCode::kEnvironment, "an unknown greeting came: '" + got_text + "'"};
    }
  }
  return Status::Ok();
}

Status StreamReader::WaitForSuccess(milliseconds timeout, const Interrupt& interrupt) {
  pollfd pollers[2] = {{pidfd_, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  if (!reaped_ && Poll(pollers, 2, PollTimeout(SteadyClock::now() + timeout)) <= 0) {
    return {StatusCode::kEnvironment, "the guest was not taken over within " + std::to_string(timeout.count() / 1000) +
                                          " s; messages are in " + log_path_};
  }
  if (!reaped_ && pollers[0].revents == 0) return {StatusCode::kTryAgain, "interrupted"};
  Status ended = Gone();
  return wait_status_ == 0 ? Status::Ok() : ended;
}

void KillRecorded(const std::string& record_path) {
  std::ifstream in(record_path);
  pid_t pid = 0;
  std::string start;
  if (in >> pid >> start && pid > 1 && StartTime(pid) == start) {
    kill(-pid, SIGKILL);
  }
  unlink(record_path.c_str());
}

}  // namespace haven::xen
