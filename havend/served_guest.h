/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_SERVED_GUEST_H
#define HAVEN_HAVEND_SERVED_GUEST_H

#include <memory>
#include <mutex>
#include <string>

#include "havend/config.h"
#include "havend/qemu_process.h"
#include "havend/xl/xl_receiver.h"
#include "qmp/json.h"
#include "session/backup_guest.h"

namespace haven::havend {

/// One guest that this daemon is the backup of: what keeps its copy, and what will run it here.
class ServedGuest {
 public:
  /// Ends or finds what an earlier havend has left of it. One that cannot be used says why in usable().
  /// @param config  of the daemon. @param page_stores  outlive this.
  ServedGuest(const Config& config, const GuestConfig& guest, memrep::PageStores& page_stores);
  /// One that cannot be used. @param why  not Ok.
  ServedGuest(const GuestConfig& guest, const Status& why);

  // Any thread.
  const std::string& name() const { return config_.name; }
  const GuestConfig& config() const { return config_; }
  const Status& usable() const { return usable_; }
  /// @pre usable().
  session::BackupGuest& backup() { return *backup_; }

  /// It is to make way: from here on nothing begins. Any thread.
  /// @return kRefused with the reason why it has to stay, and all is as before.
  Status Retire();
  /// Whether it was retired. Any thread.
  bool retired();

  /// For haven status. @param note  what else is to be known of it, behind the message. Any thread.
  void SetNote(const std::string& note);
  qmp::Json ToJson();
  /// Logs what has changed since the last call. One thread.
  void LogChange();

 private:
  session::Activator& activator() { return qemu_ ? static_cast<session::Activator&>(*qemu_) : *xl_; }
  Status Start(const Config& config, memrep::PageStores& page_stores);
  session::BackupStatus Query(bool with_guest);

  const GuestConfig config_;
  // One of the two; outlives `backup_`.
  std::unique_ptr<QemuProcess> qemu_;
  std::unique_ptr<XlReceiver> xl_;
  std::unique_ptr<session::BackupGuest> backup_;  ///< none: see `usable_`
  Status usable_;

  session::BackupState logged_state_ = session::BackupState::kWaiting;
  std::string logged_message_;

  std::mutex mutex_;  ///< guards what follows
  std::string note_;
  bool retired_ = false;
};

}  // namespace haven::havend

#endif
