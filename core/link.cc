// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/link.h"

#include <algorithm>
#include <cerrno>

#include "core/assert.h"
#include "core/crc32c.h"

namespace haven {
namespace {

constexpr size_t kMaxIov = 512;

Status PeerLost(const std::string& why) { return {StatusCode::kPeerLost, why}; }

/// @param timeout  negative: for ever.
Instant DeadlineOf(Clock& clock, milliseconds timeout) { return timeout.count() < 0 ? kNever : clock.Now() + timeout; }

}  // namespace

Link::Link(std::unique_ptr<Transport> transport, Clock& clock) : transport_(std::move(transport)), clock_(clock) {}

Link::Link(int fd, Clock& clock) : Link(TransportOver(fd, clock), clock) {}

Link::~Link() { Close(); }

Result<std::unique_ptr<Link>> Link::Connect(const std::string& host, const std::string& port, milliseconds timeout,
                                            Clock& clock, Dialer& dialer) {
  auto transport = dialer.Dial(host, port, DeadlineOf(clock, timeout), clock);
  if (!transport.ok()) return transport.status();
  return std::make_unique<Link>(std::move(transport.value()), clock);
}

Status Link::Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) {
  wire::Header header;
  header.type = type;
  header.optional = wire::IsOptional(type);
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
  return WriteAll(iov);
}

Status Link::WriteAll(std::vector<iovec>& parts) {
  size_t at = 0;
  while (at < parts.size()) {
    if (closed_) return PeerLost("the connection was closed");
    const ssize_t n = transport_->Write(&parts[at], std::min(parts.size() - at, kMaxIov));
    if (n == -EAGAIN) {
      // Close() ends the wait.
      if (transport_->Wait(Transport::For::kWrite, DeadlineOf(clock_, milliseconds(send_timeout_ms_)))) continue;
      Close();  // half a record may be out: nothing can follow it
      return PeerLost("the peer has stopped to take what is sent");
    }
    if (n == -EINTR) continue;
    if (n < 0) return PeerLost(Status::FromErrno(static_cast<int>(-n), "cannot send").message());
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
    const ssize_t n = transport_->Read(out, bytes);
    if (n == 0) return PeerLost("the peer closed the connection");
    if (n == -EAGAIN) {
      if (transport_->Wait(Transport::For::kRead, deadline)) continue;
      return PeerLost("the peer did not answer in time");
    }
    if (n == -EINTR) continue;
    if (n < 0) return PeerLost(Status::FromErrno(static_cast<int>(-n), "cannot receive").message());
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
  if (!closed_.exchange(true)) transport_->Shutdown();
}

void SendError(RecordSender& link, wire::Error code, const std::string& message) {
  Bytes body = wire::Encode(wire::ErrorBody{code, message});
  Status ignored = link.Send(wire::Type::kError, 0, body);
  (void)ignored;
}

}  // namespace haven
