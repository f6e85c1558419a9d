// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_guest.h"

#include <atomic>
#include <ctime>

#include "core/threads.h"
#include "core/assert.h"
#include "core/random_token.h"
#include "session/arbiter.h"
#include "session/heartbeat.h"
#include "session/primary_connection.h"

namespace haven::session {
namespace {

constexpr milliseconds kArbiterRetryInterval{1000};
/// How long a peer gets to read an ERROR before the connection is closed.
constexpr milliseconds kErrorLinger{500};

/// Waits until the peer has closed: closing with unread octets in our socket
/// would reset the connection and take what was sent last with it.
void AwaitClose(Link& link) {
  Instant deadline = link.clock().Now() + kErrorLinger;
  Record record;
  while (link.clock().Now() < deadline && link.Receive(record, kErrorLinger).ok()) {
  }
  link.Close();
}

void Reject(Link& link, wire::Error code, const std::string& message) {
  SendError(link, code, message);
  AwaitClose(link);
}

wire::Error ErrorCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kRefused:
    case StatusCode::kInvalid: return wire::Error::kLayout;
    case StatusCode::kEnvironment: return wire::Error::kEnvironment;
    default: return wire::Error::kProtocol;
  }
}

}  // namespace

struct BackupGuest::Live {
  Live(BackupSession::Events& events, std::unique_ptr<Link> link, milliseconds deadline_in,
       uint32_t primary_deadline_ms, uint64_t features)
      : control(std::move(link)),
        session(events, *control, features),
        deadline(deadline_in),
        heartbeat(*control, HeartbeatDeadline(deadline_in, primary_deadline_ms)) {}

  std::unique_ptr<Link> control;
  BackupSession session;
  milliseconds deadline;
  wire::Token token{};
  uint64_t features = 0;
  std::string peer;

  Mutex mutex;  ///< guards what follows
  Condition changed;
  std::unique_ptr<Link> disk, memory;
  Thread disk_thread, memory_thread;
  bool ended = false;
  Status end;
  bool control_ended = false;  ///< nothing more comes on `control`
  bool handed_over = false;    ///< control thread: the primary waits for an answer on `control`

  Heartbeat heartbeat;  // last: its thread uses `control`
};

const char* BackupStateName(BackupState state) {
  switch (state) {
    case BackupState::kWaiting: return "waiting";
    case BackupState::kSyncing: return "syncing";
    case BackupState::kProtecting: return "protecting";
    case BackupState::kPrimaryLost: return "primary-lost";
    case BackupState::kPromoting: return "promoting";
    case BackupState::kPromoted: return "promoted";
    case BackupState::kFailed: return "failed";
  }
  HAVEN_ASSERT(false);
}

BackupGuest::BackupGuest(BackupGuestOptions options, Activator& activator)
    : options_(std::move(options)),
      activator_(activator),
      ledger_({options_.name, options_.disks, options_.create}, options_.state_dir) {}

BackupGuest::~BackupGuest() {
  std::shared_ptr<Live> live;
  {
    std::lock_guard lock(mutex_);
    shutting_down_ = true;
    live = live_;
  }
  changed_.notify_all();
  if (live) End(*live, {StatusCode::kEnvironment, "the backup's havend is shutting down"}, wire::Error::kEnvironment);
  if (control_thread_.joinable()) control_thread_.join();
  if (!activator_.Running()) activator_.Discard();
}

StoreOptions BackupGuest::MakeStoreOptions() const {
  return {options_.state_dir, options_.ram_region, options_.disks, options_.durable, options_.memory_limit_bytes};
}

uint64_t BackupGuest::Features() const {
  return options_.share_group.empty() ? wire::kFeaturesKnown & ~wire::kFeatureSharedPages : wire::kFeaturesKnown;
}

