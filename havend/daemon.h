/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_DAEMON_H
#define HAVEN_HAVEND_DAEMON_H

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "havend/config.h"
#include "havend/control_socket.h"
#include "havend/guest_table.h"
#include "havend/listener.h"
#include "session/backup_guest.h"

namespace haven::havend {

/// All of havend but its command line and signals. Made, polled and ended by
/// one thread; the sockets' threads call into it.
class Daemon : private ControlTarget {
 public:
  /// Makes the folders, ends or finds what an earlier havend left, listens.
  static Result<std::unique_ptr<Daemon>> Start(const Config& config);
  /// Takes no more connections, ends the sessions and the processes that
  /// wait; guests that run go on.
  ~Daemon() override;

  /// Logs the state changes since the last call.
  void LogChanges();
  /// Reads the configuration's file again and has as much of it as can be now. Any thread; what came of it is logged.
  /// @return {"done":[TEXT...],"not_done":[TEXT...]}; kInvalid or kEnvironment: the file is wrong, and nothing has
  /// changed.
  Result<qmp::Json> Reload() override;

 private:
  explicit Daemon(const Config& config);
  Status LockStateDir();
  /// In the place of the one of that name, if there is one, or behind the others. One that cannot be used leaves the
  /// others their backup.
  void PutGuest(const GuestConfig& guest, const Status& may_be_used);
  /// @return kInvalid: there is none of that name; kEnvironment: it cannot be used, and why.
  Result<GuestTable::Lease> Find(const std::string& name);
  Status Attach(std::unique_ptr<Link>& link, const wire::Hello& hello);

  qmp::Json QueryGuests() override;
  qmp::Json QuerySelf() override;
  Result<qmp::Json> Failover(const std::string& guest, bool force) override;
  Result<qmp::Json> HandOver(const std::string& guest) override;
  Result<qmp::Json> FailoverCold(const std::string& guest, bool force) override;
  Status Discard(const std::string& guest) override;
  Status Adopt(const std::string& guest) override;
  Result<std::string> Describe(const std::string& guest, bool cold) override;
  /// Carries out an order, and logs it and what came of it.
  Result<GuestTable::Lease> Order(const std::string& name, const char* what,
                                  const std::function<Status(session::BackupGuest&)>& order);
  /// ... one that has the guest run here. @return its object.
  Result<qmp::Json> Promote(const std::string& name, const char* what,
                            const std::function<Status(session::BackupGuest&)>& order);

  const Config config_;  ///< as havend was started with; guests may be others since
  int lock_fd_ = -1;
  memrep::PageStores page_stores_;
  GuestTable guests_;
  std::mutex reload_mutex_;  ///< one at a time
  std::unique_ptr<ControlSocket> control_;
  std::mutex listener_mutex_;           ///< the control socket is there before the listener, and after it
  std::unique_ptr<Listener> listener_;  ///< under listener_mutex_
};

}  // namespace haven::havend

#endif
