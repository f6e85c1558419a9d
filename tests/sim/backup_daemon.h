/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_BACKUP_DAEMON_H
#define HAVEN_TESTS_SIM_BACKUP_DAEMON_H

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "session/backup_guest.h"
#include "tests/sim/met.h"
#include "tests/sim/model_state.h"
#include "tests/sim/world.h"

namespace haven::sim {

/// The process that havend is: takes the connections of the other host's device model, and starts the guest.
class BackupDaemon final : private session::Activator {
 public:
  static void SwitchOn(World& world, Host& host);

  BackupDaemon(World& world, Process& process) : world_(world), process_(process) {}

  Process& process() const { return process_; }
  /// A person's order, on a thread of its own. @param order  its name.
  void Order(const std::string& order, std::function<Status(session::BackupGuest& guest)> act);
  /// For so long: whether it says of the primary that it is stuck when it is, and only then, and takes over if it may.
  void WatchStuck(Duration time);
  /// As by SIGTERM.
  void End();
  /// Persons who wait for an answer.
  unsigned orders() const { return orders_; }
  /// What it does, as far as it has told.
  HostState state() const { return state_; }

 private:
  void Start();
  void Accept(std::unique_ptr<Transport> transport);
  void Use(const std::function<void(session::BackupGuest& guest)>& use);

  Status MayStart() override;
  Status Prepare(const memrep::GuestImage& image) override;
  std::string Machine() override { return kModelMachine; }
  Status TryLoad(const memrep::GuestImage& image) override;
  Status Activate(const memrep::GuestImage& image) override;
  Status Boot() override;
  void Committed(const memrep::GuestImage& image) override;
  void Discard() override;
  bool Running() override;

  World& world_;
  Process& process_;
  HostState state_ = HostState::kWaiting;
  bool ending_ = false;
  std::mutex guest_lock_;  ///< who makes the guest comes before those who use it, and they before who ends it
  std::unique_ptr<session::BackupGuest> guest_;
  unsigned orders_ = 0;
  unsigned busy_ = 0;  ///< threads that use guest_
};

}  // namespace haven::sim

#endif
