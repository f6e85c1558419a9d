/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_CONNECTIONS_H
#define HAVEN_HAVEND_CONNECTIONS_H

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "core/status.h"
#include "core/threads.h"
#include "os/interrupt.h"

namespace haven::havend {

/// Accepts connections of a listening socket and serves each on a short-lived
/// thread; never more than `limit` at once, the rest is closed unserved. When descriptors or memory are short,
/// connections wait.
class Connections {
 public:
  /// @param handler  any thread; may block; owns the descriptor that it gets. What it throws ends the one connection.
  using Handler = std::function<void(int fd)>;

  /// Takes over a listening socket. @param name  for the log.
  Connections(std::string name, int listen_fd, size_t limit, Handler handler);
  /// Accepts no more and waits for the handlers: what they wait for must have
  /// been ended before.
  ~Connections();

  /// Accepts no more. Any thread, any number of times.
  void Stop();

 private:
  void AcceptLoop();
  /// @return not Ok: others must get time to end.
  Status AcceptOne();
  void Serve(int fd);
  void Handle(int fd);
  void EndOne();
  /// Once, until a connection is served again.
  void TellShortage(const std::string& what);

  const std::string name_;
  const int listen_fd_;
  os::Interrupt stop_;
  const size_t limit_;
  const Handler handler_;
  bool short_ = false;  ///< accepting thread: the last connection could not be served
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t active_ = 0;  ///< under mutex_: handlers that run
  Thread accepter_;
};

}  // namespace haven::havend

#endif
