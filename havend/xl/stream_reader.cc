// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/stream_reader.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

#include "os/pid_file.h"
#include "os/pipe.h"
#include "os/polling.h"
#include "os/run_program.h"
#include "os/spawn_program.h"

namespace haven::havend {
namespace {

constexpr int kPipeBytes = 1 << 20;
/// A program that ends closes its input some moments before it can be waited for, ms.
constexpr int kEndAfterInput = 10000;

}  // namespace

Result<std::unique_ptr<StreamReader>> StreamReader::Spawn(const std::vector<std::string>& argv,
                                                          const std::string& log_path, const std::string& record_path) {
  os::Pipe input, output;
  int log = os::OpenProgramLog(log_path);
  bool ready = input.ok() && output.ok() && log >= 0;
  auto started = ready ? os::Spawn({argv, input.read_end(), output.write_end(), log, input.write_end()})
                       : Status::FromErrno(errno, "no files for it");
  if (log >= 0) close(log);
  if (!started.ok()) return started.status().With("cannot start " + argv[0]);
  std::unique_ptr<StreamReader> reader(new StreamReader(std::move(started.value()), log_path, record_path));
  reader->in_ = input.TakeWrite();
  reader->out_ = output.TakeRead();
  fcntl(reader->in_, F_SETFL, O_NONBLOCK);
  fcntl(reader->in_, F_SETPIPE_SZ, kPipeBytes);
  if (reader->process_->pidfd() < 0 ||
      !os::WritePidFile(record_path, os::RecordOf(reader->process_->pid(), false)).ok()) {
    return Status(StatusCode::kEnvironment, "cannot watch a process, or write " + record_path);
  }
  return reader;
}

StreamReader::~StreamReader() {
  process_->KillSession();
  unlink(record_path_.c_str());
  for (int fd : {in_, out_}) close(fd);
}

Status StreamReader::Gone() {
  process_->Wait();
  return {StatusCode::kEnvironment,
          "the program that takes the guest's state " + process_->HowItEnded() + "; its messages are in " + log_path_};
}

bool StreamReader::Ended() {
  // Not waited for here, so that what it has started is still found when this one goes.
  pollfd poller{process_->pidfd(), POLLIN, 0};
  return process_->waited_for() || os::Poll(&poller, 1, 0) > 0;
}

Status StreamReader::InputClosed(const os::Interrupt& interrupt) {
  pollfd pollers[2] = {{process_->pidfd(), POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  if (os::Poll(pollers, 2, kEndAfterInput) <= 0) {
    return {StatusCode::kEnvironment,
            "the program that takes the guest's state reads no more; its messages are in " + log_path_};
  }
  return pollers[0].revents != 0 ? Gone() : Status(StatusCode::kTryAgain, "interrupted");
}

Status StreamReader::Write(ByteSpan data, const os::Interrupt& interrupt) {
  while (!data.empty()) {
    pollfd pollers[3] = {{in_, POLLOUT, 0}, {interrupt.fd(), POLLIN, 0}, {process_->pidfd(), POLLIN, 0}};
    if (os::Poll(pollers, 3, -1) < 0) return Status::FromErrno(errno, "cannot wait");
    if (pollers[1].revents != 0) return {StatusCode::kTryAgain, "interrupted"};
    if (pollers[2].revents != 0) return Gone();
    ssize_t now = write(in_, data.data(), data.size());
    if (now < 0 && errno == EPIPE) return InputClosed(interrupt);
    if (now < 0 && errno != EAGAIN && errno != EINTR) return Status::FromErrno(errno, "cannot write the guest's state");
    if (now > 0) data = data.subspan(static_cast<size_t>(now));
  }
  return Status::Ok();
}

Status StreamReader::Expect(const std::string& text, milliseconds timeout, const os::Interrupt& interrupt) {
  const Instant deadline = SteadyClock::now() + timeout;
  std::string got_text;
  while (got_text.size() < text.size()) {
    pollfd pollers[2] = {{out_, POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
    if (os::Poll(pollers, 2, os::PollTimeout(deadline)) <= 0)
      return {StatusCode::kEnvironment,
              "the program that takes the guest's state did not answer in time; its messages are in " + log_path_};
    if (pollers[1].revents != 0) return {StatusCode::kTryAgain, "interrupted"};
    char piece[256];
    ssize_t got = read(out_, piece, std::min(sizeof(piece), text.size() - got_text.size()));
    if (got <= 0) return Gone();
    got_text.append(piece, static_cast<size_t>(got));
    if (got_text != text.substr(0, got_text.size())) {
      return {StatusCode::kEnvironment,
              "the program that takes the guest's state gave an unknown answer: '" + got_text + "'"};
    }
  }
  return Status::Ok();
}

Status StreamReader::WaitForSuccess(milliseconds timeout, const os::Interrupt& interrupt) {
  pollfd pollers[2] = {{process_->pidfd(), POLLIN, 0}, {interrupt.fd(), POLLIN, 0}};
  const bool reaped = process_->waited_for();
  if (!reaped && os::Poll(pollers, 2, os::PollTimeout(SteadyClock::now() + timeout)) <= 0) {
    return {StatusCode::kEnvironment, "the guest was not taken over within " + std::to_string(timeout.count() / 1000) +
                                          " s; messages are in " + log_path_};
  }
  if (!reaped && pollers[0].revents == 0) return {StatusCode::kTryAgain, "interrupted"};
  Status ended = Gone();
  return process_->Succeeded() ? Status::Ok() : ended;
}

void KillRecorded(const std::string& record_path) {
  if (const auto record = os::ReadPidFile(record_path)) {
    const int pidfd = os::OpenRecordedProcess(*record);
    if (pidfd >= 0) {
      kill(-record->pid, SIGKILL);
      close(pidfd);
    }
  }
  unlink(record_path.c_str());
}

}  // namespace haven::havend