Status BackupGuest::Recover() {
  // Nothing of what is found here may keep havend, and its other guests, from starting.
  auto record = ledger_.Read();
  Status usable = record.status();
  if (usable.ok() && record.value().role == wire::Role::kNone && BackupStore::HasJournal(MakeStoreOptions())) {
    usable = {StatusCode::kRefused,
              "the replicas are of an earlier version, which kept no generations: if the primary's disks are right, "
              "run haven adopt " +
                  options_.name + " here"};
  }
  // A guest that was started here has written to its disks since: the journal is of the time before.
  const bool ours =
      usable.ok() && record.value().role == wire::Role::kBackup && !record.value().partial && !record.value().discarded;
  if (ours) usable = CheckBonds(record.value());
  if (ours && usable.ok()) {
    auto epoch = BackupStore::Recover(MakeStoreOptions());
    usable = epoch.status();
    if (epoch.ok() && epoch.value() != kSyncEpoch && SurelyWhole(record.value())) {
      usable = ledger_.SessionEnded(epoch.value(), record.value().committed_s, record.value().life_ended);
    }
  }
  if (!usable.ok()) SetState(BackupState::kWaiting, usable.message());
  return Status::Ok();
}

// --- connections --------------------------------------------------------------

void BackupGuest::Attach(std::unique_ptr<Link> link, const wire::Hello& hello) {
  if (hello.version_min > wire::kVersionMax || hello.version_max < wire::kVersionMin) {
    Reject(*link, wire::Error::kVersion,
           "this havend speaks protocol versions " + std::to_string(wire::kVersionMin) + " to " +
               std::to_string(wire::kVersionMax));
    return;
  }
  if (hello.connection == wire::Connection::kQuery) {
    AttachQuery(std::move(link));
  } else if (hello.connection == wire::Connection::kControl) {
    AttachControl(std::move(link), hello);
  } else {
    AttachOther(std::move(link), hello);
  }
}

void BackupGuest::AttachControl(std::unique_ptr<Link> link, const wire::Hello& hello) {
  // A promoted guest that has ended makes room for a new one.
  bool running = activator_.Running();
  std::unique_lock lock(mutex_);
  if (state_ == BackupState::kPromoted && !running) {
    state_ = BackupState::kWaiting;
    message_ = "the guest ran here, and has ended";
    store_.reset();  // its replicas are not what a primary has sent any more
  }
  if (running) {  // also one that an earlier run of this program promoted
    lock.unlock();
    Reject(*link, wire::Error::kPromoted, "guest " + options_.name + " was promoted and runs on the backup");
    return;
  }
  if (live_ || shutting_down_ || state_ == BackupState::kPromoting || failover_wanted_ > 0) {
    lock.unlock();
    Reject(*link, wire::Error::kBusy, "guest " + options_.name + " has a session or a promotion under way");
    return;
  }
  if (control_thread_.joinable()) control_thread_.join();  // of the session before; it has ended
  wire::HelloReply reply;
  reply.version = std::min(hello.version_max, wire::kVersionMax);
  reply.features = hello.features & Features();
  reply.token = RandomToken();
  reply.deadline_ms = static_cast<uint32_t>(options_.deadline.count());
  if (!link->Send(wire::Type::kHelloReply, kSyncEpoch, wire::Encode(reply)).ok()) return;
  goodbye_ = false;
  hand_over_asked_ = false;
  BackupSession::Events& events = *this;
  link->SetSendTimeout(options_.deadline);
  store_is_of_live_ = false;
  live_ = std::make_shared<Live>(events, std::move(link), options_.deadline, hello.deadline_ms, reply.features);
  live_->token = reply.token;
  live_->features = reply.features;
  live_->peer = live_peer_ = live_->control->PeerName();
  control_thread_ = Thread([this, live = live_] { RunControl(live); });
}

void BackupGuest::AttachOther(std::unique_ptr<Link> link, const wire::Hello& hello) {
  std::shared_ptr<Live> live;
  {
    std::lock_guard lock(mutex_);
    if (live_ && live_->token == hello.token) live = live_;
  }
  if (!live) {
    Reject(*link, wire::Error::kProtocol, "no such session");
    return;
  }
  std::unique_lock lock(live->mutex);
  auto& place = hello.connection == wire::Connection::kDisk ? live->disk : live->memory;
  if (place || live->ended) {
    lock.unlock();
    Reject(*link, wire::Error::kProtocol, "this connection of the session exists already");
    return;
  }
  wire::HelloReply reply;
  reply.features = hello.features & Features();
  reply.token = hello.token;
  reply.deadline_ms = static_cast<uint32_t>(options_.deadline.count());
  if (!link->Send(wire::Type::kHelloReply, kSyncEpoch, wire::Encode(reply)).ok()) return;
  place = std::move(link);
  // The threads are joined by the control thread, which keeps `live`.
  if (hello.connection == wire::Connection::kDisk) {
    live->disk_thread = Thread([this, live] { RunDisk(live); });
  } else {
    live->memory_thread = Thread([this, live] { RunMemory(live); });
  }
}

