// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/link.h"

#include <cerrno>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/assert.h"
#include "core/crc32c.h"

namespace haven {
namespace {

constexpr size_t kMaxIov = 512;

Status PeerLost(const std::string& why) { return {StatusCode::kPeerLost, why}; }

/// @param timeout  negative: for ever.
Instant DeadlineOf(Clock& clock, milliseconds timeout) { return timeout.count() < 0 ? kNever : clock.Now() + timeout; }

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

}  // namespace

Link::Link(int fd, Clock& clock) : fd_(fd), clock_(clock) {
  int on = 1;
  // Fails harmlessly on the socket pairs that tests use.
  (void)setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Link::~Link() {
  Close();
  close(fd_);
}

Result<std::unique_ptr<Link>> Link::Connect(const std::string& host, const std::string& port, milliseconds timeout,
                                            Clock& clock) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  std::string where = host + ":" + port;
  if (int code = getaddrinfo(host.c_str(), port.c_str(), &hints, &list)) {
    return Status(StatusCode::kEnvironment, "cannot resolve " + where + ": " + gai_strerror(code));
  }
  Instant deadline = DeadlineOf(clock, timeout);
  int result = -EADDRNOTAVAIL;
  for (addrinfo* a = list; a != nullptr && result < 0; a = a->ai_next) {
    result = ConnectOne(*a, deadline, clock);
  }
  freeaddrinfo(list);
  if (result < 0) return PeerLost(Status::FromErrno(-result, "cannot connect to " + where).message());
  return std::make_unique<Link>(result, clock);
}

Status Link::Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) {
  wire::Header header;
  header.type = type;
  header.epoch = epoch;
  std::vector<iovec> iov(1);
  size_t body_bytes = 0;
  for (ByteSpan part : parts) {
    if (part.empty()) continue;
    header.body_crc = Crc32c(part, header.body_crc);
    body_bytes += part.size();
    iov.push_back({const_cast<uint8_t*>(part.data()), part.size()});
  }
  HAVEN_ASSERT(body_bytes <= wire::kMaxBodyBytes);
  header.body_bytes = static_cast<uint32_t>(body_bytes);

  std::lock_guard lock(send_mutex_);
  header.sequence = send_sequence_++;
  Bytes head;
  head.reserve(wire::kHeaderBytes);
  wire::EncodeHeader(header, head);
  iov[0] = {head.data(), head.size()};
  HAVEN_RETURN_IF_ERROR(WriteAll(iov));
  sent_bytes_.fetch_add(wire::kHeaderBytes + body_bytes, std::memory_order_relaxed);
  return Status::Ok();
}

uint64_t Link::DeliveryRate() const {
  tcp_info info{};
  socklen_t size = sizeof(info);
  // Fails on the socket pairs that tests use. An older kernel fills in less: zeros stay.
  if (getsockopt(fd_, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_delivery_rate;
}

Status Link::WriteAll(std::vector<iovec>& parts) {
  size_t at = 0;
  while (at < parts.size()) {
    if (closed_) return PeerLost("the connection was closed");
    msghdr message{};
    message.msg_iov = &parts[at];
    message.msg_iovlen = std::min(parts.size() - at, kMaxIov);
    ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      // Close() shuts the socket down, which ends the wait.
      if (clock_.WaitForFd(fd_, POLLOUT, DeadlineOf(clock_, milliseconds(send_timeout_ms_)))) continue;
      Close();  // half a record may be out: nothing can follow it
      return PeerLost("the peer has stopped to take what is sent");
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PeerLost(Status::FromErrno(errno, "cannot send").message());
    auto left = static_cast<size_t>(n);
    while (at < parts.size() && left >= parts[at].iov_len) left -= parts[at++].iov_len;
    if (at < parts.size()) {
      parts[at].iov_base = static_cast<uint8_t*>(parts[at].iov_base) + left;
      parts[at].iov_len -= left;
    }
  }
  return Status::Ok();
}

Status Link::ReadExactly(uint8_t* out, size_t bytes, Instant deadline) {
  while (bytes > 0) {
    if (closed_) return PeerLost("the connection was closed");
    ssize_t n = recv(fd_, out, bytes, MSG_DONTWAIT);
    if (n == 0) return PeerLost("the peer closed the connection");
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      if (clock_.WaitForFd(fd_, POLLIN, deadline)) continue;
      return PeerLost("the peer did not answer in time");
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PeerLost(Status::FromErrno(errno, "cannot receive").message());
    out += n;
    bytes -= static_cast<size_t>(n);
  }
  return Status::Ok();
}

Status Link::Receive(Record& record, milliseconds timeout) {
  Instant deadline = DeadlineOf(clock_, timeout);
  while (true) {
    uint8_t head[wire::kHeaderBytes];
    HAVEN_RETURN_IF_ERROR(ReadExactly(head, sizeof(head), deadline));
    auto header = wire::DecodeHeader(head);
    if (!header.ok()) return header.status();
    record.header = header.value();
    if (record.header.sequence != receive_sequence_++) {
      return {StatusCode::kProtocol, "a record is missing or was sent twice"};
    }
    record.body.resize(record.header.body_bytes);
    HAVEN_RETURN_IF_ERROR(ReadExactly(record.body.data(), record.body.size(), deadline));
    if (Crc32c(record.body) != record.header.body_crc) {
      return {StatusCode::kProtocol, "the checksum of a record's body is wrong"};
    }
    if (wire::IsKnownType(record.header.type)) return Status::Ok();
  }
}

void Link::SetSendTimeout(milliseconds timeout) { send_timeout_ms_ = static_cast<int>(timeout.count()); }

void Link::Close() {
  if (!closed_.exchange(true)) shutdown(fd_, SHUT_RDWR);
}

std::string Link::PeerName() const {
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

void SendError(RecordSender& link, wire::Error code, const std::string& message) {
  Bytes body = wire::Encode(wire::ErrorBody{code, message});
  Status ignored = link.Send(wire::Type::kError, 0, body);
  (void)ignored;
}

}  // namespace haven
