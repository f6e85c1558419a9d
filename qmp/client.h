/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_QMP_CLIENT_H
#define HAVEN_QMP_CLIENT_H

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "core/clock.h"
#include "core/status.h"
#include "qmp/json.h"
#include "qmp/line_socket.h"

namespace haven::qmp {

constexpr milliseconds kCommandTimeout{10000};

/// Talks QMP with one device model. Blocking; one thread at a time.
class Client {
 public:
  /// Reads the greeting and negotiates, within `timeout`.
  static Result<std::unique_ptr<Client>> Start(LineSocket socket, milliseconds timeout = kCommandTimeout);
  static Result<std::unique_ptr<Client>> Connect(const std::string& path, milliseconds timeout = kCommandTimeout);

  /// @param attached  a descriptor that goes with the command (getfd), -1: none.
  /// @return the value of "return"; kRefused with QEMU's own description when
  ///         it says "error" (see error_class()); kPeerLost when it does not answer.
  Result<Json> Execute(const std::string& command, const Json& arguments = {}, milliseconds timeout = kCommandTimeout,
                       int attached = -1);

  /// Of the last Execute() that returned kRefused, e.g. "CommandNotFound".
  const std::string& error_class() const { return error_class_; }

  /// The next event, waiting for it up to `timeout`; events that came with
  /// answers come first. @return kPeerLost as LineSocket::Read().
  Result<Json> NextEvent(milliseconds timeout);
  bool timed_out() const { return socket_.timed_out(); }

 private:
  explicit Client(LineSocket socket) : socket_(std::move(socket)) {}
  Status AwaitGreeting(Instant deadline);
  Result<Json> ReadMessage(Instant deadline);

  LineSocket socket_;
  std::deque<Json> events_;
  std::string error_class_;
  int64_t next_id_ = 1;
};

}  // namespace haven::qmp

#endif
