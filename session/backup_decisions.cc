// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_decisions.h"

namespace haven::session {
namespace {

/// A primary asks its one question at once.
constexpr milliseconds kQueryTimeout{5000};

/// While it lives no session begins, and no guest is started: what is here can be let go of step by step.
class Deciding {
 public:
  explicit Deciding(BackupSituation& here) : here_(here), one_(here.promotion) { Set(true); }
  ~Deciding() { Set(false); }

 private:
  void Set(bool deciding) {
    std::lock_guard lock(here_.mutex);
    here_.deciding = deciding;
    here_.changed.notify_all();
  }
  BackupSituation& here_;
  std::lock_guard<Mutex> one_;
};

}  // namespace

Result<wire::Identity> BackupDecisions::Identify() {
  const bool running = here_.activator.Running();
  auto record = here_.ledger.Read();
  if (!record.ok()) return record.status();
  if (record.value().role == wire::Role::kNone && !record.value().discarded && !record.value().adopted) {
    // Nothing would be the wrong answer where there was a record.
    const std::string orphan = MarkedReplica(here_.ledger.setting());
    if (!orphan.empty()) {
      return Refused(orphan + " was a disk of guest " + here_.options.name +
                     " on this host, and no record says any more how new it is: if the primary's disks are right, run "
                     "haven adopt " +
                     here_.options.name + " on the backup");
    }
  }
  wire::Identity mine = BackupLedger::IdentityOf(record.value());
  std::lock_guard lock(here_.mutex);
  if (running) mine.flags |= wire::kIdentityRunning;
  if (here_.InHand()) mine.flags |= wire::kIdentityBusy;
  if (here_.HoldsCheckpoint()) {
    mine.flags |= wire::kIdentityCheckpoint;
    mine.epoch = here_.store->committed();
  }
  return mine;
}

/// A site that restarts its guests by itself has said that a new run is always right; not that
/// a primary is that would be refused all the same.
Ruling BackupDecisions::RuleAndLetGo(Rule rule, const wire::Identity& primary, wire::Identity& mine, bool in_session) {
  const Ruling ruling = rule(primary, mine);
  if (ruling != Ruling::kCheckpointWaits || !here_.options.discard_on_new_life) return ruling;
  wire::Identity without = mine;
  without.flags &= static_cast<uint16_t>(~wire::kIdentityCheckpoint);
  if (rule(primary, without) != Ruling::kGo) return ruling;
  Deciding deciding(here_);
  {
    std::lock_guard lock(here_.mutex);
    if (here_.connection && !in_session) return ruling;  // since we looked: its LAYOUT makes a store of its own
  }
  DropCheckpoint("the primary has started the guest anew");
  mine = without;
  return Ruling::kGo;
}

void BackupDecisions::DropCheckpoint(const std::string& why) {
  {
    std::lock_guard lock(here_.mutex);
    if (!here_.HoldsCheckpoint()) return;
    here_.state = BackupState::kWaiting;
    here_.message = why;
  }
  here_.activator.Discard();
  std::lock_guard lock(here_.mutex);
  here_.store.reset();
}

void BackupDecisions::Note(const wire::Identity& primary, const wire::Identity& mine, const std::string& refusal) {
  std::lock_guard lock(here_.mutex);
  here_.newer = NewerSide(primary, mine);
  here_.refusal = refusal;
}

Status BackupDecisions::OnIdentity(const wire::Identity& primary, wire::Identity& mine) {
  auto identity = Identify();
  if (!identity.ok()) return identity.status();
  mine = identity.value();
  const Ruling ruling = RuleAndLetGo(RuleOnSession, primary, mine, true);
  // This session is what keeps it busy.
  mine.flags &= static_cast<uint16_t>(~wire::kIdentityBusy);
  const std::string refusal = ruling == Ruling::kGo ? "" : Explain(ruling, here_.options.name, primary, mine);
  Note(primary, mine, refusal);
  return refusal.empty() ? Status::Ok() : Refused(refusal);
}

void BackupDecisions::AnswerQuery(std::unique_ptr<Link> link) {
  wire::HelloReply reply;
  reply.deadline_ms = static_cast<uint32_t>(here_.options.deadline.count());
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

Result<wire::Identity> BackupDecisions::Answer(const wire::Identity& primary) {
  auto mine = Identify();
  if (!mine.ok()) return mine;
  if (!primary.Has(wire::kIdentityStarting)) return mine;
  const Ruling ruling = RuleAndLetGo(RuleOnStart, primary, mine.value(), false);
  Note(primary, mine.value(), ruling == Ruling::kGo ? "" : Explain(ruling, here_.options.name, primary, mine.value()));
  if (ruling != Ruling::kGo) return mine;
  // Before it hears of it: nobody may start the guest here from now on without knowing, and nobody begins to while
  // this is written down.
  std::lock_guard lock(here_.mutex);
  here_.StandDown("the primary has asked, and goes on alone");
  if (here_.InHand() || here_.state == BackupState::kPromoted) {
    mine.value().flags |= wire::kIdentityBusy;  // since we looked
    return mine;
  }
  HAVEN_RETURN_IF_ERROR(here_.ledger.PrimaryGoesAlone().With("this backup cannot note that the primary goes on alone"));
  return mine;
}

// --- what persons decide --------------------------------------------------------

Result<std::string> BackupDecisions::DescribeCopy() {
  auto mine = Identify();
  const StatusCode code = mine.status().code();
  if (code == StatusCode::kInvalid || code == StatusCode::kRefused)
    return mine.status().message() + "; " + DescribeReplicas(here_.ledger.setting());
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
  return text + DescribeReplicas(here_.ledger.setting());
}

Status BackupDecisions::Discard() {
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());  // without waiting for what is under way
  Deciding deciding(here_);
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());  // from here on nothing begins
  DropCheckpoint("what was here was discarded by order of an administrator");
  HAVEN_RETURN_IF_ERROR(here_.ledger.Discard());
  std::lock_guard lock(here_.mutex);
  here_.state = BackupState::kWaiting;
  here_.message = "what was here was discarded by order of an administrator";
  here_.store.reset();
  here_.refusal.clear();
  here_.newer = "unknown";
  return Status::Ok();
}

Status BackupDecisions::Retire() {
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());  // without waiting for what is under way
  Deciding deciding(here_);
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());  // from here on nothing begins
  std::lock_guard lock(here_.mutex);
  HAVEN_RETURN_IF_ERROR(RefuseWhileHolding());
  here_.shutting_down = true;
  return Status::Ok();
}

Status BackupDecisions::RefuseWhileHolding() const {
  if (!here_.HoldsCheckpoint()) return Status::Ok();
  return Refused("a checkpoint of guest " + here_.options.name + " waits here: run haven failover " +
                 here_.options.name + " or haven discard " + here_.options.name + " first");
}

Status BackupDecisions::Adopt() {
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());  // without waiting for what is under way
  Deciding deciding(here_);
  HAVEN_RETURN_IF_ERROR(here_.RefuseWhileInUse());  // from here on nothing begins
  {
    std::lock_guard lock(here_.mutex);
    HAVEN_RETURN_IF_ERROR(RefuseWhileHolding());
  }
  HAVEN_RETURN_IF_ERROR(here_.ledger.Adopt());
  std::lock_guard lock(here_.mutex);
  here_.refusal.clear();
  here_.store.reset();  // what the replicas hold is not known any more
  here_.message = "the next primary may overwrite the replicas here, by order of an administrator";
  return Status::Ok();
}

}  // namespace haven::session