void BackupGuest::RunDisk(std::shared_ptr<Live> live) {
  Record record;
  Status status;
  while (status.ok()) {
    status = live->disk->Receive(record);
    if (status.ok()) status = live->session.OnDisk(record, *live->disk);
  }
  EndUnlessExplained(*live, status);
}

void BackupGuest::RunMemory(std::shared_ptr<Live> live) {
  Record record;
  Status status;
  while (status.ok()) {
    status = live->memory->Receive(record);
    if (status.ok()) status = live->session.OnMemory(record);
  }
  EndUnlessExplained(*live, status);
}

void BackupGuest::RunControl(std::shared_ptr<Live> live) {
  Record record;
  Status status;
  while (status.ok()) {
    status = live->control->Receive(record, live->deadline);
    if (status.ok()) status = live->session.OnControl(record);
  }
  bool first = BeginEnd(*live, status);
  if (first && status.code() != StatusCode::kPeerLost) {
    Reject(*live->control, ErrorCodeOf(status), status.message());
  }
  {
    std::lock_guard lock(mutex_);
    live->handed_over = first && goodbye_ && goodbye_reason_ == wire::Goodbye::kHandedOver;
  }
  if (!live->handed_over) live->control->Close();
  CloseData(*live);
  Thread disk, memory;
  {
    std::lock_guard lock(live->mutex);
    live->control_ended = true;
    live->changed.notify_all();
    disk.swap(live->disk_thread);
    memory.swap(live->memory_thread);
  }
  if (disk.joinable()) disk.join();
  if (memory.joinable()) memory.join();
  AfterSession(*live);
  live->control->Close();
}

bool BackupGuest::BeginEnd(Live& live, const Status& status) {
  std::lock_guard lock(live.mutex);
  if (live.ended) return false;
  live.ended = true;
  live.end = status;
  live.changed.notify_all();
  return true;
}

void BackupGuest::CloseAll(Live& live) {
  live.control->Close();
  CloseData(live);
}

void BackupGuest::CloseData(Live& live) {
  std::lock_guard lock(live.mutex);
  if (live.disk) live.disk->Close();
  if (live.memory) live.memory->Close();
}

void BackupGuest::EndUnlessExplained(Live& live, const Status& status) {
  if (status.code() == StatusCode::kPeerLost) {
    std::unique_lock lock(live.mutex);
    live.control->clock().WaitFor(live.changed, lock, kErrorLinger, [&] { return live.ended; });
  }
  End(live, status, ErrorCodeOf(status));
}

void BackupGuest::End(Live& live, const Status& status, wire::Error code) {
  if (!BeginEnd(live, status)) return;
  if (status.code() != StatusCode::kPeerLost) {
    // Before anything is closed: a primary that saw another connection end
    // first would not read why, and after PROMOTED it must know.
    SendError(*live.control, code, status.message());
    std::unique_lock lock(live.mutex);
    // The primary closes when it has read the ERROR; the control thread sees that.
    live.control->clock().WaitFor(live.changed, lock, kErrorLinger, [&] { return live.control_ended; });
  }
  CloseAll(live);
}

