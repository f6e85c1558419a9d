/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_BACKUP_DAEMON_H
#define HAVEN_TESTS_SIM_BACKUP_DAEMON_H

#include <functional>
#include <memory>
#include <string>

#include "session/backup_guest.h"
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
  /// As by SIGTERM.
  void End();
  /// Whether a checkpoint is activated just now, or was.
  bool prepared() const { return prepared_; }

 private:
  void Start();
  void Accept(std::unique_ptr<Transport> transport);

  Status MayStart() override;
  Status Prepare(const memrep::GuestImage& image) override;
  Status Activate(const memrep::GuestImage& image) override;
  Status Boot() override;
  void Discard() override { prepared_ = false; }
  bool Running() override;

  World& world_;
  Process& process_;
  bool prepared_ = false, ending_ = false;
  std::unique_ptr<session::BackupGuest> guest_;
  unsigned busy_ = 0;  ///< threads that use guest_
};

}  // namespace haven::sim

#endif
