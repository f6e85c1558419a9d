/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/qemu_process.h"

#include <algorithm>
#include <unistd.h>

#include "core/guarded.h"
#include "havend/log.h"
#include "os/pid_file.h"
#include "os/polling.h"

namespace haven::havend {

namespace {

constexpr milliseconds kLastRestartDelay{60000};

/// Two guests of one name on one host would fight for the monitor and the disks.
Status RefuseIfNameIsTaken(const QemuOptions& options) {
  if (!qmp::LineSocket::Connect(options.qmp_path).ok()) return Status::Ok();
  return Status(StatusCode::kRefused, "a guest named " + options.name + " already runs on this host (" +
                                          options.qmp_path + " answers): end it first");
}

}  // namespace

QemuProcess::QemuProcess(QemuOptions options) : options_(std::move(options)) {}

QemuProcess::~QemuProcess() {
  Discard();
  StopWatching();
  if (recovered_pidfd_ >= 0) close(recovered_pidfd_);
}

Status QemuProcess::Recover() {
  if (stop_.fd() < 0) return Status(StatusCode::kEnvironment, "cannot make an eventfd");
  const auto record = os::ReadPidFile(options_.PidPath());
  if (!record) return Status::Ok();
  int pidfd = os::OpenRecordedProcess(*record);
  if (pidfd >= 0 && record->runs_guest) {
    Log("guest " + options_.name + ": still runs here, as process " + std::to_string(record->pid));
    phase_ = Phase::kRunning;
    running_pid_ = record->pid;
    recovered_pidfd_ = pidfd;
    StartWatching(pidfd);
    return Status::Ok();
  }
  if (pidfd >= 0) {
    Log("guest " + options_.name + ": ending process " + std::to_string(record->pid) +
        ", which waited for an earlier havend");
    Status ended = os::EndProcess(pidfd);
    close(pidfd);
    HAVEN_RETURN_IF_ERROR(ended);
  }
  unlink(options_.PidPath().c_str());
  return Status::Ok();
}

Status QemuProcess::RefuseIfRunning() {
  pid_t pid = RunningPid();
  if (pid == 0) return Status::Ok();
  return Status(StatusCode::kRefused,
                "the guest runs on this host already, as process " + std::to_string(pid) + ": end it first");
}

Status QemuProcess::MayStart() {
  HAVEN_RETURN_IF_ERROR(RefuseIfRunning());
  std::lock_guard<std::mutex> lock(mutex_);
  const bool ours = qemu_ != nullptr && !qemu_->process().WaitForEnd(milliseconds(0));
  return ours ? Status::Ok() : RefuseIfNameIsTaken(options_);
}

Status QemuProcess::Prepare(const memrep::GuestImage& image) {
  HAVEN_RETURN_IF_ERROR(MayStart());
  Discard();
  StopWatching();
  std::lock_guard<std::mutex> lock(mutex_);
  image_ = &image;
  Status status = StartLocked();
  if (status.ok()) {
    StartWatching(qemu_->process().pidfd());
  } else {
    EndWaitingLocked();
  }
  return status;
}

std::string QemuProcess::Machine() {
  std::lock_guard<std::mutex> lock(mutex_);
  return qemu_ ? qemu_->description() : "";
}

Status QemuProcess::StartLocked() {
  HAVEN_RETURN_IF_ERROR(RefuseIfNameIsTaken(options_));
  auto started = WaitingQemu::Start(options_, *image_);
  if (!started.ok()) return started.status();
  qemu_ = std::move(started.value());
  phase_ = Phase::kWaiting;
  Log("guest " + options_.name + ": process " + std::to_string(qemu_->process().pid()) + " waits for it (machine " +
      qemu_->machine() + ")");
  return Status::Ok();
}

Status QemuProcess::TryLoad(const memrep::GuestImage& image) {
  StopWatching();
  std::lock_guard<std::mutex> lock(mutex_);
  image_ = &image;
  bool died;
  Status tried = TryLoadLocked(image, died);
  if (!tried.ok() && died) {
    Log("guest " + options_.name + ": " + tried.message() + "; trying once more, with a fresh process");
    tried = TryLoadLocked(image, died).AfterTry(tried);
  }
  HAVEN_RETURN_IF_ERROR(tried);
  HAVEN_RETURN_IF_ERROR(StartLocked());
  StartWatching(qemu_->process().pidfd());
  return Status::Ok();
}

/// Whatever comes of it, the process is gone. @param died  by itself.
Status QemuProcess::TryLoadLocked(const memrep::GuestImage& image, bool& died) {
  died = false;
  HAVEN_RETURN_IF_ERROR(StartMissingLocked());
  const Status tried = qemu_->Try(image);
  died = qemu_->process().WaitForEnd(milliseconds(0));
  EndProcessLocked();
  return tried;
}

Status QemuProcess::Activate(const memrep::GuestImage& image) {
  HAVEN_RETURN_IF_ERROR(RefuseIfRunning());
  StopWatching();
  std::lock_guard<std::mutex> lock(mutex_);
  image_ = &image;
  return ActivateLocked();
}

Status QemuProcess::ActivateLocked() {
  Reached reached;
  Status first = RunLocked(reached);
  if (first.ok() || reached != Reached::kNothing) {
    SettleLocked(reached);
    return first;
  }
  Log("guest " + options_.name + ": " + first.message() + "; trying once more, with a fresh process");
  EndProcessLocked();
  Status second = RunLocked(reached);
  SettleLocked(reached);
  return second.AfterTry(first);
}

Status QemuProcess::StartMissingLocked() {
  if (qemu_ != nullptr && !qemu_->process().WaitForEnd(milliseconds(0))) return Status::Ok();
  Log("guest " + options_.name + ": no process waits for it, starting one");
  return StartLocked();
}

Status QemuProcess::RunLocked(Reached& reached) {
  reached = Reached::kNothing;
  HAVEN_RETURN_IF_ERROR(StartMissingLocked());
  return qemu_->Run(*image_, reached);
}

Status QemuProcess::Boot() {
  HAVEN_RETURN_IF_ERROR(MayStart());
  Discard();
  StopWatching();
  std::lock_guard<std::mutex> lock(mutex_);
  auto started = WaitingQemu::StartOff(options_);
  if (!started.ok()) return started.status();
  qemu_ = std::move(started.value());
  Reached reached;
  Status status = qemu_->Boot(reached);
  SettleLocked(reached);
  return status;
}

void QemuProcess::SettleLocked(Reached reached) {
  if (reached != Reached::kGuest) return EndWaitingLocked();
  phase_ = Phase::kRunning;
  running_pid_ = qemu_->process().pid();
  image_ = nullptr;
  // It runs, watched or not.
  const Status watched = Guarded([this] {
    StartWatching(qemu_->process().pidfd());
    return Status::Ok();
  });
  if (!watched.ok()) Log("guest " + options_.name + ": its process is not watched: " + watched.message());
}

void QemuProcess::Discard() {
  bool waiting;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting = phase_ == Phase::kWaiting || image_ != nullptr;
  }
  if (!waiting) return;
  StopWatching();
  std::lock_guard<std::mutex> lock(mutex_);
  EndWaitingLocked();
}