void BackupGuest::AfterSession(Live& live) {
  // That it cannot be written down takes nothing from a checkpoint.
  Status finished, recorded;
  std::unique_lock lock(mutex_);
  bool shutting_down = shutting_down_;
  bool goodbye = goodbye_ && goodbye_reason_ != wire::Goodbye::kHandedOver;
  Epoch committed = kSyncEpoch;
  if (store_ && store_is_of_live_) {
    finished = store_->Finish();
    committed = store_->committed();
    if (finished.ok() && committed != kSyncEpoch) recorded = ledger_.SessionEnded(committed, committed_s_, goodbye);
  }
  bool peer_lost = live.end.code() == StatusCode::kPeerLost;
  // Without a LAYOUT nothing has changed, except that the primary was alive
  // after the checkpoint that is held here: no reason to start from it.
  bool nothing_new = !store_is_of_live_ && (store_ || !refusal_.empty()) && !goodbye;
  if (live.handed_over) {
    lock.unlock();
    TakeOver(live, shutting_down ? Status(StatusCode::kEnvironment, "the backup's havend is shutting down") : finished);
    return;
  }
  if (shutting_down || nothing_new) {
    live_.reset();
    changed_.notify_all();
    return;
  }
  if (goodbye || committed == kSyncEpoch || !finished.ok()) {
    bool off = goodbye && goodbye_reason_ == wire::Goodbye::kGuestPoweredOff;
    message_ = off              ? "the guest was powered off"
               : goodbye        ? "the primary ended protection"
               : !finished.ok() ? finished.message()
                                : "the session ended before its first checkpoint: " + live.end.message();
    state_ = BackupState::kWaiting;
    lock.unlock();
    activator_.Discard();
    lock.lock();
    if (!finished.ok()) store_.reset();
    live_.reset();
    changed_.notify_all();
    return;
  }
  state_ = BackupState::kPrimaryLost;
  message_ = live.end.message() + (recorded.ok() ? "" : "; " + recorded.message());
  token_ = live.token;
  bool promote = peer_lost && options_.auto_promote;
  if (promote) state_ = BackupState::kPromoting;
  live_.reset();
  changed_.notify_all();
  lock.unlock();
  if (promote) {
    Status promoted = Promote(Ask::kUntilAnswered);
    (void)promoted;  // the state and its message say it
  }
}

void BackupGuest::TakeOver(Live& live, Status usable) {
  {
    std::lock_guard lock(mutex_);
    if (usable.ok() && (!store_is_of_live_ || store_->committed() == kSyncEpoch)) {
      usable = {StatusCode::kProtocol, "the guest was handed over before its first checkpoint"};
    }
    state_ = usable.ok() ? BackupState::kPromoting : BackupState::kWaiting;
    message_ = usable.ok() ? live.end.message() : usable.message();
    token_ = live.token;
    live_.reset();
  }
  if (usable.ok()) usable = Promote(Ask::kOnce);
  changed_.notify_all();
  if (usable.ok()) {
    Bytes body = wire::Encode(wire::GoodbyeBody{wire::Goodbye::kHandedOver});
    Status ignored = live.control->Send(wire::Type::kGoodbye, kSyncEpoch, body);
    (void)ignored;  // the primary stays halted, or asks the arbiter
    AwaitClose(*live.control);
  } else {
    // It goes on at the primary as soon as that reads this: nothing may run here.
    activator_.Discard();
    Reject(*live.control, wire::Error::kEnvironment, usable.message());
  }
}

// --- the session's events ---------------------------------------------------

Result<std::unique_ptr<memrep::StoreLease>> BackupGuest::OnStore(const wire::Token& host) {
  return options_.page_stores->Lease(options_.share_group, host);
}

Result<BackupStore*> BackupGuest::OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) {
  bool same_guest;
  {
    std::lock_guard lock(mutex_);
    // The replicas are what this run of the guest has sent, up to the last
    // commit: only what came later is missing.
    // After a failed start of the guest they may be anything.
    same_guest = store_ != nullptr && store_->layout() == layout && state_ != BackupState::kFailed;
  }
  // Whatever runs here owns the disks; what waits for them is ours.
  HAVEN_RETURN_IF_ERROR(activator_.MayStart());
  activator_.Discard();
  {
    std::lock_guard lock(mutex_);
    store_.reset();
    state_ = BackupState::kSyncing;
    message_.clear();
  }
  copies.assign(layout.disks.size(), same_guest ? wire::LayoutReply::Copy::kChanged : wire::LayoutReply::Copy::kAll);
  HAVEN_RETURN_IF_ERROR(MakeStore(layout, copies));
  std::lock_guard lock(mutex_);
  store_is_of_live_ = true;
  primary_started_s_ = 0;
  return store_.get();
}

Status BackupGuest::CheckReplicas(const blkrep::GuestRecord& record, const wire::Layout& layout,
                                  std::vector<blkrep::ReplicaOptions>& how,
                                  std::vector<wire::LayoutReply::Copy>& copies) {
  for (size_t i = 0; i < layout.disks.size(); i++) {
    auto ruling = RuleOnReplica(ledger_.setting(), record, layout.disks[i]);
    if (!ruling.ok()) return ruling.status();
    how.push_back(ruling.value().options);
    if (!ruling.value().kept) copies[i] = wire::LayoutReply::Copy::kAll;
  }
  return Status::Ok();
}

