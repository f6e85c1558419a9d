/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/connections.h"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "havend/log.h"

namespace haven::havend {

namespace {

/// Descriptors or memory are short: others must get time to end.
constexpr int kPauseAfterErrorMs = 100;

}  // namespace

Connections::Connections(std::string name, int listen_fd, size_t limit, Handler handler)
    : name_(std::move(name)), listen_fd_(listen_fd), limit_(limit), handler_(std::move(handler)), accepter_([this] {
        AcceptLoop();
      }) {}

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
    int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) {
      Serve(fd);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      Log(name_ + ": cannot accept a connection: " + strerror(errno));
      poll(&pollers[1], 1, kPauseAfterErrorMs);
    }
  }
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
  std::thread([this, fd] {
    handler_(fd);
    // Under the lock: the destructor may run as soon as it is released.
    std::lock_guard<std::mutex> lock(mutex_);
    active_--;
    changed_.notify_all();
  }).detach();
}

}  // namespace haven::havend
