/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_LISTENER_H
#define HAVEN_HAVEND_LISTENER_H

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "core/link.h"
#include "havend/connections.h"

namespace haven::havend {

/// Takes the connections of primaries: reads the HELLO of each within a few
/// seconds and passes it on. What comes from the network is hostile.
class Listener {
 public:
  /// Gets a connection whose first record was this HELLO. Any thread.
  /// @return false when the guest is not known; then nothing was taken.
  using Attach = std::function<bool(std::unique_ptr<Link>& link, const wire::Hello& hello)>;

  /// Takes over a listening socket. @param timeout  for the whole HELLO.
  /// @param clock  of all connections; outlives them.
  Listener(int listen_fd, milliseconds timeout, Attach attach, Clock& clock = MonotonicClock());
  /// Ends the connections that were not passed on.
  ~Listener();

 private:
  void Greet(int fd);

  const milliseconds timeout_;
  const Attach attach_;
  Clock& clock_;
  std::mutex mutex_;
  bool stopped_ = false;     ///< under mutex_
  std::set<Link*> waiting_;  ///< under mutex_: connections before their HELLO
  std::unique_ptr<Connections> connections_;
};

/// A listening TCP socket. @return kEnvironment naming host and port.
Result<int> ListenTcp(const std::string& host, const std::string& port);

}  // namespace haven::havend

#endif
