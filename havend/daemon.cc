/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/daemon.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "havend/log.h"
#include "havend/xl/xl_receiver.h"

namespace haven::havend {

namespace {

using qmp::Json;
using session::BackupGuestOptions;
using session::BackupState;
using session::BackupStatus;

/// A HELLO is one small packet; a primary sends it at once.
constexpr milliseconds kHelloTimeout{5000};
constexpr milliseconds kLockPatience{3000};
constexpr milliseconds kLockRetry{50};

Status MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Status(StatusCode::kEnvironment, "cannot make " + path + ": " + error.message());
  return Status::Ok();
}

/// Journals and logs hold what the guest wrote: nobody else's business.
Status MakePrivateFolder(const std::string& path) {
  HAVEN_RETURN_IF_ERROR(MakeFolder(path));
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
  options.other_machine = guest.other_machine;
  options.arbiter = guest.arbiter;
  options.deadline = guest.deadline;
  options.memory_limit_bytes = guest.memory_limit_bytes;
  options.share_group = guest.share;
  return options;
}

XlOptions ToXlOptions(const Config& config, const GuestConfig& guest) {
  XlOptions options;
  options.name = guest.name;
  options.config_path = guest.xl_config;
  options.state_dir = config.GuestStateDir(guest);
  options.log = [](const std::string& line) { Log(line); };
  return options;
}

}  // namespace

struct Daemon::Guest {
  Guest(const Config& config, const GuestConfig& guest) : name(guest.name) {
    if (guest.xl_config.empty()) {
      qemu = std::make_unique<QemuProcess>(ToQemuOptions(config, guest));
    } else {
      xl = std::make_unique<XlReceiver>(ToXlOptions(config, guest));
    }
  }

  session::Activator& activator() { return qemu ? static_cast<session::Activator&>(*qemu) : *xl; }
  Status Recover() { return qemu ? qemu->Recover() : xl->Recover(); }

  const std::string name;
  // One of the two; outlives `backup`.
  std::unique_ptr<QemuProcess> qemu;
  std::unique_ptr<XlReceiver> xl;
  std::unique_ptr<session::BackupGuest> backup;  ///< none: see `unusable`
  Status unusable = Status::Ok();                ///< why it could not be started
  BackupState logged_state = BackupState::kWaiting;
  std::string logged_message;

  BackupStatus Query(bool with_guest);
  Json ToJson();
};

BackupStatus Daemon::Guest::Query(bool with_guest) {
  if (backup) return with_guest ? backup->QueryWithGuest() : backup->Query();
  BackupStatus status;
  status.state = BackupState::kFailed;
  status.message = unusable.message() + "; mend it and restart havend";
  return status;
}

Json Daemon::Guest::ToJson() {
  const BackupStatus status = Query(true);
  const pid_t pid = qemu ? qemu->RunningPid() : 0;
  Json json = Json::Object();
  json.Set("name", name).Set("role", "backup").Set("state", session::BackupStateName(status.state));
  json.Set("epoch", status.epoch).Set("message", status.message).Set("primary", status.primary);
#define HAVEN_SET(name, unit, meaning) json.Set(#name, status.name);
  HAVEN_BACKUP_FIGURES(HAVEN_SET)
#undef HAVEN_SET
  json.Set("generation", status.generation).Set("newer", status.newer);
  json.Set("pid", static_cast<int64_t>(pid));
  return json;
}

Daemon::Daemon(const Config& config)
    : config_(config), page_stores_(config.share_memory_mib * ((1u << 20) / kPageBytes)) {}

Result<std::unique_ptr<Daemon>> Daemon::Start(const Config& config) {
  // The device models that are started from here find the records of their guests by it.
  setenv("HAVEN_STATE_DIR", config.state_dir.c_str(), 1);
  std::unique_ptr<Daemon> daemon(new Daemon(config));
  HAVEN_RETURN_IF_ERROR(MakeFolder(config.state_dir));
  HAVEN_RETURN_IF_ERROR(MakeFolder(config.run_dir));
  HAVEN_RETURN_IF_ERROR(daemon->LockStateDir());
  for (const GuestConfig& guest : config.guests) {
    daemon->AddGuest(guest);
  }
  auto control = ControlSocket::Open(config.run_dir + "/havend.sock", *daemon);
  if (!control.ok()) return control.status();
  daemon->control_ = std::move(control.value());
  Result<int> listen_fd = ListenTcp(config.host, config.port);
  if (!listen_fd.ok()) return listen_fd.status();
  daemon->listener_ = std::make_unique<Listener>(
      listen_fd.value(), kHelloTimeout,
      [raw = daemon.get()](std::unique_ptr<Link>& link, const wire::Hello& hello) { return raw->Attach(link, hello); });
  return Result<std::unique_ptr<Daemon>>(std::move(daemon));
}

Daemon::~Daemon() {
  listener_.reset();
  control_.reset();
  guests_.clear();
  if (lock_fd_ >= 0) close(lock_fd_);
}

