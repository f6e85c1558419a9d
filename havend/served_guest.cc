// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/served_guest.h"

#include <cerrno>
#include <filesystem>
#include <sys/stat.h>

#include "havend/log.h"

namespace haven::havend {

namespace {

using qmp::Json;
using session::BackupGuestOptions;
using session::BackupState;
using session::BackupStatus;

/// Journals and logs hold what the guest wrote: nobody else's business.
Status MakePrivateFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Status(StatusCode::kEnvironment, "cannot make " + path + ": " + error.message());
  if (chmod(path.c_str(), 0700) != 0) return Status::FromErrno(errno, "cannot protect " + path);
  return Status::Ok();
}

QemuOptions ToQemuOptions(const Config& config, const GuestConfig& guest) {
  QemuOptions options;
  options.name = guest.name;
  options.command = guest.command;
  options.ram_region = guest.ram_region;
  options.state_dir = config.GuestStateDir(guest);
  options.qmp_path = config.QmpPath(guest);
  return options;
}

BackupGuestOptions ToBackupOptions(const Config& config, const GuestConfig& guest) {
  BackupGuestOptions options;
  options.name = guest.name;
  options.state_dir = config.GuestStateDir(guest);
  options.ram_region = guest.ram_region;
  options.disks = guest.disks;
  options.disk_ack = guest.disk_ack;
  options.create = guest.create;
  options.auto_promote = guest.auto_promote;
  options.discard_on_new_life = guest.discard_on_new_life;
  options.take_over_stuck = guest.take_over_stuck;
  options.other_machine = guest.other_machine;
  options.arbiter = guest.arbiter;
  options.deadline = guest.deadline;
  options.memory_limit_bytes = guest.memory_limit_bytes;
  options.journal_limit_bytes = guest.journal_limit_bytes;
  options.share_group = guest.share;
  return options;
}

XlOptions ToXlOptions(const Config& config, const GuestConfig& guest) {
  XlOptions options;
  options.name = guest.name;
  options.config_path = guest.xl_config;
  options.trial = guest.trial;
  options.state_dir = config.GuestStateDir(guest);
  options.log = [](const std::string& line) { Log(line); };
  return options;
}

std::string And(const std::string& message, const std::string& more) {
  return message.empty() || more.empty() ? message + more : message + "; " + more;
}

}  // namespace

ServedGuest::ServedGuest(const Config& config, const GuestConfig& guest, memrep::PageStores& page_stores)
    : config_(guest) {
  if (guest.xl_config.empty()) {
    qemu_ = std::make_unique<QemuProcess>(ToQemuOptions(config, guest));
  } else {
    xl_ = std::make_unique<XlReceiver>(ToXlOptions(config, guest));
  }
  usable_ = Start(config, page_stores);
}

ServedGuest::ServedGuest(const GuestConfig& guest, const Status& why) : config_(guest), usable_(why) {}

Status ServedGuest::Start(const Config& config, memrep::PageStores& page_stores) {
  HAVEN_RETURN_IF_ERROR(MakePrivateFolder(config.GuestStateDir(config_)));
  HAVEN_RETURN_IF_ERROR(qemu_ ? qemu_->Recover() : xl_->Recover());
  BackupGuestOptions options = ToBackupOptions(config, config_);
  options.page_stores = &page_stores;
  backup_ = std::make_unique<session::BackupGuest>(options, activator());
  // A guest that runs here owns its disks: nothing may be applied to them.
  if (!activator().Running()) {
    // Its next primary is told the same.
    const Status recovered = backup_->Recover();
    if (!recovered.ok()) Log("guest " + name() + ": " + recovered.message());
  }
  return Status::Ok();
}

Status ServedGuest::Retire() {
  if (backup_) HAVEN_RETURN_IF_ERROR(backup_->Retire());
  std::lock_guard<std::mutex> lock(mutex_);
  retired_ = true;
  return Status::Ok();
}

bool ServedGuest::retired() {
  std::lock_guard<std::mutex> lock(mutex_);
  return retired_;
}

void ServedGuest::SetNote(const std::string& note) {
  std::lock_guard<std::mutex> lock(mutex_);
  note_ = note;
}

BackupStatus ServedGuest::Query(bool with_guest) {
  if (backup_) return with_guest ? backup_->QueryWithGuest() : backup_->Query();
  BackupStatus status;
  status.state = BackupState::kFailed;
  status.message = usable_.message() + "; mend it, then run haven reload";
  return status;
}

Json ServedGuest::ToJson() {
  const BackupStatus status = Query(true);
  const pid_t pid = qemu_ ? qemu_->RunningPid() : 0;
  std::string note;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    note = note_;
  }
  Json json = Json::Object();
  json.Set("name", name()).Set("role", "backup").Set("state", session::BackupStateName(status.state));
  json.Set("epoch", status.epoch).Set("message", And(status.message, note)).Set("primary", status.primary);
#define HAVEN_SET(name, unit, meaning) json.Set(#name, status.name);
  HAVEN_BACKUP_FIGURES(HAVEN_SET)
#undef HAVEN_SET
  json.Set("generation", status.generation).Set("newer", status.newer).Set("run_state", status.run_state);
  json.Set("pid", static_cast<int64_t>(pid));
  return json;
}

void ServedGuest::LogChange() {
  const BackupStatus now = Query(false);
  if (now.state == logged_state_ && now.message == logged_message_) return;
  logged_state_ = now.state;
  logged_message_ = now.message;
  std::string line = "guest " + name() + ": " + session::BackupStateName(now.state);
  if (!now.primary.empty()) line += ", primary " + now.primary;
  if (now.epoch != kSyncEpoch) line += ", epoch " + std::to_string(now.epoch);
  if (now.state == BackupState::kPromoted && now.failover_ms != 0) {
    line += ", " + std::to_string(now.failover_ms) + " ms after the decision";
  }
  Log(now.message.empty() ? line : line + ": " + now.message);
}

}  // namespace haven::havend
