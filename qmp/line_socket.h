/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_QMP_LINE_SOCKET_H
#define HAVEN_QMP_LINE_SOCKET_H

#include <string>

#include "core/clock.h"
#include "core/status.h"

namespace haven::qmp {

/// A local stream socket that carries one line per message. One thread.
class LineSocket {
 public:
  /// Takes over a connected socket.
  explicit LineSocket(int fd) : fd_(fd) {}
  ~LineSocket();
  LineSocket(LineSocket&& other) noexcept;
  LineSocket(const LineSocket&) = delete;

  /// @return kEnvironment, naming the path, when nobody listens there.
  static Result<LineSocket> Connect(const std::string& path);

  /// Sends `line` and a line feed, and with it a copy of the descriptor
  /// `attached` unless that is -1. @return kPeerLost when the other end is gone
  /// or takes nothing for 10 s.
  Status Write(const std::string& line, int attached = -1);

  /// The next line without its line feed.
  /// @param timeout  negative: for ever.
  /// @return kPeerLost at the end or when no line came in time (the message
  ///         says which), kProtocol when the line is longer than kMaxLineBytes.
  Result<std::string> Read(milliseconds timeout);

  bool timed_out() const { return timed_out_; }  ///< of the last Read()

  static constexpr size_t kMaxLineBytes = 16u << 20;

 private:
  int fd_;
  bool timed_out_ = false;
  std::string buffer_;   ///< received, not yet returned
  size_t searched_ = 0;  ///< of buffer_, without a line feed
};

}  // namespace haven::qmp

#endif
