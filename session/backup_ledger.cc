// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_ledger.h"

#include <sys/stat.h>

#include <ctime>

#include "core/failpoint.h"
#include "core/host_boot.h"

namespace haven::session {
namespace {

/// Zero if this host's system has no name: then no other record's is equal.
wire::Token ThisBoot() {
  auto token = HostToken();
  return token.ok() ? token.value() : wire::Token{};
}

}  // namespace

Result<blkrep::GuestRecord> BackupLedger::Read() const {
  auto loaded = blkrep::LoadGuestRecord(folder_);
  if (loaded.status().code() == StatusCode::kInvalid) {
    return Status(StatusCode::kInvalid, loaded.status().message() +
                                            "; if the primary's copy is right, run haven adopt " + setting_.guest +
                                            " on the backup");
  }
  if (!loaded.ok()) return loaded.status();
  if (loaded.value()) return *loaded.value();
  blkrep::GuestRecord fresh;
  fresh.guest = setting_.guest;
  return fresh;
}

wire::Identity BackupLedger::IdentityOf(const blkrep::GuestRecord& record) {
  wire::Identity identity = record.ToIdentity();
  // What a person gave away is nobody's copy any more.
  if (record.discarded || record.adopted) identity.lineage = Lineage();
  if (record.life_ended) identity.flags |= wire::kIdentityLifeEnded;
  if (record.partial) identity.flags |= wire::kIdentityPartial;
  return identity;
}

bool BackupLedger::SurelyWhole(const blkrep::GuestRecord& record, bool durable) {
  auto boot = HostToken();
  return record.synced || durable || (boot.ok() && boot.value() == record.boot);
}

template <typename Change>
Status BackupLedger::Update(Change change, bool whatever_is_there) {
  auto record = Read();
  if (whatever_is_there && record.status().code() == StatusCode::kInvalid) {
    record = blkrep::GuestRecord{};
    record.value().guest = setting_.guest;
  }
  if (!record.ok()) return record.status();
  record.value().boot = ThisBoot();
  change(record.value());
  return blkrep::SaveGuestRecord(folder_, record.value());
}

Status BackupLedger::BeginCopy(const wire::Identity& primary, const wire::Layout& layout, const wire::Token& session) {
  auto before = Read();
  if (!before.ok()) return before.status();
  const auto claim = before.value().adopted ? blkrep::Claim::kWhosever : blkrep::Claim::kUnlessMarked;
  auto disks = BindDisks(setting_.guest, layout.disks, setting_.paths, claim);
  if (!disks.ok()) return disks.status();
  blkrep::GuestRecord record;
  record.guest = setting_.guest;
  record.role = wire::Role::kBackup;
  record.partial = true;
  record.life = primary.life;
  record.lineage = primary.lineage;
  record.session = session;
  record.boot = ThisBoot();
  record.disks = std::move(disks.value());
  return blkrep::SaveGuestRecord(folder_, record);
}

Status BackupLedger::Whole(Epoch epoch) {
  return Update([&](blkrep::GuestRecord& record) {
    record.partial = false;
    record.epoch = epoch;
    record.committed_s = static_cast<uint64_t>(time(nullptr));
  });
}

Status BackupLedger::SessionEnded(Epoch epoch, uint64_t committed_s, bool life_ended) {
  return Update([&](blkrep::GuestRecord& record) {
    record.epoch = epoch;
    record.committed_s = committed_s;
    record.life_ended = life_ended;
    record.synced = true;
  });
}

Status BackupLedger::PrimaryGoesAlone() {
  auto record = Read();
  if (!record.ok()) return record.status();
  if (record.value().role == wire::Role::kNone || record.value().primary_alone_s != 0) return Status::Ok();
  return Update([](blkrep::GuestRecord& noted) { noted.primary_alone_s = static_cast<uint64_t>(time(nullptr)); });
}

Status BackupLedger::Promote(Origin origin, blkrep::GuestRecord& before) {
  const Status written = Update([&](blkrep::GuestRecord& record) {
    before = record;
    if (!BreakRequested("journal-replay-after-promotion")) record.role = wire::Role::kPrimary;
    record.lineage.Begin(origin);
    record.partial = record.discarded = record.adopted = record.life_ended = false;
    record.primary_alone_s = 0;
  });
  // It may be there all the same, if only its folder could not be synced: nobody is to read that this copy is ahead.
  if (!written.ok() && !before.lineage.empty()) (void)TakeBack(before);
  return written;
}

Status BackupLedger::Discard() {
  return Update([](blkrep::GuestRecord& record) { record.Discard(); }, true);
}

Status BackupLedger::Adopt() {
  // Of the files that are there now: another one that is configured later was not looked at.
  std::vector<wire::Layout::Disk> there;
  for (const auto& [name, path] : setting_.paths) {
    struct stat st;
    if (stat(path.c_str(), &st) == 0) there.push_back({name, static_cast<uint64_t>(st.st_size)});
  }
  auto disks = BindDisks(setting_.guest, there, setting_.paths, blkrep::Claim::kWhosever);
  if (!disks.ok()) return disks.status();
  return Update(
      [&](blkrep::GuestRecord& record) {
        record.adopted = true;
        record.disks = disks.value();
      },
      true);
}

}  // namespace haven::session