Status BackupGuest::MakeStore(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) {
  auto record = ledger_.Read();
  if (!record.ok()) return record.status();
  std::vector<blkrep::ReplicaOptions> how;
  HAVEN_RETURN_IF_ERROR(CheckReplicas(record.value(), layout, how, copies));
  wire::Identity primary;
  wire::Token session;
  {
    std::lock_guard lock(mutex_);
    primary = primary_;
    session = live_->token;
  }
  auto begin = [&] { return ledger_.BeginCopy(primary, layout, session); };
  auto store = BackupStore::Create(MakeStoreOptions(), layout, how, begin);
  if (!store.ok()) return store.status();
  Status prepared = activator_.Prepare(store.value()->image());
  if (!prepared.ok()) {
    activator_.Discard();  // the image goes now
    return prepared;
  }
  std::lock_guard lock(mutex_);
  store_ = std::move(store.value());
  return Status::Ok();
}

void BackupGuest::OnCommitted(Epoch epoch) {
  {
    std::lock_guard lock(mutex_);
    committed_s_ = static_cast<uint64_t>(time(nullptr));
  }
  if (epoch == 1) {
    Status whole = ledger_.Whole(epoch);
    SetState(BackupState::kProtecting, whole.ok() ? "" : whole.message());
  }
  // The store lives as long as the session, on whose memory thread this is.
  activator_.Committed(store_->image());
}

void BackupGuest::OnGoodbye(wire::Goodbye reason) {
  std::lock_guard lock(mutex_);
  goodbye_ = true;
  goodbye_reason_ = reason;
}

void BackupGuest::SetState(BackupState state, const std::string& message) {
  std::lock_guard lock(mutex_);
  state_ = state;
  message_ = message;
}

// --- promotion ----------------------------------------------------------------

Status BackupGuest::AskForPromotion(Ask ask) {
  while (ask != Ask::kNobody && !options_.arbiter.empty()) {
    Status verdict = AskArbiter(options_.arbiter, options_.name, Hex(token_), "backup");
    if (verdict.code() == StatusCode::kRefused) {
      return verdict.With("not promoted: the arbiter decided for the primary");
    }
    if (verdict.ok()) return verdict;
    if (ask == Ask::kOnce) return verdict.With("not promoted: the arbiter gave no answer");
    SetState(BackupState::kPromoting, "waiting for the arbiter: " + verdict.message());
    std::unique_lock lock(mutex_);
    options_.clock->WaitFor(changed_, lock, kArbiterRetryInterval,
                            [this] { return shutting_down_ || failover_wanted_ > 0; });
    if (shutting_down_ || failover_wanted_ > 0) return verdict.With("not promoted yet");
  }
  return Status::Ok();
}

Status BackupGuest::Promote(Ask ask) {
  std::lock_guard one(promote_mutex_);
  {
    std::lock_guard lock(mutex_);
    if (state_ == BackupState::kPromoted) return Status::Ok();
    // A primary may have come (back) until this lock was had.
    if (live_ || !store_ || store_->committed() == kSyncEpoch) {
      return {StatusCode::kRefused, "the primary of guest " + options_.name + " has come back"};
    }
    state_ = BackupState::kPromoting;
  }
  Instant start = SteadyClock::now();
  Status verdict = AskForPromotion(ask);
  if (!verdict.ok()) {
    SetState(BackupState::kPrimaryLost, verdict.message());
    return verdict;
  }
  blkrep::GuestRecord before;
  Status recorded = ledger_.Promote(Origin::kPromoted, before);
  if (!recorded.ok()) {
    recorded = recorded.With("not promoted: nothing would say that the copy here is newer");
    SetState(BackupState::kPrimaryLost, recorded.message());
    return recorded;
  }
  store_->ReleaseReplicas();  // the guest locks its disks itself
  Status activated = activator_.Activate(store_->image());
  if (!activated.ok() && !activator_.Running()) {
    // It never ran: the primary's copy is as new as it was.
    Status back = ledger_.TakeBack(before);
    if (!back.ok()) activated = activated.With(back.message());
  }
  auto took = std::chrono::duration_cast<milliseconds>(SteadyClock::now() - start);
  std::lock_guard lock(mutex_);
  failover_ms_ = static_cast<uint64_t>(took.count());
  state_ = activated.ok() ? BackupState::kPromoted : BackupState::kFailed;
  message_ = activated.ok() ? "" : "the guest could not be started: " + activated.message();
  return activated;
}

