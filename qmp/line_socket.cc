/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/line_socket.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace haven::qmp {

namespace {

constexpr milliseconds kWriteTimeout{10000};

/// @return what poll() returns.
int WaitFor(int fd, short events, milliseconds timeout) {
  pollfd poller{fd, events, 0};
  int wait = timeout.count() < 0 ? -1 : static_cast<int>(timeout.count());
  return poll(&poller, 1, wait);
}

/// The descriptor must go with the first octet of the message.
ssize_t SendSome(int fd, const char* data, size_t bytes, int attached) {
  iovec part{const_cast<char*>(data), bytes};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (attached >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &attached, sizeof(int));
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

LineSocket::~LineSocket() {
  if (fd_ >= 0) close(fd_);
}

LineSocket::LineSocket(LineSocket&& other) noexcept
    : fd_(other.fd_), timed_out_(other.timed_out_), buffer_(std::move(other.buffer_)), searched_(other.searched_) {
  other.fd_ = -1;
}

Result<LineSocket> LineSocket::Connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Status(StatusCode::kInvalid, path + ": the path of a socket may have at most " +
                                            std::to_string(sizeof(address.sun_path) - 1) + " characters");
  }
  memcpy(address.sun_path, path.data(), path.size());
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status::FromErrno(errno, "cannot make a socket");
  LineSocket result(fd);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return Status::FromErrno(errno, "cannot connect to " + path);
  }
  return Result<LineSocket>(std::move(result));
}

Status LineSocket::Write(const std::string& line, int attached) {
  std::string out = line + "\n";
  size_t sent = 0;
  while (sent < out.size()) {
    ssize_t now = SendSome(fd_, out.data() + sent, out.size() - sent, attached);
    if (now > 0) {
      sent += static_cast<size_t>(now);
      attached = -1;
    } else if (now < 0 && errno == EAGAIN) {
      int ready = WaitFor(fd_, POLLOUT, kWriteTimeout);
      if (ready == 0) return Status(StatusCode::kPeerLost, "the other end takes no data");
    } else if (now < 0 && errno != EINTR) {
      return Status(StatusCode::kPeerLost, std::string("the connection is closed: ") + strerror(errno));
    }
  }
  return Status::Ok();
}

Result<std::string> LineSocket::Read(milliseconds timeout) {
  const Instant deadline = SteadyClock::now() + timeout;
  timed_out_ = false;
  for (;;) {
    size_t end = buffer_.find('\n', searched_);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      searched_ = 0;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return line;
    }
    searched_ = buffer_.size();
    if (buffer_.size() > kMaxLineBytes) {
      return Status(StatusCode::kProtocol, "a line is longer than 16 MiB");
    }
    milliseconds left = timeout;
    if (timeout.count() >= 0) {
      left = std::max(milliseconds(0), std::chrono::ceil<milliseconds>(deadline - SteadyClock::now()));
    }
    int ready = WaitFor(fd_, POLLIN, left);
    if (ready == 0) {
      timed_out_ = true;
      return Status(StatusCode::kPeerLost, "no answer within " + std::to_string(timeout.count()) + " ms");
    }
    char chunk[16384];
    ssize_t got = ready > 0 ? recv(fd_, chunk, sizeof(chunk), MSG_DONTWAIT) : -1;
    if (got > 0) {
      buffer_.append(chunk, static_cast<size_t>(got));
    } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
      return Status(StatusCode::kPeerLost, "the connection was closed by the other end");
    }
  }
}

}  // namespace haven::qmp
