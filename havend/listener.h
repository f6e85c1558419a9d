/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_LISTENER_H
#define HAVEN_HAVEND_LISTENER_H

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/link.h"
#include "havend/connections.h"

namespace haven::havend {

/// Takes the connections of primaries: reads the HELLO of each within a few
/// seconds and passes it on. What comes from the network is hostile.
class Listener {
 public:
  /// Gets a connection whose first record was this HELLO. Any thread.
  /// @return not Ok: nothing was taken, and the peer is told why. kInvalid: it need not come again.
  using Attach = std::function<Status(std::unique_ptr<Link>& link, const wire::Hello& hello)>;

  /// Takes over a listening socket. @param timeout  for the whole HELLO.
  /// @param half_open_limit  of connections that have not said HELLO. @param clock  of all connections; outlives them.
  Listener(int listen_fd, milliseconds timeout, size_t half_open_limit, Attach attach, Clock& clock = MonotonicClock());
  /// Ends the connections that were not passed on.
  ~Listener();

  /// Connections that have not said HELLO now. Any thread.
  size_t half_open();

 private:
  struct Waiting {
    Link* link;
    std::string host;
  };

  void Greet(int fd);
  /// Under mutex_. One more waits; who has said nothing for longest goes if they are many.
  void AddWaiting(Link* link, const std::string& peer);

  const milliseconds timeout_;
  const size_t half_open_limit_;
  const Attach attach_;
  Clock& clock_;
  std::mutex mutex_;
  bool stopped_ = false;          ///< under mutex_
  std::vector<Waiting> waiting_;  ///< under mutex_: connections before their HELLO, the oldest first
  std::unique_ptr<Connections> connections_;
};

/// A listening TCP socket. @return kEnvironment naming host and port.
Result<int> ListenTcp(const std::string& host, const std::string& port);

}  // namespace haven::havend

#endif
