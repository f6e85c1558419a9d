/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/connections.h"

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/guarded.h"
#include "havend/log.h"

namespace haven::havend {

namespace {

/// Descriptors or memory are short: others must get time to end.
constexpr int kPauseAfterErrorMs = 100;

bool IsShortage(int error) { return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM; }

}  // namespace

Connections::Connections(std::string name, int listen_fd, size_t limit, Handler handler)
    : name_(std::move(name)),
      listen_fd_(listen_fd),
      limit_(limit),
      handler_(std::move(handler)),
      accepter_([this] { AcceptLoop(); },
                [this](const Status& status) { Log(name_ + ": takes no more connections: " + status.message()); }) {}

Connections::~Connections() {
  Stop();
  accepter_.join();
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return active_ == 0; });
  close(listen_fd_);
}

void Connections::Stop() { stop_.Raise(); }

void Connections::AcceptLoop() {
  for (;;) {
    pollfd pollers[2] = {{listen_fd_, POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    if (poll(pollers, 2, -1) < 0) continue;
    if (pollers[1].revents != 0) return;
    const Status accepted = Guarded([this] { return AcceptOne(); });
    if (!accepted.ok()) poll(&pollers[1], 1, kPauseAfterErrorMs);
  }
}

Status Connections::AcceptOne() {
  const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd >= 0) {
    Serve(fd);
  } else if (IsShortage(errno)) {
    const Status status = Status::FromErrno(errno, "cannot accept a connection");
    TellShortage(status.message() + "; those that come wait until it can");
    return status;
  }
  return Status::Ok();
}

void Connections::TellShortage(const std::string& what) {
  if (!std::exchange(short_, true)) Log(name_ + ": " + what);
}

void Connections::Serve(int fd) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (active_ >= limit_) {
      close(fd);
      return;
    }
    active_++;
  }
  const Status started = Guarded([&] {
    std::thread([this, fd] {
      Handle(fd);
      EndOne();
    }).detach();
    return Status::Ok();
  });
  if (started.ok()) {
    short_ = false;
    return;
  }
  close(fd);
  EndOne();
  TellShortage("cannot serve a connection: cannot start a thread: " + started.message() + "; it was closed");
}

void Connections::Handle(int fd) {
  const Status handled = Guarded([&] {
    handler_(fd);
    return Status::Ok();
  });
  if (handled.ok()) return;
  (void)Guarded([&] {
    Log(name_ + ": a connection was given up: " + handled.message());
    return Status::Ok();
  });
}

void Connections::EndOne() {
  // Under the lock: the destructor may run as soon as it is released.
  std::lock_guard<std::mutex> lock(mutex_);
  active_--;
  changed_.notify_all();
}

}  // namespace haven::havend
