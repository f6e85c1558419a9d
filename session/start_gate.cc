// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/start_gate.h"

#include <algorithm>

#include "blkrep/disk_bond.h"
#include "blkrep/disk_mark.h"
#include "core/guarded.h"
#include "core/random_token.h"
#include "session/arbiter.h"
#include "session/newer_wins.h"
#include "session/primary_handshake.h"
#include "session/primary_ledger.h"

namespace haven::session {
namespace {

constexpr milliseconds kAskAgain{1000};

/// A record about at least one of these disks. Where there are none, or it is about none of this
/// host's, the guest's name has to do: PV disks come only when the guest runs.
bool IsAbout(const blkrep::GuestRecord& record, const std::vector<std::string>& bonds, bool no_disks) {
  bool bound = false;
  for (const auto& disk : record.disks) {
    if (disk.bond.empty()) continue;
    bound = true;
    if (std::find(bonds.begin(), bonds.end(), disk.bond) != bonds.end()) return true;
  }
  return (!bound || no_disks) && (record.role != wire::Role::kNone || record.discarded);
}

/// A name from a disk is anybody's.
bool IsFolderName(const std::string& guest) {
  return !guest.empty() && guest[0] != '.' && guest.find('/') == std::string::npos;
}

wire::Identity IdentityAtStart(const blkrep::GuestRecord& record) {
  wire::Identity identity = record.ToIdentity();
  identity.flags = wire::kIdentityStarting;
  identity.life = RandomToken();  // none that the backup can know
  return identity;
}

}  // namespace

std::unique_ptr<StartGate> StartGate::Close(GateOptions options, Listener& listener) {
  std::vector<std::string> bonds;
  std::string marked, marked_for;  // a disk that was protected, and the guest
  for (const std::string& path : options.disks) {
    auto bond = blkrep::ReadBond(path);
    if (bond.ok()) bonds.push_back(blkrep::ToText(bond.value()));
    auto mark = blkrep::ReadMark(path);
    if (!mark.ok() || mark.value().state != blkrep::DiskMark::State::kMarked) continue;
    // The name under which it was protected need not be the one that it has now.
    options.guests.push_back(mark.value().guest);
    if (mark.value().copied) continue;
    marked = path;
    marked_for = mark.value().guest;
  }
  const auto held = [&](const std::string& guest, const std::string& why) {
    blkrep::GuestRecord unknown;
    unknown.guest = guest;
    return std::unique_ptr<StartGate>(new StartGate(options, listener, options.root + "/" + guest, unknown,
                                                    "the guest is not started: " + why +
                                                        "; to go on with this copy, run haven adopt " + guest +
                                                        " here; to throw it away, run haven discard " + guest));
  };
  for (const std::string& guest : options.guests) {
    if (!IsFolderName(guest)) continue;
    const std::string folder = options.root + "/" + guest;
    auto record = blkrep::LoadGuestRecord(folder);
    if (!record.ok()) return held(guest, record.status().message());
    if (!record.value() || !IsAbout(*record.value(), bonds, options.disks.empty())) continue;
    const bool alone = record.value()->role == wire::Role::kPrimary && record.value()->backup_host.empty();
    const bool nobodys = record.value()->role == wire::Role::kNone && !record.value()->discarded;
    if (alone || nobodys) return nullptr;
    return std::unique_ptr<StartGate>(new StartGate(options, listener, folder, *record.value(), ""));
  }
  if (!IsFolderName(marked_for)) return nullptr;
  return held(marked_for, "its disk " + marked + " was a protected disk of guest " + marked_for +
                              ", and no record in " + options.root +
                              " says how new it is (another HAVEN_STATE_DIR, or was it removed?)");
}

StartGate::StartGate(GateOptions options, Listener& listener, std::string folder, blkrep::GuestRecord record,
                     std::string damage)
    : options_(std::move(options)),
      listener_(listener),
      folder_(std::move(folder)),
      since_(options_.clock->Now()),
      record_(std::move(record)),
      message_(damage.empty() ? "it is being compared which copy of the guest is the newest" : damage),
      damaged_(!damage.empty()),
      thread_([this] { Run(); }, [this](const Status& status) { Say(status.message()); }) {}

StartGate::~StartGate() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::string StartGate::Message() {
  std::lock_guard lock(mutex_);
  return message_;
}

void StartGate::Run() {
  listener_.GateChanged(false, Message());
  while (true) {
    const Status tried = Guarded([this] {
      if (TryOnce()) TellOpen();
      return Status::Ok();
    });
    if (!tried.ok()) Say("the guest is not started: " + tried.message());
    std::unique_lock lock(mutex_);
    if (open_ || ending_) return;
    options_.clock->WaitFor(changed_, lock, kAskAgain, [this] { return open_ || ending_; });
    if (open_ || ending_) return;
  }
}

void StartGate::TellOpen() {
  changed_.notify_all();
  listener_.GateChanged(true, "");
}

void StartGate::Reload() {
  auto loaded = blkrep::LoadGuestRecord(folder_);
  if (!loaded.ok() || !loaded.value()) return;
  std::lock_guard lock(mutex_);
  record_ = std::move(*loaded.value());
  damaged_ = false;
}

bool StartGate::Ending() {
  std::lock_guard lock(mutex_);
  return ending_;
}

void StartGate::Say(const std::string& message) {
  {
    std::lock_guard lock(mutex_);
    if (message_ == message || open_) return;
    message_ = message;
  }
  listener_.GateChanged(false, message);
}

bool StartGate::TryOnce() {
  Reload();
  blkrep::GuestRecord record;
  {
    std::lock_guard lock(mutex_);
    if (damaged_ || open_) return false;
    record = record_;
  }
  const std::string adopt = "haven adopt " + record.guest;
  if (record.discarded) {
    Say("this copy of guest " + record.guest +
        " was thrown away by haven discard; to go on with it all the same, run " + adopt + " here");
    return false;
  }
  if (record.role == wire::Role::kBackup) {
    Say("these disks are the replicas of guest " + record.guest +
        ", whose backup this host is: to run it here, end this device model and run haven failover " + record.guest +
        ", or haven failover --cold " + record.guest);
    return false;
  }
  const wire::Identity mine = IdentityAtStart(record);
  ConnectOptions backup{record.guest, record.backup_host, record.backup_port, options_.deadline};
  backup.clock = options_.clock;
  backup.dialer = options_.dialer;
  auto theirs = AskBackup(backup, mine);
  if (!theirs.ok()) return DecideWithout(record, theirs.status().message());
  const Ruling ruling = RuleOnStart(mine, theirs.value());
  if (ruling == Ruling::kGo) return OpenAlone(Origin::kAlone, record);
  std::string why = Explain(ruling, record.guest, mine, theirs.value());
  if (ruling != Ruling::kBackupBusy) why += "; to go on here whatever the backup has, run " + adopt + " on the primary";
  Say("the guest is not started: " + why);
  return false;
}

bool StartGate::DecideWithout(const blkrep::GuestRecord& record, const std::string& why) {
  // Both sides knew that it had ended: nothing is there that could have been promoted by itself.
  if (record.life_ended) return OpenAlone(Origin::kAlone, record);
  const std::string backup = "the backup " + record.backup_host + " port " + record.backup_port;
  const std::string adopt =
      "to go on here whatever the backup has, run haven adopt " + record.guest + " on the primary";
  const auto waited = options_.clock->Now() - since_;
  const bool patient = waited < std::chrono::seconds(record.start_wait_s);
  if (!patient && record.on_start == blkrep::GuestRecord::OnStart::kStart) return OpenAlone(Origin::kAlone, record);
  if (!patient && record.on_start == blkrep::GuestRecord::OnStart::kArbiter) {
    Status verdict = AskArbiter(options_.arbiter.empty() ? ArbiterChoice(record.arbiter) : options_.arbiter,
                                record.guest, Hex(record.session), "primary", [this] { return Ending(); });
    if (verdict.ok()) return OpenAlone(Origin::kAlone, record);
    Say("the guest is not started: " + backup + " does not say whether its copy is newer (" + why +
        "), and the arbiter does not let this one run (" + verdict.message() + "); " + adopt);
    return false;
  }
  std::string then = "";
  if (patient && record.on_start == blkrep::GuestRecord::OnStart::kStart) then = ", then the guest is started";
  if (patient && record.on_start == blkrep::GuestRecord::OnStart::kArbiter) then = ", then the arbiter is asked";
  Say("the guest is not started: " + backup + " does not say whether its copy is newer (" + why +
      "); it is asked again" + (then.empty() ? "" : " for " + std::to_string(record.start_wait_s) + " s" + then) +
      "; " + adopt);
  return false;
}

bool StartGate::OpenAlone(Origin origin, blkrep::GuestRecord record) {
  std::lock_guard one(decide_mutex_);
  Reload();
  {
    std::lock_guard lock(mutex_);
    if (open_ || ending_ || !(record_ == record)) return false;
  }
  BeginAlone(record, origin);
  record.role = wire::Role::kPrimary;
  record.discarded = false;
  record.primary_alone_s = 0;  // said of a backup's copy
  Status saved = blkrep::SaveGuestRecord(folder_, record);
  if (!saved.ok()) {
    Say("the guest is not started: nothing would say that its copy is newer: " + saved.message());
    return false;
  }
  std::lock_guard lock(mutex_);
  record_ = record;
  damaged_ = false;
  open_ = true;
  message_.clear();
  return true;
}

Status StartGate::Adopt() {
  Reload();
  blkrep::GuestRecord record;
  {
    std::lock_guard lock(mutex_);
    record = record_;
    if (open_) return {StatusCode::kRefused, "the guest runs: there is nothing to decide"};
    if (record_.partial) {
      return {StatusCode::kRefused,
              "these disks are a part of a copy of guest " + record_.guest + ": nothing can go on from them"};
    }
  }
  if (!OpenAlone(Origin::kAdopted, record)) return {StatusCode::kEnvironment, Message()};
  TellOpen();
  return Status::Ok();
}

Status StartGate::Discard() {
  std::lock_guard one(decide_mutex_);
  Reload();
  blkrep::GuestRecord record;
  {
    std::lock_guard lock(mutex_);
    if (open_) return {StatusCode::kRefused, "the guest runs: end it first"};
    record = record_;
  }
  record.Discard();
  HAVEN_RETURN_IF_ERROR(blkrep::SaveGuestRecord(folder_, record));
  {
    std::lock_guard lock(mutex_);
    record_ = record;
    damaged_ = false;
  }
  (void)TryOnce();  // says it
  return Status::Ok();
}

}  // namespace haven::session
