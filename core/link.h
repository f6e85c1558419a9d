/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_LINK_H
#define HAVEN_CORE_LINK_H

#include <atomic>
#include <memory>
#include <string>
#include <sys/uio.h>

#include "core/threads.h"
#include "core/clock.h"
#include "core/records.h"
#include "core/tcp.h"

namespace haven {

/// One record as it came: the header and its body, whose CRC was checked.
struct Record {
  wire::Header header;
  Bytes body;
};

/// Takes records on their way to the peer. Implemented by Link and by tests.
class RecordSender {
 public:
  virtual ~RecordSender() = default;
  /// Any thread. The body is the concatenation of `parts`.
  /// @return kPeerLost when the connection is gone.
  virtual Status Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) = 0;

  /// What the connection carries, in octets a second, as acknowledgements have shown lately: how long Send()
  /// takes does not tell, while there is room in the socket's buffer. Any thread. 0: unknown.
  virtual uint64_t DeliveryRate() const { return 0; }

  Status Send(wire::Type type, Epoch epoch, ByteSpan body) {
    return Send(type, epoch, std::span<const ByteSpan>(&body, 1));
  }
};

/// A connection that carries records. Blocking calls: one thread may
/// receive while others send; Close() from any thread ends both at once.
class Link : public RecordSender {
 public:
  /// @param clock  of its deadlines; outlives it.
  explicit Link(std::unique_ptr<Transport> transport, Clock& clock = MonotonicClock());
  /// Takes over a connected stream socket.
  explicit Link(int fd, Clock& clock = MonotonicClock());
  ~Link() override;
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  /// Connects within `timeout`. @param host  name or address, @param port  number or service.
  static Result<std::unique_ptr<Link>> Connect(const std::string& host, const std::string& port, milliseconds timeout,
                                               Clock& clock = MonotonicClock(), Dialer& dialer = TcpDialer());

  using RecordSender::Send;
  Status Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) override;
  uint64_t DeliveryRate() const override { return transport_->DeliveryRate(); }

  /// Waits for the next record and checks header, sequence and CRC. Records
  /// of an unknown optional type are passed over.
  /// @param record  its body's memory is used again.
  /// @param timeout  negative: for ever; else kPeerLost when nothing whole came in time.
  /// @return kPeerLost at the end of the stream, kProtocol on bad octets.
  Status Receive(Record& record, milliseconds timeout = milliseconds(-1));

  /// A Send during which the peer takes no octet for so long fails and closes
  /// the link: who never reads could otherwise stop a sender for ever.
  /// @param timeout  negative (the default): for ever. Any thread.
  void SetSendTimeout(milliseconds timeout);

  /// Wakes and fails every Send and Receive. Any thread, any number of times.
  void Close();

  Clock& clock() const { return clock_; }
  /// "address:port" of the peer, for people.
  std::string PeerName() const { return transport_->PeerName(); }

 private:
  Status ReadExactly(uint8_t* out, size_t bytes, Instant deadline);
  Status WriteAll(std::vector<iovec>& parts);

  const std::unique_ptr<Transport> transport_;
  Clock& clock_;
  std::atomic<bool> closed_{false};
  std::atomic<int> send_timeout_ms_{-1};
  Mutex send_mutex_;  ///< keeps records whole; held across the write of one record
  uint32_t send_sequence_ = 0;
  uint32_t receive_sequence_ = 0;
};

/// Sends an ERROR record that says why the session ends; failure is ignored.
void SendError(RecordSender& link, wire::Error code, const std::string& message);

}  // namespace haven

#endif
