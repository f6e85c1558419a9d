// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_situation.h"

#include <utility>

#include "core/failpoint.h"

namespace haven::session {
namespace {

/// For how many of the backup's deadlines the primary's main thread may get nowhere.
constexpr int kStuckDeadlines = 5;

}  // namespace

BackupSituation::BackupSituation(BackupGuestOptions options_in, Activator& activator_in)
    : options(std::move(options_in)),
      activator(activator_in),
      ledger({options.name, options.disks, options.create}, options.state_dir) {}

void BackupSituation::SetState(BackupState to, const std::string& why) {
  std::lock_guard lock(mutex);
  state = to;
  message = why;
}

Status BackupSituation::RefuseWhileInUse() {
  if (activator.Running()) return Refused("guest " + options.name + " runs here: shut it down first");
  std::lock_guard lock(mutex);
  if (connection) {
    return Refused("guest " + options.name + " has a session with its primary " + connection->peer() +
                   ": run haven unprotect there first");
  }
  if (shutting_down)
    return Refused("guest " + options.name + " is given up here: its configuration changes, or havend ends");
  if (state == BackupState::kPromoting) return Refused("guest " + options.name + " is being started here");
  return Status::Ok();
}

bool BackupSituation::HoldsCheckpoint() const {
  return HasCommitted() && !(connection && connection->has_store()) &&
         (state == BackupState::kPrimaryLost || state == BackupState::kPromoting || state == BackupState::kFailed);
}

bool BackupSituation::PrimaryStuck() const {
  if (BreakRequested("stuck-unseen")) return false;
  return connection && state == BackupState::kProtecting &&
         milliseconds(primary_says.stalled_ms) >= kStuckDeadlines * options.deadline;
}

wire::GuestRun BackupSituation::Run() const {
  if (connection && connection->has_store()) return primary_says.run;
  return HasCommitted() ? store->image().guest_run() : wire::GuestRun::kUnknown;
}

void BackupSituation::StandDown(const std::string& why) {
  if (!listening || heard) return;
  heard = true;
  message = "not promoted: " + why;
  changed.notify_all();
}

Status BackupSituation::RefuseIfPrimaryAlone() const {
  auto record = ledger.Read();
  if (!record.ok()) return record.status();
  if (record.value().primary_alone_s == 0) return Status::Ok();
  return Refused("the primary of guest " + options.name + " runs it without a backup since " +
                 DescribeTime(record.value().primary_alone_s) + "; end it there first, then say --force");
}

std::string DescribeStuck(const wire::Liveness& liveness) {
  return "the primary answers, but its device model has made no progress for " +
         std::to_string(liveness.stalled_ms / 1000) +
         " s, and takes no checkpoints: a disk of the guest, or what it is on, may hang";
}

}  // namespace haven::session
