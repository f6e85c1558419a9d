// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/reload.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/guarded.h"

namespace haven::havend {

namespace {

const GuestConfig* Find(const Config& config, const std::string& name) {
  const auto found = std::find_if(config.guests.begin(), config.guests.end(),
                                  [&](const GuestConfig& guest) { return guest.name == name; });
  return found == config.guests.end() ? nullptr : &*found;
}

/// One reload.
class Reload {
 public:
  Reload(const Config& wanted, GuestTable& guests, const PutGuest& put) : wanted_(wanted), guests_(guests), put_(put) {}

  void KeepOptions(const Config& file);
  void Run();
  Reloaded& reloaded() { return reloaded_; }

 private:
  void KeepOption(const char* name, bool differs);
  /// What differs makes way, if it can.
  void RetireOthers();
  void Keep(ServedGuest& guest, const Status& why);
  void Put(const GuestConfig& guest);
  /// A disk may have been given to another guest, while the one that it was of stays.
  Status DisksAreFree(const GuestConfig& guest) const;

  const Config& wanted_;
  GuestTable& guests_;
  const PutGuest& put_;
  std::set<std::string> stay_, go_;           ///< names of those that are there
  std::map<std::string, std::string> disks_;  ///< path -> the guest that stays, and has it
  Reloaded reloaded_;
};

void Reload::KeepOption(const char* name, bool differs) {
  if (differs)
    reloaded_.not_done.push_back(std::string("[havend] ") + name + ": is as before until havend is restarted");
}

void Reload::KeepOptions(const Config& file) {
  KeepOption("listen", file.host != wanted_.host || file.port != wanted_.port);
  KeepOption("state-dir", file.state_dir != wanted_.state_dir);
  KeepOption("run-dir", file.run_dir != wanted_.run_dir);
  KeepOption("share-memory-mb", file.share_memory_mib != wanted_.share_memory_mib);
  KeepOption("half-open-limit", file.half_open_limit != wanted_.half_open_limit);
}

void Reload::Keep(ServedGuest& guest, const Status& why) {
  stay_.insert(guest.name());
  for (const auto& [disk, path] : guest.config().disks) disks_[path] = guest.name();
  if (why.ok()) return guest.SetNote("");
  const bool gone = Find(wanted_, guest.name()) == nullptr;
  const std::string note = std::string(gone ? "is not in " : "is another in ") + wanted_.file +
                           ", and stays as it was: " + why.message() + "; then run haven reload";
  guest.SetNote(note);
  reloaded_.not_done.push_back("guest " + guest.name() + ": " + note);
}

void Reload::RetireOthers() {
  for (const auto& guest : guests_.All()) {
    const GuestConfig* wanted = Find(wanted_, guest->name());
    const bool as_wanted = wanted != nullptr && *wanted == guest->config();
    if (as_wanted && guest->usable().ok() && !guest->retired()) {
      Keep(*guest, Status::Ok());
      continue;
    }
    const Status retired = guest->Retire();
    if (retired.ok()) {
      go_.insert(guest->name());
    } else {
      Keep(*guest, retired);
    }
  }
}

Status Reload::DisksAreFree(const GuestConfig& guest) const {
  for (const auto& [disk, path] : guest.disks) {
    const auto user = disks_.find(path);
    if (user == disks_.end()) continue;
    return Status(StatusCode::kRefused, path + " is a disk of guest " + user->second + ", which stays as it was");
  }
  return Status::Ok();
}

void Reload::Put(const GuestConfig& guest) {
  const std::string what = "guest " + guest.name + ": ";
  const Status free = DisksAreFree(guest);
  const Status put = Guarded([&] {
    put_(guest, free);
    const auto made = guests_.Find(guest.name);
    return made == nullptr ? free : made->usable();
  });
  if (guests_.Find(guest.name) == nullptr) {
    // It threw. A primary that comes is to be told that, and not that there is no such guest.
    (void)Guarded([&] {
      put_(guest, put);
      return Status::Ok();
    });
  }
  if (put.ok()) {
    reloaded_.done.push_back(what + (go_.contains(guest.name) ? "replaced" : "added"));
  } else {
    reloaded_.not_done.push_back(what + "cannot be used: " + put.message() + "; mend it, then run haven reload");
  }
}

void Reload::Run() {
  RetireOthers();
  for (const std::string& name : go_) {
    if (Find(wanted_, name) != nullptr) continue;
    guests_.Remove(name);
    reloaded_.done.push_back("guest " + name + ": removed");
  }
  for (const GuestConfig& guest : wanted_.guests) {
    if (!stay_.contains(guest.name)) Put(guest);
  }
}

}  // namespace

Result<Reloaded> ReloadConfig(const Config& running, GuestTable& guests, const PutGuest& put) {
  Result<Config> file = LoadConfig(running.file);
  if (!file.ok()) return file.status();
  Config wanted = running;
  wanted.guests = file.value().guests;
  HAVEN_RETURN_IF_ERROR(CheckTogether(wanted).With(running.file));
  Reload reload(wanted, guests, put);
  reload.KeepOptions(file.value());
  reload.Run();
  return std::move(reload.reloaded());
}

}  // namespace haven::havend