void QemuProcess::EndWaitingLocked() {
  image_ = nullptr;
  phase_ = Phase::kIdle;
  EndProcessLocked();
}

void QemuProcess::EndProcessLocked() {
  if (qemu_ == nullptr) return;
  qemu_->process().Kill();
  qemu_.reset();
  unlink(options_.PidPath().c_str());
  unlink(options_.qmp_path.c_str());
}

pid_t QemuProcess::RunningPid() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (phase_ != Phase::kRunning) return 0;
  // Asked here, too: the watching thread may not have come to it yet.
  pollfd poller{qemu_ != nullptr ? qemu_->process().pidfd() : recovered_pidfd_, POLLIN, 0};
  return poll(&poller, 1, 0) > 0 ? 0 : running_pid_;
}

void QemuProcess::StartWatching(int pidfd) {
  stop_.Lower();
  watcher_ = Thread([this, pidfd] { Watch(pidfd); },
                    [this](const Status& status) {
                      Log("guest " + options_.name + ": its process is not watched any more: " + status.message());
                    });
}

void QemuProcess::StopWatching() {
  if (!watcher_.joinable()) return;
  stop_.Raise();
  watcher_.join();
}

void QemuProcess::Watch(int pidfd) {
  milliseconds delay = options_.restart_delay;
  for (;;) {
    pollfd pollers[2] = {{pidfd, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    os::Poll(pollers, 2, -1);
    if (pollers[1].revents != 0) return;
    WatchedEnded();
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (phase_ != Phase::kWaiting) return;
    }
    if (!RestartLater(delay)) return;
    std::lock_guard<std::mutex> lock(mutex_);
    pidfd = qemu_->process().pidfd();
  }
}

void QemuProcess::WatchedEnded() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::string how = "ended";
  if (qemu_ != nullptr && qemu_->process().WaitForEnd(milliseconds(0))) {
    how = qemu_->process().HowItEnded();
  }
  if (phase_ == Phase::kWaiting) {
    Log("guest " + options_.name + ": the process that waits for it " + how + " (see " + options_.LogPath() +
        "); starting another");
    return;
  }
  Log("guest " + options_.name + ": the process that ran it here " + how);
  phase_ = Phase::kIdle;
  running_pid_ = 0;
  qemu_.reset();
  unlink(options_.PidPath().c_str());
}

bool QemuProcess::RestartLater(milliseconds& delay) {
  for (;;) {
    pollfd poller{stop_.fd(), POLLIN, 0};
    if (poll(&poller, 1, static_cast<int>(delay.count())) > 0) return false;
    std::lock_guard<std::mutex> lock(mutex_);
    Status status = Guarded([this] { return StartLocked(); });
    delay = std::min(delay * 2, kLastRestartDelay);
    if (status.ok()) return true;
    Log("guest " + options_.name + ": " + status.message() + "; trying again in " +
        std::to_string(delay.count() / 1000) + " s");
  }
}

}  // namespace haven::havend
