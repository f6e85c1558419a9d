// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_ledger.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/host_boot.h"
#include "session/replica_rules.h"

namespace haven::session {

void BeginAlone(blkrep::GuestRecord& record, Origin origin) {
  // One that no backup has is ahead of all of them already.
  if (!record.given && !record.lineage.empty() && origin == Origin::kAlone) return;
  record.lineage.Begin(origin);
  record.given = false;
}

Status PrimaryLedger::Check() {
  Status usable = blkrep::MakeStateFolder(place_.folder);
  if (usable.ok() && access(place_.folder.c_str(), W_OK) != 0) usable = Status::FromErrno(errno, "cannot write there");
  if (!usable.ok()) {
    return usable.With("the record of which copy of guest " + place_.guest + " is newest cannot be kept in " +
                       place_.folder + " (another folder: HAVEN_STATE_DIR in the device model's environment)");
  }
  std::lock_guard lock(mutex_);
  return Own().status();
}

Result<std::optional<blkrep::GuestRecord>> PrimaryLedger::Own() {
  auto loaded = blkrep::LoadGuestRecord(place_.folder);
  if (loaded.status().code() == StatusCode::kInvalid) {
    return Status(StatusCode::kInvalid,
                  loaded.status().message() + "; move it away, then the copy here has no history");
  }
  if (!loaded.ok() || !loaded.value()) return loaded;
  const blkrep::GuestRecord& record = *loaded.value();
  const auto nothing = std::optional<blkrep::GuestRecord>();
  if (record.role != wire::Role::kPrimary || record.discarded || record.lineage.empty()) return nothing;
  for (const auto& disk : place_.disks) {
    const auto known = std::find_if(record.disks.begin(), record.disks.end(),
                                    [&](const auto& other) { return other.name == disk.name; });
    if (known == record.disks.end()) return nothing;
    std::string bond;
    if (const auto path = place_.paths.find(disk.name); path != place_.paths.end() && !path->second.empty()) {
      auto read = blkrep::ReadBond(path->second);
      if (!read.ok()) return read.status();
      bond = blkrep::ToText(read.value());
      if (bond.empty()) return nothing;
    }
    if (bond != known->bond) return nothing;
  }
  return loaded;
}

Result<wire::Identity> PrimaryLedger::Identify() {
  std::lock_guard lock(mutex_);
  return IdentifyLocked();
}

Result<wire::Identity> PrimaryLedger::IdentifyLocked() {
  auto own = Own();
  if (!own.ok()) return own.status();
  wire::Identity identity;
  if (own.value()) identity = own.value()->ToIdentity();
  identity.role = wire::Role::kPrimary;
  identity.life = life_;
  if (own.value()) return identity;
  if (fresh_.empty()) fresh_.Begin(Origin::kProtected);
  identity.lineage = fresh_;
  identity.flags |= wire::kIdentityFresh;
  return identity;
}

Status PrimaryLedger::BeginSession(const blkrep::GuestRecord& how) {
  std::lock_guard lock(mutex_);
  auto identity = IdentifyLocked();
  if (!identity.ok()) return identity.status();
  auto disks = BindDisks(place_.guest, place_.disks, place_.paths, blkrep::Claim::kUnlessMarked);
  if (!disks.ok()) return disks.status();
  auto boot = HostToken();
  blkrep::GuestRecord record = how;
  record.guest = place_.guest;
  record.role = wire::Role::kPrimary;
  record.life = life_;
  record.lineage = identity.value().lineage;
  record.given = true;
  record.disks = std::move(disks.value());
  if (boot.ok()) record.boot = boot.value();
  return blkrep::SaveGuestRecord(place_.folder, record);
}

Status PrimaryLedger::GoAlone() {
  std::lock_guard lock(mutex_);
  auto own = Own();
  if (!own.ok()) return own.status();
  if (!own.value()) return {StatusCode::kRefused, "the record in " + place_.folder + " is of another copy by now"};
  BeginAlone(*own.value(), Origin::kAlone);
  return blkrep::SaveGuestRecord(place_.folder, *own.value());
}

Status PrimaryLedger::LifeEnded() {
  std::lock_guard lock(mutex_);
  auto own = Own();
  if (!own.ok() || !own.value()) return own.status();
  own.value()->life_ended = true;
  return blkrep::SaveGuestRecord(place_.folder, *own.value());
}

}  // namespace haven::session
