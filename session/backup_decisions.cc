// SPDX-License-Identifier: GPL-2.0-or-later
// The part of BackupGuest that compares whose data is newer, and does what persons decide about it.
#include <ctime>
#include <utility>

#include "core/assert.h"
#include "core/host_boot.h"
#include "core/random_token.h"
#include "session/arbiter.h"
#include "session/backup_guest.h"

namespace haven::session {
namespace {

/// A primary asks its one question at once.
constexpr milliseconds kQueryTimeout{5000};

Status Refused(const std::string& why) { return {StatusCode::kRefused, why}; }

}  // namespace

bool BackupGuest::HoldsCheckpoint() const {
  return store_ && !(live_ && store_is_of_live_) && store_->committed() != kSyncEpoch &&
         (state_ == BackupState::kPrimaryLost || state_ == BackupState::kPromoting || state_ == BackupState::kFailed);
}

Result<wire::Identity> BackupGuest::Identify() {
  const bool running = activator_.Running();
  auto record = ledger_.Read();
  if (!record.ok()) return record.status();
  if (record.value().role == wire::Role::kNone && !record.value().discarded && !record.value().adopted) {
    // Nothing would be the wrong answer where there was a record.
    const std::string orphan = MarkedReplica(ledger_.setting());
    if (!orphan.empty()) {
      return Refused(orphan + " was a disk of guest " + options_.name +
                     " on this host, and no record says any more how new it is: if the primary's disks are right, run "
                     "haven adopt " +
                     options_.name + " on the backup");
    }
  }
  wire::Identity mine = BackupLedger::IdentityOf(record.value());
  std::lock_guard lock(mutex_);
  if (running) mine.flags |= wire::kIdentityRunning;
  if (live_ || state_ == BackupState::kPromoting || failover_wanted_ > 0) mine.flags |= wire::kIdentityBusy;
  if (HoldsCheckpoint()) {
    mine.flags |= wire::kIdentityCheckpoint;
    mine.epoch = store_->committed();
  }
  return mine;
}

/// A site that restarts its guests by itself has said that a new run is always right; not that
/// a primary is that would be refused all the same.
Ruling BackupGuest::RuleAndLetGo(Ruling (*rule)(const wire::Identity&, const wire::Identity&),
                                 const wire::Identity& primary, wire::Identity& mine) {
  const Ruling ruling = rule(primary, mine);
  if (ruling != Ruling::kCheckpointWaits || !options_.discard_on_new_life) return ruling;
  wire::Identity without = mine;
  without.flags &= static_cast<uint16_t>(~wire::kIdentityCheckpoint);
  if (rule(primary, without) != Ruling::kGo) return ruling;
  DropCheckpoint("the primary has started the guest anew");
  mine = without;
  return Ruling::kGo;
}

void BackupGuest::DropCheckpoint(const std::string& why) {
  // No promotion may be under way with it.
  std::lock_guard one(promote_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (!HoldsCheckpoint()) return;
    state_ = BackupState::kWaiting;
    message_ = why;
  }
  activator_.Discard();
  std::lock_guard lock(mutex_);
  store_.reset();
}

void BackupGuest::Note(const wire::Identity& primary, const wire::Identity& mine, const std::string& refusal) {
  std::lock_guard lock(mutex_);
  newer_ = NewerSide(primary, mine);
  refusal_ = refusal;
}

Status BackupGuest::OnIdentity(const wire::Identity& primary, wire::Identity& mine) {
  auto identity = Identify();
  if (!identity.ok()) return identity.status();
  mine = identity.value();
  const Ruling ruling = RuleAndLetGo(RuleOnSession, primary, mine);
  // This session is what keeps it busy.
  mine.flags &= static_cast<uint16_t>(~wire::kIdentityBusy);
  const std::string refusal = ruling == Ruling::kGo ? "" : Explain(ruling, options_.name, primary, mine);
  Note(primary, mine, refusal);
  if (!refusal.empty()) return Refused(refusal);
  std::lock_guard lock(mutex_);
  primary_ = primary;
  return Status::Ok();
}

void BackupGuest::AttachQuery(std::unique_ptr<Link> link) {
  wire::HelloReply reply;
  reply.deadline_ms = static_cast<uint32_t>(options_.deadline.count());
  if (!link->Send(wire::Type::kHelloReply, kSyncEpoch, wire::Encode(reply)).ok()) return;
  Record record;
  Status status = link->Receive(record, kQueryTimeout);
  if (!status.ok()) return;
  auto asked = wire::DecodeIdentity(record.body);
  if (record.header.type != wire::Type::kIdentity || !asked.ok()) {
    SendError(*link, wire::Error::kProtocol, "IDENTITY was due on the query connection");
    return;
  }
  auto answer = Answer(asked.value());
  if (answer.ok()) {
    (void)link->Send(wire::Type::kIdentity, kSyncEpoch, wire::Encode(answer.value())).ok();
  } else {
    SendError(*link, wire::Error::kEnvironment, answer.status().message());
  }
}

Result<wire::Identity> BackupGuest::Answer(const wire::Identity& primary) {
  auto mine = Identify();
  if (!mine.ok()) return mine;
  if (!primary.Has(wire::kIdentityStarting)) return mine;
  const Ruling ruling = RuleAndLetGo(RuleOnStart, primary, mine.value());
  Note(primary, mine.value(), ruling == Ruling::kGo ? "" : Explain(ruling, options_.name, primary, mine.value()));
  if (ruling != Ruling::kGo) return mine;
  // Before it hears of it: nobody may start the guest here from now on without knowing.
  std::lock_guard lock(mutex_);
  if (live_ || failover_wanted_ > 0 || state_ == BackupState::kPromoting || state_ == BackupState::kPromoted) {
    mine.value().flags |= wire::kIdentityBusy;  // since we looked
  } else {
    primary_started_s_ = static_cast<uint64_t>(time(nullptr));
  }
  return mine;
}

Status BackupGuest::RefuseIfPrimaryStarted() {
  if (primary_started_s_ == 0) return Status::Ok();
  return Refused("the primary of guest " + options_.name + " has started it again at " +
                 DescribeTime(primary_started_s_) + "; end it there first, then say --force");
}

// --- what persons decide --------------------------------------------------------

Status BackupGuest::RefuseWhileInUse() {
  if (activator_.Running()) return Refused("guest " + options_.name + " runs here: shut it down first");
  std::lock_guard lock(mutex_);
  if (live_)
    return Refused("guest " + options_.name + " has a session with its primary " + live_peer_ +
                   ": run haven unprotect there first");
  if (state_ == BackupState::kPromoting) return Refused("guest " + options_.name + " is being started here");
  return Status::Ok();
}

Result<std::string> BackupGuest::DescribeCopy() {
  auto mine = Identify();
  const StatusCode code = mine.status().code();
  if (code == StatusCode::kInvalid || code == StatusCode::kRefused)
    return mine.status().message() + "; " + DescribeReplicas(ledger_.setting());
  if (!mine.ok()) return mine.status();
  const wire::Identity& has = mine.value();
  std::string text;
  if (has.Has(wire::kIdentityCheckpoint)) text = "a checkpoint that the guest could go on from; ";
  if (has.lineage.empty()) {
    text += "no generation; ";
  } else {
    text += Describe(has.lineage.current()) + "; ";
  }
  if (has.epoch != kSyncEpoch)
    text += "epoch " + std::to_string(has.epoch) + ", committed " + DescribeTime(has.committed_s) + "; ";
  if (has.Has(wire::kIdentityPartial)) text += "its replicas are a part of a copy; ";
  return text + DescribeReplicas(ledger_.setting());
}

Status BackupGuest::Discard() {
  HAVEN_RETURN_IF_ERROR(RefuseWhileInUse());
  DropCheckpoint("what was here was discarded by order of an administrator");
  HAVEN_RETURN_IF_ERROR(ledger_.Discard());
  std::lock_guard lock(mutex_);
  if (!live_) {
    state_ = BackupState::kWaiting;
    message_ = "what was here was discarded by order of an administrator";
    store_.reset();
  }
  refusal_.clear();
  newer_ = "unknown";
  return Status::Ok();
}

Status BackupGuest::Adopt() {
  HAVEN_RETURN_IF_ERROR(RefuseWhileInUse());
  {
    std::lock_guard lock(mutex_);
    if (HoldsCheckpoint()) {
      return Refused("a checkpoint of guest " + options_.name + " waits here: run haven failover " + options_.name +
                     " or haven discard " + options_.name + " first");
    }
  }
  HAVEN_RETURN_IF_ERROR(ledger_.Adopt());
  std::lock_guard lock(mutex_);
  refusal_.clear();
  store_.reset();  // what the replicas hold is not known any more
  message_ = "the next primary may overwrite the replicas here, by order of an administrator";
  return Status::Ok();
}

Result<std::string> BackupGuest::DescribeColdStart() {
  auto record = ledger_.Read();
  if (!record.ok()) return record.status();
  HAVEN_RETURN_IF_ERROR(CheckColdStart(record.value(), true));
  std::string text = "the guest boots from its replicas as of epoch " + std::to_string(record.value().epoch) +
                     ", committed " + DescribeTime(record.value().committed_s) +
                     ", like a machine that lost power: what it had only in memory is lost, its connections too, and "
                     "what the primary wrote later";
  if (record.value().life_ended)
    text += "; the primary had ended its protection, or the guest, and its copy may be newer";
  if (!SurelyWhole(record.value())) {
    text +=
        "; this host has crashed since, and disk-ack was received: a part of the last epochs may be missing in between";
  }
  return text;
}

bool BackupGuest::SurelyWhole(const blkrep::GuestRecord& record) const {
  auto boot = HostToken();
  return record.synced || options_.durable || (boot.ok() && boot.value() == record.boot);
}

Status BackupGuest::CheckColdStart(const blkrep::GuestRecord& record, bool force) {
  HAVEN_RETURN_IF_ERROR(RefuseWhileInUse());
  {
    std::lock_guard lock(mutex_);
    if (HoldsCheckpoint() && state_ != BackupState::kFailed) {
      return Refused("a checkpoint of guest " + options_.name + " is here, which loses less: run haven failover " +
                     options_.name);
    }
    if (!force) HAVEN_RETURN_IF_ERROR(RefuseIfPrimaryStarted());
  }
  if (record.role == wire::Role::kNone || record.discarded || record.lineage.empty()) {
    return Refused("there is no copy of guest " + options_.name + " here to boot from");
  }
  if (record.role == wire::Role::kPrimary && !record.backup_host.empty()) {
    return Refused("this host ran guest " + options_.name + " last, with " + record.backup_host +
                   " as its backup: start it as ever; it is held while the copy there may be newer");
  }
  if (record.partial)
    return Refused("the replicas of guest " + options_.name + " are a part of a copy: nothing can be booted from them");
  if (!force && record.life_ended) {
    return Refused("the primary of guest " + options_.name +
                   " has ended its protection, or the guest, so that its copy is as new as this one or newer; " +
                   "if that is lost, say --force");
  }
  if (!force && !SurelyWhole(record)) {
    return Refused("this host has crashed since epoch " + std::to_string(record.epoch) +
                   ", and disk-ack was received: the replicas may lack a part of the last epochs; say --force to boot "
                   "from them all the same");
  }
  return CheckBonds(record);
}

Status BackupGuest::FailoverCold(bool force) {
  std::lock_guard one(promote_mutex_);
  auto record = ledger_.Read();
  if (!record.ok()) return record.status();
  HAVEN_RETURN_IF_ERROR(CheckColdStart(record.value(), force));
  HAVEN_RETURN_IF_ERROR(activator_.MayStart());
  BackupState left;  // what it is when nothing comes of this
  {
    std::lock_guard lock(mutex_);
    if (live_) return Refused("the primary of guest " + options_.name + " has come back");
    if (!force) HAVEN_RETURN_IF_ERROR(RefuseIfPrimaryStarted());
    token_ = record.value().session;
    left = std::exchange(state_, BackupState::kPromoting);
  }
  // The same order as with a checkpoint: the arbiter first, then the generation, then the guest.
  if (force) ClaimArbiter(record.value().session);
  Status started = AskForPromotion(force ? Ask::kNobody : Ask::kOnce);
  blkrep::GuestRecord before;
  if (started.ok()) started = ledger_.Promote(Origin::kCold, before);
  if (started.ok()) {
    activator_.Discard();  // of an activation that failed
    {
      std::lock_guard lock(mutex_);
      store_.reset();  // and with it the locks on the replicas
    }
    left = BackupState::kWaiting;
    started = activator_.Boot();
    if (!started.ok() && !activator_.Running()) {
      Status back = ledger_.TakeBack(before);
      if (!back.ok()) started = started.With(back.message());
    }
  }
  std::lock_guard lock(mutex_);
  state_ = started.ok() ? BackupState::kPromoted : left;
  message_ = started.ok() ? "" : "the guest could not be booted from its replicas: " + started.message();
  if (started.ok()) refusal_.clear();
  changed_.notify_all();
  return started;
}

}  // namespace haven::session
