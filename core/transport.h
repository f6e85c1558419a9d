/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_TRANSPORT_H
#define HAVEN_CORE_TRANSPORT_H

#include <memory>
#include <string>
#include <sys/types.h>
#include <sys/uio.h>

#include "core/clock.h"
#include "core/status.h"

namespace haven {

/// What carries a Link's octets both ways, in order, until it ends. One thread reads while one writes.
class Transport {
 public:
  virtual ~Transport() = default;

  /// Takes a beginning of the parts without waiting. @return how many octets; -EAGAIN: wait; else -errno.
  virtual ssize_t Write(const iovec* parts, size_t count) = 0;
  /// What has come, without waiting. @return how many octets; 0: the end; -EAGAIN: wait; else -errno.
  virtual ssize_t Read(uint8_t* out, size_t bytes) = 0;
  /// Waits until Write() or Read() has something else to say. @return false when it had not before `until`.
  enum class For { kRead, kWrite };
  virtual bool Wait(For what, Instant until) = 0;
  /// Ends both directions, and every wait. Any thread.
  virtual void Shutdown() = 0;

  /// Octets a second, as acknowledgements have shown lately; 0: unknown. Any thread.
  virtual uint64_t DeliveryRate() const { return 0; }
  /// "address:port" of the peer, for people.
  virtual std::string PeerName() const { return "unknown"; }
};

/// How a peer is reached. Any thread.
class Dialer {
 public:
  virtual ~Dialer() = default;
  /// @param host  name or address, @param port  number or service.
  /// @param clock  of the connection; outlives it.
  /// @return kPeerLost when nobody answered before `until`; kEnvironment when the name means nothing.
  virtual Result<std::unique_ptr<Transport>> Dial(const std::string& host, const std::string& port, Instant until,
                                                  Clock& clock) = 0;
};

}  // namespace haven

#endif
