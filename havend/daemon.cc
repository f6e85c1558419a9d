/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/daemon.h"

#include <cerrno>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <thread>
#include <unistd.h>

#include "havend/log.h"
#include "havend/reload.h"
#include "os/own_use.h"

namespace haven::havend {

namespace {

using qmp::Json;

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

}  // namespace

Daemon::Daemon(const Config& config)
    : config_(config), page_stores_(config.share_memory_mib * ((1u << 20) / kPageBytes)) {}

Result<std::unique_ptr<Daemon>> Daemon::Start(const Config& config) {
  // The device models that are started from here find the records of their guests by it.
  setenv("HAVEN_STATE_DIR", config.state_dir.c_str(), 1);
  std::unique_ptr<Daemon> daemon(new Daemon(config));
  HAVEN_RETURN_IF_ERROR(MakeFolder(config.state_dir));
  HAVEN_RETURN_IF_ERROR(MakeFolder(config.run_dir));
  HAVEN_RETURN_IF_ERROR(daemon->LockStateDir());
  for (const GuestConfig& guest : config.guests) daemon->PutGuest(guest, Status::Ok());
  auto control = ControlSocket::Open(config.run_dir + "/havend.sock", *daemon);
  if (!control.ok()) return control.status();
  daemon->control_ = std::move(control.value());
  Result<int> listen_fd = ListenTcp(config.host, config.port);
  if (!listen_fd.ok()) return listen_fd.status();
  auto listener = std::make_unique<Listener>(
      listen_fd.value(), kHelloTimeout, config.half_open_limit,
      [raw = daemon.get()](std::unique_ptr<Link>& link, const wire::Hello& hello) { return raw->Attach(link, hello); });
  std::lock_guard<std::mutex> lock(daemon->listener_mutex_);
  daemon->listener_ = std::move(listener);
  return Result<std::unique_ptr<Daemon>>(std::move(daemon));
}

Daemon::~Daemon() {
  std::unique_ptr<Listener> listener;
  {
    std::lock_guard<std::mutex> lock(listener_mutex_);
    listener = std::move(listener_);
  }
  listener.reset();
  control_.reset();
  guests_.Clear();
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

void Daemon::PutGuest(const GuestConfig& guest, const Status& may_be_used) {
  guests_.Put(guest.name, [&] {
    return may_be_used.ok() ? std::make_unique<ServedGuest>(config_, guest, page_stores_)
                            : std::make_unique<ServedGuest>(guest, may_be_used);
  });
}

Result<GuestTable::Lease> Daemon::Find(const std::string& name) {
  GuestTable::Lease guest = guests_.Find(name);
  if (guest == nullptr) {
    return Status(StatusCode::kInvalid, "this backup's configuration has no guest named '" + name +
                                            "': add a group [guest " + name + "] there");
  }
  if (!guest->usable().ok()) return guest->usable().With("this backup cannot take guest " + name);
  return guest;
}

Status Daemon::Attach(std::unique_ptr<Link>& link, const wire::Hello& hello) {
  const auto guest = Find(hello.guest);
  if (guest.ok()) guest.value()->backup().Attach(std::move(link), hello);
  return guest.status();
}

void Daemon::LogChanges() {
  for (const auto& guest : guests_.All()) guest->LogChange();
}

Json Daemon::QueryGuests() {
  Json list = Json::Array();
  for (const auto& guest : guests_.All()) list.Append(guest->ToJson());
  return list;
}

Json Daemon::QuerySelf() {
  const os::OwnUse use = os::CountOwnUse();
  uint64_t half_open = 0;
  {
    std::lock_guard<std::mutex> lock(listener_mutex_);
    if (listener_) half_open = listener_->half_open();
  }
  return Json::Object()
      .Set("descriptors", use.descriptors)
      .Set("descriptors_limit", use.descriptors_limit)
      .Set("threads", use.threads)
      .Set("threads_limit", use.threads_limit)
      .Set("half_open", half_open)
      .Set("half_open_limit", uint64_t{config_.half_open_limit});
}

Result<GuestTable::Lease> Daemon::Order(const std::string& name, const char* what,
                                        const std::function<Status(session::BackupGuest&)>& order) {
  auto guest = Find(name);
  if (!guest.ok()) return guest;
  Log("guest " + name + ": " + what + " ordered");
  Status status = order(guest.value()->backup());
  if (status.ok()) return guest;
  Log("guest " + name + ": no " + what + ": " + status.message());
  return status;
}

Result<Json> Daemon::Promote(const std::string& name, const char* what,
                             const std::function<Status(session::BackupGuest&)>& order) {
  auto guest = Order(name, what, order);
  if (!guest.ok()) return guest.status();
  return guest.value()->ToJson();
}

Result<Json> Daemon::Failover(const std::string& name, bool force) {
  return Promote(name, force ? "failover by force" : "failover",
                 [force](auto& backup) { return backup.Failover(force); });
}

Result<Json> Daemon::FailoverCold(const std::string& name, bool force) {
  return Promote(name, "cold failover", [force](auto& backup) { return backup.FailoverCold(force); });
}

Result<Json> Daemon::HandOver(const std::string& name) {
  return Promote(name, "hand-over", [](auto& backup) { return backup.HandOver(); });
}

Status Daemon::Discard(const std::string& name) {
  return Order(name, "discarding", [](auto& backup) { return backup.Discard(); }).status();
}

Status Daemon::Adopt(const std::string& name) {
  return Order(name, "adoption", [](auto& backup) { return backup.Adopt(); }).status();
}

Result<std::string> Daemon::Describe(const std::string& name, bool cold) {
  const auto guest = Find(name);
  if (!guest.ok()) return guest.status();
  return cold ? guest.value()->backup().DescribeColdStart() : guest.value()->backup().DescribeCopy();
}

Result<Json> Daemon::Reload() {
  std::lock_guard<std::mutex> lock(reload_mutex_);
  Log("the configuration " + config_.file + " is read again");
  const auto put = [this](const GuestConfig& guest, const Status& may_be_used) { PutGuest(guest, may_be_used); };
  Result<Reloaded> reloaded = ReloadConfig(config_, guests_, put);
  if (!reloaded.ok()) {
    Log("nothing has changed: " + reloaded.status().message());
    return reloaded.status();
  }
  Json changes = Json::Array(), kept = Json::Array();
  for (const auto& one : reloaded.value().done) {
    Log(one);
    changes.Append(Json(one));
  }
  for (const auto& one : reloaded.value().not_done) {
    Log(one);
    kept.Append(Json(one));
  }
  return Json::Object().Set("done", changes).Set("not_done", kept);
}

}  // namespace haven::havend
