// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/tcp.h"

#include <cerrno>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace haven {
namespace {

class SocketTransport final : public Transport {
 public:
  SocketTransport(int fd, Clock& clock) : fd_(fd), clock_(clock) {
    int on = 1;
    // Fails harmlessly on the socket pairs that tests use.
    (void)setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  ~SocketTransport() override { close(fd_); }
  SocketTransport(const SocketTransport&) = delete;
  SocketTransport& operator=(const SocketTransport&) = delete;

  ssize_t Write(const iovec* parts, size_t count) override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = count;
    return Answer(sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
  }
  ssize_t Read(uint8_t* out, size_t bytes) override { return Answer(recv(fd_, out, bytes, MSG_DONTWAIT)); }
  bool Wait(For what, Instant until) override {
    return clock_.WaitForFd(fd_, what == For::kRead ? POLLIN : POLLOUT, until);
  }
  void Shutdown() override { shutdown(fd_, SHUT_RDWR); }
  /// As TCP measures it (tcpi_delivery_rate).
  uint64_t DeliveryRate() const override;
  std::string PeerName() const override;

 private:
  static ssize_t Answer(ssize_t n) {
    if (n >= 0) return n;
    return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  }

  const int fd_;
  Clock& clock_;
};

uint64_t SocketTransport::DeliveryRate() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  // Fails on the socket pairs that tests use. An older kernel fills in less: zeros stay.
  if (getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_delivery_rate;
}

std::string SocketTransport::PeerName() const {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof(host), port, sizeof(port),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown";
  }
  return std::string(host) + ":" + port;
}

/// Connects one address without blocking longer than `deadline`.
/// @return the socket or -errno.
int ConnectOne(const addrinfo& address, Instant deadline, Clock& clock) {
  int fd = socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int error = 0;
  if (connect(fd, address.ai_addr, address.ai_addrlen) != 0) error = errno;
  if (error == EINPROGRESS) {
    socklen_t size = sizeof(error);
    if (!clock.WaitForFd(fd, POLLOUT, deadline)) {
      error = ETIMEDOUT;
    } else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
      error = errno;
    }
  }
  if (error == 0) return fd;
  close(fd);
  return -error;
}

class Tcp final : public Dialer {
 public:
  Result<std::unique_ptr<Transport>> Dial(const std::string& host, const std::string& port, Instant until,
                                          Clock& clock) override {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    std::string where = host + ":" + port;
    if (int code = getaddrinfo(host.c_str(), port.c_str(), &hints, &list)) {
      return Status(StatusCode::kEnvironment, "cannot resolve " + where + ": " + gai_strerror(code));
    }
    int result = -EADDRNOTAVAIL;
    for (addrinfo* a = list; a != nullptr && result < 0; a = a->ai_next) {
      result = ConnectOne(*a, until, clock);
    }
    freeaddrinfo(list);
    if (result < 0) {
      return Status(StatusCode::kPeerLost, Status::FromErrno(-result, "cannot connect to " + where).message());
    }
    return TransportOver(result, clock);
  }
};

}  // namespace

std::unique_ptr<Transport> TransportOver(int fd, Clock& clock) { return std::make_unique<SocketTransport>(fd, clock); }

Dialer& TcpDialer() {
  static Tcp tcp;
  return tcp;
}

}  // namespace haven
