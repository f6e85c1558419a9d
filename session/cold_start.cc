// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/cold_start.h"

#include <utility>

#include "core/guarded.h"

namespace haven::session {
Result<std::string> ColdStart::Describe() {
  auto record = here_.ledger.Read();
  if (!record.ok()) return record.status();
  HAVEN_RETURN_IF_ERROR(Check(record.value(), true));
  std::string text = "the guest boots from its replicas as of epoch " + std::to_string(record.value().epoch) +
                     ", committed " + DescribeTime(record.value().committed_s) +
                     ", like a machine that lost power: what it had only in memory is lost, its connections too, and "
                     "what the primary wrote later";
  if (record.value().life_ended)
    text += "; the primary had ended its protection, or the guest, and its copy may be newer";
  if (record.value().primary_alone_s != 0)
    text += "; the primary runs it without a backup since " + DescribeTime(record.value().primary_alone_s);
  if (!BackupLedger::SurelyWhole(record.value(), here_.options.durable())) {
    text +=
        "; this host has crashed since, and disk-ack was not durable: a part of the last epochs may be missing in "
        "between";
  }
  return text;
}

Status ColdStart::Check(const blkrep::GuestRecord& record, bool force) {
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());
  {
    std::lock_guard lock(here_.mutex);
    if (here_.HoldsCheckpoint() && here_.state != BackupState::kFailed) {
      return Refused("a checkpoint of guest " + here_.options.name + " is here, which loses less: run haven failover " +
                     here_.options.name);
    }
    if (!force) HAVEN_RETURN_IF_ERROR(here_.RefuseIfPrimaryAlone());
  }
  return CheckCopy(record, force);
}

Status ColdStart::CheckCopy(const blkrep::GuestRecord& record, bool force) const {
  const std::string& name = here_.options.name;
  if (record.role == wire::Role::kNone || record.discarded || record.lineage.empty()) {
    return Refused("there is no copy of guest " + name + " here to boot from");
  }
  if (record.role == wire::Role::kPrimary && !record.backup_host.empty()) {
    return Refused("this host ran guest " + name + " last, with " + record.backup_host +
                   " as its backup: start it as ever; it is held while the copy there may be newer");
  }
  if (record.partial)
    return Refused("the replicas of guest " + name + " are a part of a copy: nothing can be booted from them");
  if (!force && record.life_ended) {
    return Refused("the primary of guest " + name +
                   " has ended its protection, or the guest, so that its copy is as new as this one or newer; " +
                   "if that is lost, say --force");
  }
  if (!force && !BackupLedger::SurelyWhole(record, here_.options.durable())) {
    return Refused(
        "this host has crashed since epoch " + std::to_string(record.epoch) +
        ", and disk-ack was not durable: the replicas may lack a part of the last epochs; say --force to boot "
        "from them all the same");
  }
  return CheckBonds(record);
}

Status ColdStart::Failover(bool force) {
  std::lock_guard one(here_.promotion);
  auto record = here_.ledger.Read();
  if (!record.ok()) return record.status();
  HAVEN_RETURN_IF_ERROR(Check(record.value(), force));
  HAVEN_RETURN_IF_ERROR(here_.activator.MayStart());
  BackupState left;  // what it is when nothing comes of this
  {
    std::lock_guard lock(here_.mutex);
    if (here_.connection) return Refused("the primary of guest " + here_.options.name + " has come back");
    if (!force) HAVEN_RETURN_IF_ERROR(here_.RefuseIfPrimaryAlone());
    here_.token = record.value().session;
    left = std::exchange(here_.state, BackupState::kPromoting);
  }
  const Status started = Boot(record.value(), force, left);
  std::lock_guard lock(here_.mutex);
  here_.state = started.ok() ? BackupState::kPromoted : left;
  here_.message = started.ok() ? "" : "the guest could not be booted from its replicas: " + started.message();
  if (started.ok()) here_.refusal.clear();
  here_.changed.notify_all();
  return started;
}

Status ColdStart::Boot(const blkrep::GuestRecord& record, bool force, BackupState& left) {
  // The same order as with a checkpoint: the arbiter first, then the generation, then the guest.
  if (force) promotion_.ClaimArbiter(record.session);
  HAVEN_RETURN_IF_ERROR(promotion_.AskForPromotion(force ? Promotion::Ask::kNobody : Promotion::Ask::kOnce));
  blkrep::GuestRecord before;
  HAVEN_RETURN_IF_ERROR(here_.ledger.Promote(Origin::kCold, before));
  here_.activator.Discard();  // of an activation that failed
  {
    std::lock_guard lock(here_.mutex);
    here_.store.reset();  // and with it the locks on the replicas
  }
  left = BackupState::kWaiting;
  return promotion_.TakeBackUnlessRan(Guarded([this] { return here_.activator.Boot(); }), before);
}

}  // namespace haven::session
