/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_CONTROL_SOCKET_H
#define HAVEN_HAVEND_CONTROL_SOCKET_H

#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "core/status.h"
#include "havend/connections.h"
#include "qmp/json.h"

namespace haven::havend {

/// What can be asked and ordered. Any thread, several at once.
class ControlTarget {
 public:
  virtual ~ControlTarget() = default;
  /// An array with one object for each guest.
  virtual qmp::Json QueryGuests() = 0;
  /// What this daemon has of what is limited, and these limits.
  virtual qmp::Json QuerySelf() = 0;
  /// Promotes; blocks until the guest runs. @return the guest's object.
  virtual Result<qmp::Json> Failover(const std::string& guest, bool force) = 0;
  /// Boots it from its replicas; blocks until it runs. @return the guest's object.
  virtual Result<qmp::Json> FailoverCold(const std::string& guest, bool force) = 0;
  /// A person's words, see BackupGuest.
  virtual Status Discard(const std::string& guest) = 0;
  virtual Status Adopt(const std::string& guest) = 0;
  /// For people. @param cold  what FailoverCold() loses; else what is here.
  virtual Result<std::string> Describe(const std::string& guest, bool cold) = 0;
  /// Has the primary hand the guest over; blocks until it runs here.
  /// @return the guest's object.
  virtual Result<qmp::Json> HandOver(const std::string& guest) = 0;
  /// Reads the configuration again. @return {"done":[TEXT...],"not_done":[TEXT...]}.
  virtual Result<qmp::Json> Reload() = 0;
};

/// Carries out one request of the control protocol.
/// @param line  one JSON object: {"command":"status"}, {"command":"reload"},
///              {"command":"failover","guest":NAME,"force":BOOL} or
///              {"command":"handover","guest":NAME}, "discard" or "adopt"; with "describe":true
///              the last two, and failover with "cold":true, only say what that would throw away
/// @return one JSON object on one line: {"ok":true,...} or {"ok":false,"error":...}
std::string HandleControlLine(ControlTarget& target, const std::string& line);

/// The protocol on a local socket that only havend's user may open.
class ControlSocket {
 public:
  /// @return kRefused when another havend answers on this path.
  static Result<std::unique_ptr<ControlSocket>> Open(const std::string& path, ControlTarget& target);
  ~ControlSocket();

 private:
  ControlSocket(std::string path, int listen_fd, ControlTarget& target);
  void Serve(int fd);
  std::string Answer(const std::string& line);

  const std::string path_;
  ControlTarget& target_;
  std::mutex mutex_;
  bool stopped_ = false;  ///< under mutex_
  std::set<int> open_;    ///< under mutex_: connections that are served
  std::unique_ptr<Connections> connections_;
};

}  // namespace haven::havend

#endif
