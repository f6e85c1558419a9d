// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_guest.h"

#include <algorithm>
#include <utility>

#include "core/failpoint.h"
#include "core/guarded.h"
#include "core/random_token.h"
#include "session/guest_run.h"
#include "session/other_machine.h"

namespace haven::session {
namespace {

constexpr char kFinishing[] = "the session has ended; what it has committed is brought to the disks";

Status ShuttingDown() { return {StatusCode::kEnvironment, "the backup's havend is shutting down"}; }

}  // namespace

BackupGuest::BackupGuest(BackupGuestOptions options, Activator& activator) : here_(std::move(options), activator) {}

BackupGuest::~BackupGuest() {
  std::shared_ptr<BackupConnection> connection;
  {
    std::lock_guard lock(here_.mutex);
    here_.shutting_down = true;
    connection = here_.connection;
  }
  here_.changed.notify_all();
  if (connection) connection->End(ShuttingDown(), wire::Error::kEnvironment);
  if (control_thread_.joinable()) control_thread_.join();
  trial_.End();
  if (!here_.activator.Running()) here_.activator.Discard();
}

StoreOptions BackupGuest::MakeStoreOptions() const {
  const BackupGuestOptions& options = here_.options;
  return {options.state_dir, options.ram_region,         options.disks,
          options.durable(), options.memory_limit_bytes, options.journal_limit_bytes};
}

Status BackupGuest::Recover() {
  // Nothing of what is found here may keep havend, and its other guests, from starting.
  auto record = here_.ledger.Read();
  Status usable = record.status();
  if (usable.ok() && record.value().role == wire::Role::kNone && BackupStore::HasJournal(MakeStoreOptions())) {
    usable = {StatusCode::kRefused,
              "the replicas are of an earlier version, which kept no generations: if the primary's disks are right, "
              "run haven adopt " +
                  here_.options.name + " here"};
  }
  // A guest that was started here has written to its disks since: the journal is of the time before.
  const bool ours =
      usable.ok() && record.value().role == wire::Role::kBackup && !record.value().partial && !record.value().discarded;
  if (ours) usable = CheckBonds(record.value());
  if (ours && usable.ok()) {
    auto epoch = BackupStore::Recover(MakeStoreOptions());
    usable = epoch.status();
    if (epoch.ok() && epoch.value() != kSyncEpoch &&
        BackupLedger::SurelyWhole(record.value(), here_.options.durable())) {
      usable = here_.ledger.SessionEnded(epoch.value(), record.value().committed_s, record.value().life_ended);
    }
  }
  if (!usable.ok()) here_.SetState(BackupState::kWaiting, usable.message());
  return Status::Ok();
}

// --- connections --------------------------------------------------------------

void BackupGuest::Attach(std::unique_ptr<Link> link, const wire::Hello& hello) {
  if (hello.version_min > wire::kVersionMax || hello.version_max < wire::kVersionMin) {
    RejectLink(*link, wire::Error::kVersion,
               "this havend speaks protocol versions " + std::to_string(wire::kVersionMin) + " to " +
                   std::to_string(wire::kVersionMax));
    return;
  }
  if (hello.connection == wire::Connection::kQuery) {
    decisions_.AnswerQuery(std::move(link));
  } else if (hello.connection == wire::Connection::kControl) {
    AttachControl(std::move(link), hello);
  } else {
    AttachData(std::move(link), hello);
  }
}

wire::HelloReply BackupGuest::ReplyTo(const wire::Hello& hello, const wire::Token& token) const {
  uint64_t mine = wire::kFeaturesKnown;
  if (here_.options.share_group.empty()) mine &= ~wire::kFeatureSharedPages;
  if (here_.options.disk_ack != DiskAck::kEpoch) mine &= ~wire::kFeatureDiskAckEpoch;
  wire::HelloReply reply;
  reply.features = hello.features & mine;
  reply.token = token;
  reply.deadline_ms = static_cast<uint32_t>(here_.options.deadline.count());
  return reply;
}

/// An arbiter that one side only asks decides nothing: both could win.
Status BackupGuest::CompareArbiters(const wire::Hello& hello) const {
  const bool asks = (hello.features & wire::kFeatureArbiter) != 0;
  if (asks == ((hello.features & wire::kFeatureNoArbiter) != 0)) return Status::Ok();  // it does not say
  if (asks == !here_.options.arbiter.empty()) return Status::Ok();
  const std::string name = here_.options.name;
  return Refused(asks
                     ? "the primary of guest " + name + " asks an arbiter, and its backup none: write arbiter = into " +
                           "havend.conf, or protect the guest without --arbiter"
                     : "the backup of guest " + name + " asks an arbiter, and its primary none: protect the guest " +
                           "with --arbiter, or write arbiter = none into havend.conf");
}

void BackupGuest::AttachControl(std::unique_ptr<Link> link, const wire::Hello& hello) {
  const BackupGuestOptions& options = here_.options;
  // A promoted guest that has ended makes room for a new one.
  const bool running = here_.activator.Running();
  std::unique_lock lock(here_.mutex);
  if (here_.state == BackupState::kPromoted && !running) {
    here_.state = BackupState::kWaiting;
    here_.message = "the guest ran here, and has ended";
    here_.store.reset();  // its replicas are not what a primary has sent any more
  }
  if (running) {  // also one that an earlier run of this program promoted
    lock.unlock();
    RejectLink(*link, wire::Error::kPromoted, "guest " + options.name + " was promoted and runs on the backup");
    return;
  }
  if (const Status compared = CompareArbiters(hello); !compared.ok()) {
    here_.refusal = compared.message();
    lock.unlock();
    RejectLink(*link, wire::Error::kLayout, compared.message());
    return;
  }
  here_.StandDown("the primary has come back");
  if (!MayNotBegin() && here_.listening) {
    here_.changed.wait(lock, [this] { return !here_.listening; });  // the thread that is joined below
  }
  if (MayNotBegin()) {
    lock.unlock();
    RejectLink(*link, wire::Error::kBusy, "guest " + options.name + " has a session or a promotion under way");
    return;
  }
  if (control_thread_.joinable()) control_thread_.join();  // of the session before; it has ended
  wire::HelloReply reply = ReplyTo(hello, RandomToken());
  reply.version = std::min(hello.version_max, wire::kVersionMax);
  if (!link->Send(wire::Type::kHelloReply, kSyncEpoch, wire::Encode(reply)).ok()) return;
  link->SetSendTimeout(options.deadline);
  Owner& owner = *this;
  auto connection =
      std::make_shared<BackupConnection>(owner, std::move(link), reply, options.deadline, hello.deadline_ms);
  control_thread_ = Thread([connection] { connection->Run(); }, [this](const Status& status) { GiveUp(status); });
  here_.connection = std::move(connection);
}

void BackupGuest::AttachData(std::unique_ptr<Link> link, const wire::Hello& hello) {
  std::shared_ptr<BackupConnection> connection;
  {
    std::lock_guard lock(here_.mutex);
    if (here_.connection && here_.connection->token() == hello.token) connection = here_.connection;
  }
  if (!connection) {
    RejectLink(*link, wire::Error::kProtocol, "no such session");
    return;
  }
  connection->Attach(std::move(link), hello.connection, ReplyTo(hello, hello.token));
}

// --- during a session -----------------------------------------------------------

Status BackupGuest::OnIdentity(const wire::Identity& primary, wire::Identity& mine) {
  return decisions_.OnIdentity(primary, mine);
}

Result<std::unique_ptr<memrep::StoreLease>> BackupGuest::OnStore(const wire::Token& host) {
  return here_.options.page_stores->Lease(here_.options.share_group, host);
}

Result<BackupStore*> BackupGuest::OnLayout(const BackupConnection& connection, const wire::Layout& layout,
                                           std::vector<wire::LayoutReply::Copy>& copies) {
  bool same_guest;
  {
    std::lock_guard lock(here_.mutex);
    // The replicas are what this run of the guest has sent, up to the last
    // commit: only what came later is missing. Before the first commit of a session nobody can tell what
    // the primary takes for sent: it may not even have read that all of it was asked for.
    // After a failed start of the guest they may be anything.
    same_guest = here_.store != nullptr && here_.store->layout() == layout && here_.store->committed() != kSyncEpoch &&
                 here_.state != BackupState::kFailed;
  }
  trial_.End();
  // Whatever runs here owns the disks; what waits for them is ours.
  HAVEN_RETURN_IF_ERROR(here_.activator.MayStart());
  here_.activator.Discard();
  {
    std::lock_guard lock(here_.mutex);
    here_.store.reset();
    here_.state = BackupState::kSyncing;
    here_.message.clear();
    here_.other_machine.clear();
  }
  copies.assign(layout.disks.size(), same_guest ? wire::LayoutReply::Copy::kChanged : wire::LayoutReply::Copy::kAll);
  HAVEN_RETURN_IF_ERROR(MakeStore(connection, layout, copies));
  std::lock_guard lock(here_.mutex);
  return here_.store.get();
}

Status BackupGuest::CheckReplicas(const blkrep::GuestRecord& record, const wire::Layout& layout,
                                  std::vector<blkrep::ReplicaOptions>& how,
                                  std::vector<wire::LayoutReply::Copy>& copies) {
  for (size_t i = 0; i < layout.disks.size(); i++) {
    auto ruling = RuleOnReplica(here_.ledger.setting(), record, layout.disks[i]);
    if (!ruling.ok()) return ruling.status();
    how.push_back(ruling.value().options);
    if (!ruling.value().kept) copies[i] = wire::LayoutReply::Copy::kAll;
  }
  return Status::Ok();
}

Status BackupGuest::Prepare(const BackupConnection& connection, const blkrep::GuestRecord& record,
                            const memrep::GuestImage& image) {
  Status prepared = here_.activator.Prepare(image);
  if (prepared.ok()) return CompareMachines(connection.machine());
  // It has been started for this run of the guest before: what is wrong now may pass, and the primary tries again.
  const bool worked = record.role == wire::Role::kBackup && !record.partial && !record.life_ended &&
                      record.life == connection.primary().life;
  return prepared.code() == StatusCode::kRefused && worked ? Status(StatusCode::kEnvironment, prepared.message())
                                                           : prepared;
}

Status BackupGuest::CompareMachines(const std::string& primary) {
  const std::string mine = primary.empty() ? "" : here_.activator.Machine();
  const std::string difference = mine.empty() ? "" : DifferenceOfMachines(primary, mine);
  if (difference.empty()) return Status::Ok();
  if (!here_.options.other_machine) {
    return {StatusCode::kRefused, "the backup's device model is another machine: " + difference +
                                      "; make the command in the backup's configuration the same, or allow it there "
                                      "with other-machine = allow"};
  }
  std::lock_guard lock(here_.mutex);
  here_.other_machine = "after a failover the guest runs on another machine: " + difference;
  return Status::Ok();
}

Status BackupGuest::MakeStore(const BackupConnection& connection, const wire::Layout& layout,
                              std::vector<wire::LayoutReply::Copy>& copies) {
  auto record = here_.ledger.Read();
  if (!record.ok()) return record.status();
  std::vector<blkrep::ReplicaOptions> how;
  HAVEN_RETURN_IF_ERROR(CheckReplicas(record.value(), layout, how, copies));
  auto store = BackupStore::Create(MakeStoreOptions(), layout, how);
  if (!store.ok()) return store.status();
  // Nothing of an earlier copy is given up for a guest that could not go on here.
  Status begun = Guarded([&] { return Prepare(connection, record.value(), store.value()->image()); });
  if (begun.ok()) begun = here_.ledger.BeginCopy(connection.primary(), layout, connection.token());
  if (begun.ok()) begun = store.value()->Begin(MakeStoreOptions());
  if (!begun.ok()) {
    here_.activator.Discard();  // the image goes now
    return begun;
  }
  std::lock_guard lock(here_.mutex);
  here_.store = std::move(store.value());
  return Status::Ok();
}

Status BackupGuest::OnLiveness(const wire::Liveness& liveness) {
  const std::lock_guard lock(here_.mutex);
  here_.primary_says = liveness;
  const bool may = here_.options.take_over_stuck || BreakRequested("stuck-is-lost");
  if (!here_.PrimaryStuck() || !may) return Status::Ok();
  return {StatusCode::kPeerLost, DescribeStuck(liveness)};
}

void BackupGuest::OnCommitted(Epoch epoch) {
  if (epoch == 1) Verify(here_.ledger.Whole(epoch));
  // The store lives as long as the session, on whose memory thread this is.
  here_.activator.Committed(here_.store->image());
}

/// A guest whose machine and layout were loaded here before needs no other trial.
void BackupGuest::Verify(const Status& whole) {
  std::shared_ptr<BackupConnection> connection;
  {
    std::lock_guard lock(here_.mutex);
    if (!here_.connection) return;  // it was given up
    connection = here_.connection;
    here_.state = BackupState::kVerifying;
    here_.message = whole.ok() ? here_.other_machine : whole.message();
  }
  wire::Layout layout = here_.store->layout();
  layout.instance = {};
  const Bytes regions_and_disks = wire::Encode(layout);
  std::string shape = connection->machine() + "\n" + here_.activator.Machine();
  shape.append(regions_and_disks.begin(), regions_and_disks.end());
  if (!connection->machine().empty() && shape == verified_shape_) return Verified(*connection);
  trial_.Begin(here_.store->image(), [this, connection, shape = std::move(shape)](const Status& tried) {
    if (!tried.ok()) {
      const bool refused = tried.code() == StatusCode::kRefused;
      return connection->End(tried, refused ? wire::Error::kLayout : wire::Error::kEnvironment);
    }
    verified_shape_ = shape;
    Verified(*connection);
  });
}

void BackupGuest::Verified(BackupConnection& connection) {
  {
    std::lock_guard lock(here_.mutex);
    if (here_.state == BackupState::kVerifying) here_.state = BackupState::kProtecting;
  }
  connection.SayVerified();
}

// --- after a session ------------------------------------------------------------

/// This connection is there until ForgetConnection(), so nobody else touches what its session was about.
void BackupGuest::FinishStore(const BackupConnection& connection, bool goodbye, Left& left) {
  if (!connection.has_store()) return;
  BackupStore* store;
  {
    std::lock_guard lock(here_.mutex);
    store = here_.store.get();
    here_.message = kFinishing;
  }
  // Disks are synced: not under the lock, for which status waits.
  if (store != nullptr) left.finished = Guarded([store] { return store->Finish(); });
  if (!left.finished.ok() || store == nullptr || store->committed() == kSyncEpoch) return;
  left.recorded =
      Guarded([&] { return here_.ledger.SessionEnded(store->committed(), connection.committed_s(), goodbye); });
}

/// Under the lock.
void BackupGuest::FillEnd(const BackupConnection& connection, bool goodbye, Left& left) const {
  using Copy = SessionEnd::Copy;
  left.end.said = connection.handed_over() ? SessionEnd::Said::kHandedOver
                  : goodbye                ? SessionEnd::Said::kGoodbye
                                           : SessionEnd::Said::kNothing;
  left.end.silent = connection.end().code() == StatusCode::kPeerLost;
  left.end.auto_promote = here_.options.auto_promote;
  left.end.shutting_down = here_.shutting_down;
  left.end.stood_still = connection.stood_still();
  left.end.arbiter = !here_.options.arbiter.empty();
  if (!connection.has_store()) {
    left.end.copy = here_.store || !here_.refusal.empty() ? Copy::kEarlier : Copy::kNone;
  } else {
    left.end.copy = !left.finished.ok() ? Copy::kBroken : here_.HasCommitted() ? Copy::kWhole : Copy::kPartial;
  }
}

void BackupGuest::OnEnded(BackupConnection& connection) {
  trial_.End();
  const bool goodbye = connection.goodbye() && connection.goodbye() != wire::Goodbye::kHandedOver;
  Left left;
  FinishStore(connection, goodbye, left);
  std::unique_lock lock(here_.mutex);
  FillEnd(connection, goodbye, left);
  switch (DecideAfterSession(left.end)) {
    case AfterSession::kLeave: return ForgetConnection();
    case AfterSession::kWait: return WaitForAnother(connection, left, std::move(lock));
    case AfterSession::kHold:
    case AfterSession::kListenFirst:
    case AfterSession::kPromote: return HoldOrPromote(connection, left, DecideAfterSession(left.end), std::move(lock));
    case AfterSession::kTakeOver: return TakeOver(connection, std::move(lock));
    case AfterSession::kRefuseHandOver: return RefuseHandOver(connection, left, std::move(lock));
  }
}

void BackupGuest::GiveUp(const Status& why) {
  const bool running = here_.activator.Running();
  std::lock_guard lock(here_.mutex);
  if (running) {
    here_.state = BackupState::kPromoted;
  } else if (here_.connection || here_.state == BackupState::kPromoting) {
    here_.state = here_.HasCommitted() ? BackupState::kPrimaryLost : BackupState::kWaiting;
  }
  here_.listening = here_.heard = here_.taking_over = false;
  here_.message = why.message();
  ForgetConnection();
}

void BackupGuest::ForgetConnection() {
  here_.connection.reset();
  here_.primary_says = {};
  here_.changed.notify_all();
}

void BackupGuest::WaitForAnother(const BackupConnection& connection, const Left& left, std::unique_lock<Mutex> lock) {
  const bool goodbye = left.end.said == SessionEnd::Said::kGoodbye;
  const bool off = goodbye && connection.goodbye() == wire::Goodbye::kGuestPoweredOff;
  here_.message = off       ? "the guest was powered off"
                  : goodbye ? "the primary ended protection"
                  : !left.finished.ok()
                      ? left.finished.message()
                      : "the session ended before its first checkpoint: " + connection.end().message();
  here_.state = BackupState::kWaiting;
  lock.unlock();
  here_.activator.Discard();
  lock.lock();
  if (!left.finished.ok()) here_.store.reset();
  ForgetConnection();
}

void BackupGuest::HoldOrPromote(const BackupConnection& connection, const Left& left, AfterSession next,
                                std::unique_lock<Mutex> lock) {
  here_.state = next == AfterSession::kPromote ? BackupState::kPromoting : BackupState::kPrimaryLost;
  here_.message = connection.end().message() + (left.recorded.ok() ? "" : "; " + left.recorded.message());
  here_.listening = next == AfterSession::kListenFirst;
  if (here_.listening) {
    here_.message += "; this host stood still: the guest is started here unless its primary comes back within " +
                     std::to_string(promotion_.Patience().count()) + " ms";
  }
  here_.token = connection.token();
  ForgetConnection();
  lock.unlock();
  if (next == AfterSession::kListenFirst) return promotion_.PromoteUnlessHeard();
  if (next == AfterSession::kHold) return;
  promotion_.PromoteByItself();
}

void BackupGuest::TakeOver(BackupConnection& connection, std::unique_lock<Mutex> lock) {
  here_.state = BackupState::kPromoting;
  here_.message = connection.end().message();
  here_.token = connection.token();
  here_.connection.reset();
  here_.taking_over = true;
  lock.unlock();
  Status started = promotion_.Promote(Promotion::Ask::kOnce);
  lock.lock();
  here_.taking_over = false;
  here_.changed.notify_all();
  lock.unlock();
  // It goes on at the primary as soon as that reads the answer: nothing may run here.
  if (!started.ok()) here_.activator.Discard();
  connection.AnswerHandOver(started);
}

void BackupGuest::RefuseHandOver(BackupConnection& connection, const Left& left, std::unique_lock<Mutex> lock) {
  Status why = left.end.shutting_down ? ShuttingDown() : left.finished;
  if (why.ok()) why = {StatusCode::kProtocol, "the guest was handed over before its first checkpoint"};
  here_.state = BackupState::kWaiting;
  here_.message = why.message();
  here_.token = connection.token();
  ForgetConnection();
  lock.unlock();
  // It goes on at the primary as soon as that reads the answer: nothing may run here.
  here_.activator.Discard();
  connection.AnswerHandOver(why);
}

// --- what persons ask -------------------------------------------------------------

Status BackupGuest::HandOver() {
  const std::string& name = here_.options.name;
  std::shared_ptr<BackupConnection> connection;
  {
    std::unique_lock lock(here_.mutex);
    connection = here_.connection;
    if (here_.state == BackupState::kPromoted) return {StatusCode::kRefused, "guest " + name + " runs here already"};
    if (!connection || here_.state != BackupState::kProtecting) {
      return {StatusCode::kRefused,
              "guest " + name + " is not protected at this moment, so that its primary could hand it over"};
    }
    if ((connection->features() & wire::kFeatureHandOver) == 0) {
      return {StatusCode::kRefused, "the primary of guest " + name + " is of a version that cannot hand over"};
    }
    if (!connection->MarkHandOverAsked()) {
      return {StatusCode::kRefused, "a hand-over of guest " + name + " is under way"};
    }
  }
  HAVEN_RETURN_IF_ERROR(connection->AskForHandOver());
  std::unique_lock lock(here_.mutex);
  // The primary's silence ends the session, and its GOODBYE, too.
  here_.changed.wait(lock, [&] { return here_.connection != connection && !here_.taking_over; });
  if (here_.state == BackupState::kPromoted) return Status::Ok();
  return {StatusCode::kRefused, "guest " + name + " was not handed over: " + here_.message};
}

BackupStatus BackupGuest::Query() {
  BackupStatus status;
  if (auto record = here_.ledger.Read(); record.ok() && !record.value().lineage.empty()) {
    status.generation = HexOf(record.value().lineage.current().id);
  }
  std::lock_guard lock(here_.mutex);
  status.state = here_.state;
  status.message = here_.refusal.empty() ? here_.message
                                         : (here_.message.empty() ? "" : here_.message + "; ") +
                                               "the last primary that came was refused: " + here_.refusal;
  if (here_.PrimaryStuck()) {
    status.state = BackupState::kStuck;
    status.message = DescribeStuck(here_.primary_says);
  } else if (here_.state == BackupState::kProtecting && status.message.empty()) {
    status.message = DescribeRun(here_.primary_says.run);
  }
  status.run_state = GuestRunName(here_.Run());
  status.newer = here_.newer;
  status.failover_ms = here_.failover_ms;
  status.journal_limit_bytes = here_.options.journal_limit_bytes;
  if (here_.connection) status.primary = here_.connection->peer();
  if (here_.store) {
    status.epoch = here_.store->committed();
    status.memory_wire_bytes = here_.store->memory_bytes();
    status.disk_wire_bytes = here_.store->disk_bytes();
    status.journal_bytes = here_.store->journal_bytes();
    if (here_.state == BackupState::kPromoted) status.promoted_epoch = status.epoch;
  }
  return status;
}

BackupStatus BackupGuest::QueryWithGuest() {
  BackupStatus status = Query();
  if (status.state == BackupState::kWaiting && here_.activator.Running()) status.state = BackupState::kPromoted;
  return status;
}

}  // namespace haven::session