/// Two daemons on one state folder would mix up journals and end each other's processes.
Status Daemon::LockStateDir() {
  const std::string path = config_.state_dir + "/havend.lock";
  lock_fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) return Status::FromErrno(errno, "cannot open " + path);
  // One that was killed a moment ago may still be giving back a guest's memory.
  for (Instant deadline = SteadyClock::now() + kLockPatience;;) {
    if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) return Status::Ok();
    if (errno != EWOULDBLOCK) return Status::FromErrno(errno, "cannot lock " + path);
    if (SteadyClock::now() >= deadline) break;
    std::this_thread::sleep_for(kLockRetry);
  }
  return Status(StatusCode::kRefused,
                "another havend uses " + config_.state_dir + ": end it, or give this one another state-dir");
}

void Daemon::AddGuest(const GuestConfig& config) {
  guests_.push_back(std::make_unique<Guest>(config_, config));
  guests_.back()->unusable = StartGuest(*guests_.back(), config);
}

Status Daemon::StartGuest(Guest& guest, const GuestConfig& config) {
  HAVEN_RETURN_IF_ERROR(MakePrivateFolder(config_.GuestStateDir(config)));
  HAVEN_RETURN_IF_ERROR(guest.Recover());
  BackupGuestOptions options = ToBackupOptions(config_, config);
  options.page_stores = &page_stores_;
  guest.backup = std::make_unique<session::BackupGuest>(options, guest.activator());
  // A guest that runs here owns its disks: nothing may be applied to them.
  if (!guest.activator().Running()) {
    // Its next primary is told the same.
    const Status recovered = guest.backup->Recover();
    if (!recovered.ok()) Log("guest " + guest.name + ": " + recovered.message());
  }
  return Status::Ok();
}

Result<Daemon::Guest*> Daemon::Find(const std::string& name) {
  for (auto& guest : guests_) {
    if (guest->name != name) continue;
    if (!guest->unusable.ok()) return guest->unusable.With("this backup cannot take guest " + name);
    return guest.get();
  }
  return Status(StatusCode::kInvalid, "this backup's configuration has no guest named '" + name +
                                          "': add a group [guest " + name + "] there");
}

Status Daemon::Attach(std::unique_ptr<Link>& link, const wire::Hello& hello) {
  const Result<Guest*> guest = Find(hello.guest);
  if (guest.ok()) guest.value()->backup->Attach(std::move(link), hello);
  return guest.status();
}

void Daemon::LogChanges() {
  for (auto& guest : guests_) {
    const BackupStatus now = guest->Query(false);
    if (now.state == guest->logged_state && now.message == guest->logged_message) continue;
    guest->logged_state = now.state;
    guest->logged_message = now.message;
    std::string line = "guest " + guest->name + ": " + session::BackupStateName(now.state);
    if (!now.primary.empty()) line += ", primary " + now.primary;
    if (now.epoch != kSyncEpoch) line += ", epoch " + std::to_string(now.epoch);
    if (now.state == BackupState::kPromoted && now.failover_ms != 0) {
      line += ", " + std::to_string(now.failover_ms) + " ms after the decision";
    }
    Log(now.message.empty() ? line : line + ": " + now.message);
  }
}

Json Daemon::QueryGuests() {
  Json list = Json::Array();
  for (auto& guest : guests_) list.Append(guest->ToJson());
  return list;
}

Status Daemon::Order(const std::string& name, const char* what,
                     const std::function<Status(session::BackupGuest&)>& order) {
  const Result<Guest*> guest = Find(name);
  if (!guest.ok()) return guest.status();
  Log("guest " + name + ": " + what + " ordered");
  Status status = order(*guest.value()->backup);
  if (!status.ok()) Log("guest " + name + ": no " + what + ": " + status.message());
  return status;
}

Result<Json> Daemon::Failover(const std::string& name, bool force) {
  HAVEN_RETURN_IF_ERROR(
      Order(name, force ? "failover by force" : "failover", [force](auto& backup) { return backup.Failover(force); }));
  return Find(name).value()->ToJson();
}

Result<Json> Daemon::FailoverCold(const std::string& name, bool force) {
  HAVEN_RETURN_IF_ERROR(Order(name, "cold failover", [force](auto& backup) { return backup.FailoverCold(force); }));
  return Find(name).value()->ToJson();
}

Result<Json> Daemon::HandOver(const std::string& name) {
  HAVEN_RETURN_IF_ERROR(Order(name, "hand-over", [](auto& backup) { return backup.HandOver(); }));
  return Find(name).value()->ToJson();
}

Status Daemon::Discard(const std::string& name) {
  return Order(name, "discarding", [](auto& backup) { return backup.Discard(); });
}

Status Daemon::Adopt(const std::string& name) {
  return Order(name, "adoption", [](auto& backup) { return backup.Adopt(); });
}

Result<std::string> Daemon::Describe(const std::string& name, bool cold) {
  const Result<Guest*> guest = Find(name);
  if (!guest.ok()) return guest.status();
  return cold ? guest.value()->backup->DescribeColdStart() : guest.value()->backup->DescribeCopy();
}

}  // namespace haven::havend