/// Whatever it says: a primary that asks from now on has lost.
void BackupGuest::ClaimArbiter(const wire::Token& token) {
  if (options_.arbiter.empty()) return;
  Status ignored = AskArbiter(options_.arbiter, options_.name, Hex(token), "backup");
  (void)ignored;
}

Status BackupGuest::Failover(bool force) {
  std::shared_ptr<Live> live;
  {
    std::lock_guard lock(mutex_);
    live = live_;
    if (state_ == BackupState::kPromoted)
      return {StatusCode::kRefused, "guest " + options_.name + " runs here already"};
    if (!store_ || store_->committed() == kSyncEpoch) {
      return {StatusCode::kRefused, "there is no complete checkpoint of guest " + options_.name +
                                        " here; haven failover --cold " + options_.name +
                                        " boots it from its replicas, if they are whole"};
    }
    if (state_ == BackupState::kWaiting)
      return {StatusCode::kRefused, "guest " + options_.name + " is not protected: " + message_};
    if (live && !force) {
      return {StatusCode::kRefused, "the primary of guest " + options_.name +
                                        " still answers; end it or its protection first, or say --force"};
    }
    if (!force) HAVEN_RETURN_IF_ERROR(RefuseIfPrimaryStarted());
    // No primary may come now, and a promotion that waits for its arbiter
    // makes way for the person's.
    failover_wanted_++;
    changed_.notify_all();
  }
  if (force) ClaimArbiter(live ? live->token : token_);
  if (live) {
    End(*live, {StatusCode::kRefused, "the backup was promoted by order of an administrator"}, wire::Error::kPromoted);
    live.reset();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return live_ == nullptr; });
  }
  Status promoted = Promote(force ? Ask::kNobody : Ask::kOnce);
  std::lock_guard lock(mutex_);
  failover_wanted_--;
  return promoted;
}

Status BackupGuest::HandOver() {
  std::shared_ptr<Live> live;
  {
    std::unique_lock lock(mutex_);
    live = live_;
    if (state_ == BackupState::kPromoted)
      return {StatusCode::kRefused, "guest " + options_.name + " runs here already"};
    if (!live || state_ != BackupState::kProtecting) {
      return {StatusCode::kRefused,
              "guest " + options_.name + " is not protected at this moment, so that its primary could hand it over"};
    }
    if ((live->features & wire::kFeatureHandOver) == 0) {
      return {StatusCode::kRefused, "the primary of guest " + options_.name + " is of a version that cannot hand over"};
    }
    if (hand_over_asked_) return {StatusCode::kRefused, "a hand-over of guest " + options_.name + " is under way"};
    hand_over_asked_ = true;
  }
  HAVEN_RETURN_IF_ERROR(live->control->Send(wire::Type::kHandOver, kSyncEpoch, ByteSpan{}));
  std::unique_lock lock(mutex_);
  // The primary's silence ends the session, and its GOODBYE, too.
  changed_.wait(lock, [&] { return live_ != live && state_ != BackupState::kPromoting; });
  if (state_ == BackupState::kPromoted) return Status::Ok();
  return {StatusCode::kRefused, "guest " + options_.name + " was not handed over: " + message_};
}

BackupStatus BackupGuest::Query() {
  BackupStatus status;
  if (auto record = ledger_.Read(); record.ok() && !record.value().lineage.empty()) {
    status.generation = HexOf(record.value().lineage.current().id);
  }
  std::lock_guard lock(mutex_);
  status.state = state_;
  status.message = refusal_.empty() ? message_
                                    : (message_.empty() ? "" : message_ + "; ") +
                                          "the last primary that came was refused: " + refusal_;
  status.newer = newer_;
  status.failover_ms = failover_ms_;
  if (live_) status.primary = live_->peer;
  if (store_) {
    status.epoch = store_->committed();
    status.memory_wire_bytes = store_->memory_bytes();
    status.disk_wire_bytes = store_->disk_bytes();
    status.journal_bytes = store_->journal_bytes();
    if (state_ == BackupState::kPromoted) status.promoted_epoch = status.epoch;
  }
  return status;
}

BackupStatus BackupGuest::QueryWithGuest() {
  BackupStatus status = Query();
  if (status.state == BackupState::kWaiting && activator_.Running()) status.state = BackupState::kPromoted;
  return status;
}

}  // namespace haven::session
