// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_session.h"

#include <algorithm>
#include <bit>
#include <ctime>

#include "core/threads.h"
#include "core/assert.h"
#include "core/failpoint.h"
#include "core/host_boot.h"
#include "core/random_token.h"
#include "memrep/fgbi_encoder.h"
#include "session/arbiter.h"
#include "session/heartbeat.h"
#include "session/memory_sender.h"
#include "session/newer_wins.h"

namespace haven::session {
namespace {

constexpr milliseconds kRetryInterval{500};
constexpr int kRecordTries = 20;
constexpr milliseconds kExplanationGrace{200};
constexpr milliseconds kArbiterRetryInterval{1000};
/// The first copy ends when a round finds no more dirty pages than this ...
constexpr uint64_t kFewDirtyPages = 1024;
/// ... or after this many rounds, for a guest that dirties faster than they travel.
constexpr int kMaxSyncRounds = 8;
/// The encoder's copies of pages, when nothing else is said: this part of the
/// guest's memory, within limits.
constexpr uint64_t kCachePart = 8;
constexpr uint64_t kMinCacheBytes = 16ull << 20;
constexpr uint64_t kMaxCacheBytes = 1ull << 30;

/// CPU time of the calling thread.
microseconds ThreadCpu() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) +
         std::chrono::duration_cast<microseconds>(std::chrono::nanoseconds(now.tv_nsec));
}

uint64_t CountPages(const std::vector<std::vector<uint64_t>>& bitmaps) {
  uint64_t pages = 0;
  for (const auto& bitmap : bitmaps) {
    for (uint64_t word : bitmap) pages += static_cast<uint64_t>(std::popcount(word));
  }
  return pages;
}

/// Notices a backup that answers, but does not acknowledge the guest's writes:
/// they would wait for ever, and the guest with them.
struct AckWatch {
  uint64_t acknowledged = 0;
  std::optional<Instant> since;  ///< of the first look that found requests waiting and nothing new

  Status Check(const blkrep::DiskReplicator::Acks& acks, Instant now, milliseconds patience) {
    if (!acks.waiting || acks.acknowledged != acknowledged || !since) {
      since = acks.waiting ? std::optional(now) : std::nullopt;
      acknowledged = acks.acknowledged;
      return Status::Ok();
    }
    if (now - *since < patience) return Status::Ok();
    return {StatusCode::kPeerLost, "the backup answers, but does not acknowledge disk writes"};
  }
};

PrimaryPlace PlaceOf(const PrimaryOptions& options, const std::vector<blkrep::DiskReplicator::Disk>& disks) {
  PrimaryPlace place{options.connect.guest, options.state_dir, {}, options.disk_paths};
  for (const auto& disk : disks) place.disks.push_back({disk.name, disk.bytes});
  return place;
}

Status Ended() { return {StatusCode::kPeerLost, "protection is being ended"}; }

}  // namespace

const char* PrimaryStateName(PrimaryState state) {
  switch (state) {
    case PrimaryState::kConnecting: return "connecting";
    case PrimaryState::kSyncing: return "syncing";
    case PrimaryState::kProtected: return "protected";
    case PrimaryState::kUnprotected: return "unprotected";
    case PrimaryState::kRefused: return "refused";
    case PrimaryState::kLost: return "lost";
    case PrimaryState::kStopped: return "stopped";
  }
  HAVEN_ASSERT(false);
}

PrimarySession::PrimarySession(PrimaryOptions options, Guest& guest, std::vector<blkrep::DiskReplicator::Disk> disks)
    : options_(std::move(options)),
      clock_(*options_.connect.clock),
      guest_(guest),
      ledger_(PlaceOf(options_, disks), options_.life),
      main_(guest),
      disks_(std::move(disks)),
      workers_(options_.threads),
      output_(options_.output_limit_bytes),
      checkpointer_(guest, output_, disks_, &workers_) {
  layout_.instance = RandomToken();
  for (const auto& region : guest_.regions()) layout_.regions.push_back({region.name, region.bytes});
  for (const auto& disk : disks_.disks()) layout_.disks.push_back({disk.name, disk.bytes});
  driver_ = Thread([this] { Drive(); });
}

Status PrimarySession::CheckState(const PrimaryOptions& options,
                                  const std::vector<blkrep::DiskReplicator::Disk>& disks) {
  return PrimaryLedger(PlaceOf(options, disks), options.life).Check();
}

PrimarySession::~PrimarySession() {
  Stop(wire::Goodbye::kUnprotect);
  driver_.join();
}

// --- the driver -----------------------------------------------------------

void PrimarySession::Drive() {
  while (true) {
    ConnectionEnd end = RunConnection();
    if (!AfterConnection(end)) return;
    std::unique_lock lock(mutex_);
    if (clock_.WaitFor(changed_, lock, kRetryInterval, [this] { return stopping_; })) return;
  }
}

ConnectionEnd PrimarySession::RunConnection() {
  {
    std::lock_guard lock(mutex_);
    connection_failed_ = false;
    goodbye_acknowledged_ = false;
    hand_over_ = HandOverStage::kNone;
    committed_ = kSyncEpoch;
    cut_ = kSyncEpoch;
    links_.clear();
    if (stopping_) return EndOf(Ended());
  }
  ConnectionEnd end;
  auto opened = [this](std::shared_ptr<Link> link) {
    std::lock_guard lock(mutex_);
    if (stopping_) link->Close();
    links_.push_back(std::move(link));
  };
  auto connection = Connect(options_.connect, end, opened);
  if (!connection.ok()) {
    Fail(end);  // a Stop() may be waiting for an answer
    return end;
  }
  PrimaryConnection& c = *connection.value();
  Heartbeat heartbeat(*c.control, HeartbeatDeadline(options_.connect.deadline, c.backup_deadline_ms));
  Status prepared = CompareWith(c, end);
  if (prepared.ok()) prepared = PrepareSharing(c, end);
  if (!prepared.ok()) {
    Fail(end);
    return end;
  }
  SetState(PrimaryState::kSyncing, sharing_note_);
  auto reply = SendLayout(*c.control, layout_, options_.connect.deadline, end);
  if (!reply.ok()) {
    EndEncoder();
    Fail(end);
    return end;
  }
  if (!RecordSession(c, end).ok()) {
    EndEncoder();
    Fail(end, Tell::kBackup);
    return end;
  }
  {
    std::lock_guard lock(mutex_);
    token_ = c.token;
  }
  std::vector<bool> copy_all;
  for (auto copy : reply.value().disks) copy_all.push_back(copy == wire::LayoutReply::Copy::kAll);
  disks_.Connected(copy_all);
  Thread control([&] { ReceiveControl(c); });
  Thread acks([&] { ReceiveDiskAcks(*c.disk); });
  Thread writes([&] {
    Status sent = disks_.RunSender(*c.disk);
    if (!sent.ok()) FailUnlessExplained(EndOf(sent));
    cpu_us_ += ThreadCpu().count();
  });
  if (Failed()) disks_.Disconnected();  // by a Stop() that came before Connected()

  FailUnlessExplained(EndOf(Protect(c)));
  control.join();
  acks.join();
  writes.join();
  EndEncoder();
  std::lock_guard lock(mutex_);
  return end_;
}

Status PrimarySession::CompareWith(PrimaryConnection& c, ConnectionEnd& end) {
  auto mine = ledger_.Identify();
  if (!mine.ok()) {
    end = EndOf(mine.status());
    return mine.status();
  }
  auto theirs = ExchangeIdentity(*c.control, mine.value(), options_.connect.deadline, end);
  if (!theirs.ok()) return theirs.status();
  const Ruling ruling = RuleOnSession(mine.value(), theirs.value());
  bool protected_before;
  {
    std::lock_guard lock(mutex_);
    newer_ = NewerSide(mine.value(), theirs.value());
    protected_before = may_be_held_;
  }
  if (ruling == Ruling::kGo) return Status::Ok();
  // A copy whose output is still held has let nothing go that the newer one does not know: it is the
  // one that has lost. One that runs unprotected only stays so.
  const bool lost = ruling == Ruling::kBackupIsNewer && protected_before;
  end = {lost ? ConnectionEnd::Kind::kPromoted : ConnectionEnd::Kind::kRefused,
         {StatusCode::kRefused, Explain(ruling, options_.connect.guest, mine.value(), theirs.value())}};
  return end.status;
}

Status PrimarySession::RecordSession(const PrimaryConnection& c, ConnectionEnd& end) {
  blkrep::GuestRecord how;
  how.session = c.token;
  how.backup_host = options_.connect.host;
  how.backup_port = options_.connect.port;
  how.arbiter = options_.arbiter;
  how.start_wait_s = options_.start_wait_s;
  how.on_start = options_.on_start;
  Status recorded = ledger_.BeginSession(how);
  if (!recorded.ok()) end = EndOf(recorded.With("nothing would say which copy is newer"));
  return recorded;
}

bool PrimarySession::RecordAlone() {
  Status recorded = ledger_.GoAlone();
  for (int i = 1; i < kRecordTries && !recorded.ok(); i++) {
    SetState(PrimaryState::kUnprotected,
             "output is held until a record says that this copy is ahead: " + recorded.message());
    std::unique_lock lock(mutex_);
    if (clock_.WaitFor(changed_, lock, kRetryInterval, [this] { return stopping_; })) return false;
    lock.unlock();
    recorded = ledger_.GoAlone();
  }
  // Not for ever: the guest is worth more than the record, and a backup that was not promoted still asks.
  return true;
}

Status PrimarySession::PrepareSharing(PrimaryConnection& c, ConnectionEnd& end) {
  SetSharingNote("");
  if (!options_.connect.share) return Status::Ok();
  if ((c.features & wire::kFeatureSharedPages) == 0) {
    SetSharingNote("the backup's configuration lets this guest share no pages (share = GROUP)");
    return Status::Ok();
  }
  auto host = HostToken();
  if (!host.ok()) {
    SetSharingNote("no pages are shared: " + host.status().message());
    return Status::Ok();
  }
  auto store = AskForStore(*c.control, host.value(), options_.connect.deadline, end);
  if (!store.ok()) return store.status();
  auto shared = memrep::SharedPages::Open(options_.shared_folder, store.value());
  if (shared.ok()) {
    shared_ = std::move(shared.value());
  } else {
    SetSharingNote("no pages are shared: " + shared.status().message());
  }
  return Status::Ok();
}

void PrimarySession::SetSharingNote(const std::string& note) {
  std::lock_guard lock(mutex_);
  sharing_note_ = note;
}

/// The shared file goes with its last user.
void PrimarySession::EndEncoder() {
  encoder_.reset();
  shared_.reset();
}

Status PrimarySession::Protect(PrimaryConnection& c) {
  HAVEN_RETURN_IF_ERROR(Synchronise(c));
  return TakeEpochs(c);
}

void PrimarySession::NewEncoder(uint64_t features) {
  // What an encoder knows of the backup is of one connection.
  memrep::EncoderOptions options = options_.encoder;
  options.features = features;
  options.workers = &workers_;
  options.shared = shared_.get();
  if (options.cache_bytes == 0) {
    uint64_t memory_bytes = 0;
    for (const auto& region : guest_.regions()) memory_bytes += region.bytes;
    options.cache_bytes = std::clamp(memory_bytes / kCachePart, kMinCacheBytes, kMaxCacheBytes);
  }
  encoder_.reset();  // before the new one takes as much memory
  encoder_ = std::make_unique<memrep::FgbiEncoder>(options);
  harvest_policy_ = HarvestPolicy(options.blocks());
}

Status PrimarySession::Synchronise(PrimaryConnection& c) {
  NewEncoder(c.features);
  MemorySender sender(guest_.regions(), *encoder_, *c.memory);
  uint64_t memory_bytes = 0;
  for (const auto& region : guest_.regions()) memory_bytes += region.bytes;
  {
    std::lock_guard lock(mutex_);
    memory_sync_left_ = memory_bytes;
    sync_total_ = memory_bytes + disks_.SyncLeftBytes();
  }
  HAVEN_RETURN_IF_ERROR(CallMain([this] {
    for (uint32_t i = 0; i < disks_.disks().size(); i++) guest_.StartDiskCopy(i);
    HAVEN_RETURN_IF_ERROR(guest_.SetDirtyLog(false));
    output_.Restart(1);
    if (holding_) HAVEN_RETURN_IF_ERROR(guest_.DropOutput());
    return guest_.SetDirtyLog(true);
  }));
  auto progress = [this](uint64_t bytes) {
    std::lock_guard lock(mutex_);
    memory_sync_left_ -= std::min(memory_sync_left_, bytes);
  };
  for (int round = 0; round < kMaxSyncRounds; round++) {
    checkpointer_.Prepare(AfterHarvest::kForget);
    HAVEN_RETURN_IF_ERROR(CallMain([this] { return checkpointer_.Harvest(); }));
    if (round > 0 && CountPages(checkpointer_.bitmaps()) <= kFewDirtyPages) round = kMaxSyncRounds;
    HAVEN_RETURN_IF_ERROR(sender.SendLive(checkpointer_.bitmaps(), progress));
    if (round == 0) HAVEN_RETURN_IF_ERROR(FinishDisks());
  }
  (void)encoder_->TakeFigures();  // the epochs' figures are to be theirs only
  std::lock_guard lock(mutex_);
  memory_sync_left_ = 0;
  return Status::Ok();
}

Status PrimarySession::FinishDisks() {
  std::unique_lock lock(mutex_);
  while (!connection_failed_) {
    lock.unlock();
    bool done = disks_.SyncDone();
    lock.lock();
    if (done) return Status::Ok();
    changed_.wait_for(lock, milliseconds(5));
  }
  return Ended();
}

Status PrimarySession::TakeEpochs(PrimaryConnection& c) {
  MemorySender sender(guest_.regions(), *encoder_, *c.memory);
  microseconds cpu{0};
  Instant next = clock_.Now();
  while (true) {
    {
      std::unique_lock lock(mutex_);
      auto wanted = [this] { return hand_over_ == HandOverStage::kWanted; };
      clock_.WaitUntil(changed_, lock, next, [&] { return connection_failed_ || stopping_ || wanted(); });
      if (connection_failed_ || stopping_) return Ended();
      if (wanted()) {
        lock.unlock();
        return HandOver(sender, c);
      }
    }
    HAVEN_RETURN_IF_ERROR(OneEpoch(sender, c, Checkpointer::Then::kResume));
    // However long it stood still or made itself ready: the guest runs in between.
    next = resumed_ + options_.interval;
    AddCpuTime(cpu);
  }
}

Status PrimarySession::OneEpoch(MemorySender& sender, PrimaryConnection& c, Checkpointer::Then then) {
  checkpointer_.Prepare(harvest_policy_.Next());
  Status taken = TakeCheckpoint(then);
  resumed_ = clock_.Now();
  if (taken.code() == StatusCode::kTryAgain && then == Checkpointer::Then::kResume)
    return Status::Ok();  // at the next interval
  HAVEN_RETURN_IF_ERROR(taken);
  auto sent = sender.SendEpoch(checkpoint_, checkpointer_.snapshot());
  if (!sent.ok()) return sent.status();
  checkpoint_.figures.wire_bytes = sent.value();
  HAVEN_RETURN_IF_ERROR(AwaitCommit(checkpoint_.epoch, c));
  encoder_->Committed();
  checkpoint_.figures.encoder = encoder_->TakeFigures();
  harvest_policy_.Note(checkpoint_.figures.encoder);
  std::lock_guard lock(mutex_);
  history_.Add(checkpoint_.figures);
  return Status::Ok();
}

/// The guest itself, and the main thread that serves it, may have to do
/// something first: nobody but the driver waits for that.
Status PrimarySession::TakeCheckpoint(Checkpointer::Then then) {
  {
    std::lock_guard lock(mutex_);
    taken_.reset();
  }
  HAVEN_RETURN_IF_ERROR(CallMain([this, then] {
    then_ = then;
    guest_asked_ = clock_.Now();
    auto ready = guest_.MakeReady();
    if (!ready.ok()) return ready.status();
    awaiting_guest_ = !ready.value();
    if (awaiting_guest_) return Status::Ok();
    Status taken = TakeNow();
    std::lock_guard lock(mutex_);
    taken_ = taken;
    return Status::Ok();
  }));
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return taken_ || connection_failed_ || stopping_; });
  if (!taken_ || connection_failed_ || stopping_) return Ended();
  return *taken_;
}

bool PrimarySession::GuestReady(const Status& status) {
  if (!awaiting_guest_ || stopped_ || Failed()) return false;
  awaiting_guest_ = false;
  const Instant ready = clock_.Now();
  Status taken = status.ok() ? TakeNow() : status;
  checkpoint_.figures.settle += MicrosSince(guest_asked_, ready);
  {
    std::lock_guard lock(mutex_);
    taken_ = taken;
  }
  changed_.notify_all();
  return status.ok();
}

/// Main thread.
Status PrimarySession::TakeNow() {
  HAVEN_RETURN_IF_ERROR(checkpointer_.Take(checkpoint_, then_));
  if (then_ == Checkpointer::Then::kStayStopped) SetHandOver(HandOverStage::kStopped);
  // From here on the backup may come to hold a checkpoint, and the right to
  // go on from it.
  holding_ = true;
  {
    std::lock_guard lock(mutex_);
    may_be_held_ = true;
    cut_ = checkpoint_.epoch;
  }
  if (BreakRequested("release-before-commit")) {
    output_.Release(checkpoint_.epoch, [this](const netrep::Frame& frame) { guest_.SendFrame(frame); });
    guest_.ReleaseOutput();
  }
  return Status::Ok();
}

Status PrimarySession::AwaitCommit(Epoch epoch, PrimaryConnection& c) {
  milliseconds patience = options_.connect.deadline * kDataDeadlines;
  std::unique_lock lock(mutex_);
  uint64_t sent = c.memory->sent_bytes();
  while (!clock_.WaitFor(changed_, lock, patience, [&] { return committed_ >= epoch || connection_failed_; })) {
    uint64_t now_sent = c.memory->sent_bytes();
    if (now_sent == sent) return {StatusCode::kPeerLost, "the backup answers, but does not commit"};
    sent = now_sent;
  }
  if (committed_ < epoch) return Ended();
  checkpoint_.figures.commit = MicrosSince(checkpoint_.cut, SteadyClock::now());
  checkpoint_.figures.decode = microseconds(committed_figures_.decode_us);
  checkpoint_.figures.apply = microseconds(committed_figures_.apply_us);
  return Status::Ok();
}

// --- the connection's other threads ---------------------------------------

void PrimarySession::ReceiveControl(PrimaryConnection& c) {
  Link& control = *c.control;
  Record record;
  AckWatch watch;
  while (true) {
    Status status = control.Receive(record, options_.connect.deadline);
    if (status.ok()) status = OnControlRecord(record, c.features);
    if (status.ok()) status = watch.Check(disks_.acks(), clock_.Now(), options_.connect.deadline * kDataDeadlines);
    if (status.ok()) continue;
    Fail(EndOf(status), Tell::kBackup);
    break;
  }
  cpu_us_ += ThreadCpu().count();
}

Status PrimarySession::OnControlRecord(const Record& record, uint64_t features) {
  switch (record.header.type) {
    case wire::Type::kHeartbeat: return Status::Ok();
    case wire::Type::kCommitted: return OnCommittedRecord(record, features);
    case wire::Type::kGoodbye: {
      std::lock_guard lock(mutex_);
      goodbye_acknowledged_ = true;
      changed_.notify_all();
      return Status::Ok();
    }
    case wire::Type::kHandOver: {
      if (!record.body.empty()) return {StatusCode::kProtocol, "HAND_OVER record: too long"};
      std::lock_guard lock(mutex_);
      if (committed_ == kSyncEpoch || hand_over_ != HandOverStage::kNone) {
        return {StatusCode::kProtocol, "HAND_OVER before the first checkpoint, or a second one"};
      }
      hand_over_ = HandOverStage::kWanted;
      changed_.notify_all();
      return Status::Ok();
    }
    case wire::Type::kError: {
      auto error = wire::DecodeError(record.body);
      if (!error.ok()) return error.status();
      {
        std::lock_guard lock(mutex_);
        if (hand_over_ == HandOverStage::kSaid) hand_over_ = HandOverStage::kRefused;
      }
      Fail(EndOfError(error.value()));
      return {StatusCode::kPeerLost, "the backup has ended the session"};
    }
    default:
      return {StatusCode::kProtocol, std::string("the backup may not send ") + wire::TypeName(record.header.type)};
  }
}

Status PrimarySession::OnCommittedRecord(const Record& record, uint64_t features) {
  wire::Committed figures;
  if ((features & wire::kFeatureEpochFigures) != 0) {
    auto decoded = wire::DecodeCommitted(record.body);
    if (!decoded.ok()) return decoded.status();
    figures = decoded.value();
  } else if (!record.body.empty()) {
    return {StatusCode::kProtocol, "COMMITTED record: too long"};
  }
  {
    std::lock_guard lock(mutex_);
    // Epochs are sent one at a time.
    if (record.header.epoch != committed_ + 1 || record.header.epoch > cut_)
      return {StatusCode::kProtocol, "COMMITTED of a wrong epoch"};
    committed_figures_ = figures;
  }
  OnCommitted(record.header.epoch);
  return Status::Ok();
}

void PrimarySession::OnCommitted(Epoch epoch) {
  FailPoint("before-committed");
  disks_.Committed(epoch);
  main_.Post([this, epoch] {
    if (!holding_ || output_.current() <= epoch) return;  // of a connection that has ended since
    FailPoint("before-release");
    output_.Release(epoch, [this](const netrep::Frame& frame) { guest_.SendFrame(frame); });
    guest_.ReleaseOutput();
    FailPoint("after-release");
  });
  {
    std::lock_guard lock(mutex_);
    committed_ = epoch;
  }
  changed_.notify_all();
  FailPoint("after-committed");
  if (epoch == 1) {
    ArmFailPoints();
    std::string note;
    {
      std::lock_guard lock(mutex_);
      note = sharing_note_;
    }
    SetState(PrimaryState::kProtected, note);
  }
}

void PrimarySession::ReceiveDiskAcks(Link& disk) {
  Record record;
  Status status;
  while (status.ok()) {
    status = disk.Receive(record);
    if (!status.ok()) break;
    if (record.header.type != wire::Type::kDiskAck) {
      status = {StatusCode::kProtocol, "the backup sent something else than DISK_ACK"};
      break;
    }
    auto ack = wire::DecodeDiskAck(record.body);
    status = ack.ok() ? disks_.OnAck(ack.value().request) : ack.status();
  }
  FailUnlessExplained(EndOf(status));
  cpu_us_ += ThreadCpu().count();
}

void PrimarySession::Fail(ConnectionEnd end, Tell tell) {
  std::vector<std::shared_ptr<Link>> links;
  const Status status = end.status;
  {
    std::lock_guard lock(mutex_);
    if (connection_failed_) return;
    connection_failed_ = true;
    end_ = std::move(end);
    links = links_;
    if (stopping_) tell = Tell::kNobody;  // GOODBYE has said it
  }
  // At once: the main thread may be draining requests that wait for the backup.
  disks_.Disconnected();
  changed_.notify_all();
  if (tell == Tell::kBackup && !links.empty()) {
    bool protocol = status.code() == StatusCode::kProtocol;
    SendError(*links.front(), protocol ? wire::Error::kProtocol : wire::Error::kEnvironment,
              protocol ? status.message() : "the primary goes on without this backup: " + status.message());
  }
  for (auto& link : links) link->Close();
}

void PrimarySession::FailUnlessExplained(ConnectionEnd end) {
  if (end.status.code() == StatusCode::kPeerLost) {
    std::unique_lock lock(mutex_);
    clock_.WaitFor(changed_, lock, kExplanationGrace, [this] { return connection_failed_; });
    // Stop() closes the connection itself, after the backup has read GOODBYE:
    // one that ends before looks like our death. And a backup that starts the
    // guest after a hand-over closes these links; the control link tells more.
    if (stopping_ || hand_over_ == HandOverStage::kSaid) {
      changed_.wait(lock, [this] { return connection_failed_; });
    }
  }
  Fail(std::move(end), Tell::kBackup);
}

bool PrimarySession::Failed() {
  std::lock_guard lock(mutex_);
  return connection_failed_ || stopping_;
}

// --- after a connection ---------------------------------------------------

bool PrimarySession::AfterConnection(const ConnectionEnd& end) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (state_ == PrimaryState::kProtected) losses_++;
  }
  (void)main_.Call([this] {
    awaiting_guest_ = false;
    (void)guest_.SetDirtyLog(false);
  });
  bool held;
  HandOverStage stage;
  {
    // Only now: the main thread may have been in a checkpoint.
    std::lock_guard lock(mutex_);
    held = may_be_held_;
    stage = hand_over_;
  }
  if (end.kind == ConnectionEnd::Kind::kPromoted) {
    SetState(PrimaryState::kLost, end.status.message());
    main_.Post([this] { HaltGuest(); });
    return false;
  }
  if (stage >= HandOverStage::kStopped && !GoOnAfterHandOver(stage, end)) return false;
  bool refused = end.kind == ConnectionEnd::Kind::kRefused;
  if (held && !(options_.pause_on_loss && !refused)) {
    if (!AskToGoOn() || !RecordAlone()) return false;
    main_.Post([this] { ReleaseAll(); });
  }
  SetState(refused ? PrimaryState::kRefused : PrimaryState::kUnprotected, end.status.message());
  return !refused;
}

bool PrimarySession::AskToGoOn() {
  while (!options_.arbiter.empty()) {
    Status verdict = AskArbiter(options_.arbiter, options_.connect.guest, Hex(token_), "primary");
    if (verdict.ok()) break;
    if (verdict.code() == StatusCode::kRefused) {
      SetState(PrimaryState::kLost, "the arbiter decided for the backup: " + verdict.message());
      main_.Post([this] { HaltGuest(); });
      return false;
    }
    SetState(PrimaryState::kUnprotected, "output is held until the arbiter answers: " + verdict.message());
    std::unique_lock lock(mutex_);
    if (clock_.WaitFor(changed_, lock, kArbiterRetryInterval, [this] { return stopping_; })) return false;
  }
  return true;
}

void PrimarySession::ReleaseAll() {
  holding_ = false;
  {
    std::lock_guard lock(mutex_);
    may_be_held_ = false;
  }
  output_.ReleaseAll([this](const netrep::Frame& frame) { guest_.SendFrame(frame); });
  guest_.ReleaseAllOutput();
}

void PrimarySession::HaltGuest() {
  holding_ = true;  // nothing that is held, or still comes, may leave
  guest_.Halt();
}

// --- the main thread's calls ----------------------------------------------

bool PrimarySession::Output(void* nic, unsigned flags, const iovec* iov, int iov_count) {
  if (!holding_) return false;
  output_.Hold(nic, flags, iov, iov_count, SteadyClock::now());
  return true;
}

void PrimarySession::Stop(wire::Goodbye reason) {
  if (stopped_) return;
  stopped_ = true;
  std::vector<std::shared_ptr<Link>> links;
  bool connected;
  bool lost;
  HandOverStage stage;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stage = hand_over_;
    if (stage == HandOverStage::kSaid) {
      state_ = PrimaryState::kLost;
      message_ = "protection was ended while the guest was handed over: the backup has it";
    }
    lost = state_ == PrimaryState::kLost;
    connected = !connection_failed_ && (state_ == PrimaryState::kSyncing || state_ == PrimaryState::kProtected);
    links = links_;
  }
  changed_.notify_all();
  if (stage == HandOverStage::kSaid) {
    // The backup has the guest's last state and the right to go on from it.
    main_.Close();
    Fail(EndOf(Ended()));
    HaltGuest();
    return;
  }
  bool safe = !holding_, acknowledged = false;
  if (connected && !links.empty()) {
    Status ignored = links.front()->Send(wire::Type::kGoodbye, kSyncEpoch, wire::Encode(wire::GoodbyeBody{reason}));
    (void)ignored;
    std::unique_lock lock(mutex_);
    clock_.WaitFor(changed_, lock, options_.connect.deadline,
                   [this] { return goodbye_acknowledged_ || connection_failed_; });
    acknowledged = goodbye_acknowledged_;
    safe = safe || acknowledged;
  }
  main_.Close();
  Fail(EndOf(Ended()));
  if (lost) return;
  // A backup that did not hear of it may go on with the guest.
  if (!safe && !options_.arbiter.empty() &&
      !AskArbiter(options_.arbiter, options_.connect.guest, Hex(token_), "primary").ok()) {
    HaltGuest();
    return;
  }
  // The driver is at its end, or waits for what the closed gate refuses it.
  Status recorded = acknowledged ? ledger_.LifeEnded() : safe ? Status::Ok() : ledger_.GoAlone();
  if (acknowledged && reason == wire::Goodbye::kUnprotect) recorded = ledger_.GoAlone();
  (void)guest_.SetDirtyLog(false);
  if (stage == HandOverStage::kStopped && !checkpoint_.guest_paused) guest_.Resume();
  ReleaseAll();
  {
    std::lock_guard lock(mutex_);
    state_ = PrimaryState::kStopped;
    message_ = recorded.message();
  }
  guest_.StateChanged(Query());  // directly: this is the main thread, and the gate is closed
}

PrimaryStatus PrimarySession::Query() {
  PrimaryStatus status;
  status.disk_wire_bytes = disks_.sent_bytes();
  uint64_t disk_left = disks_.SyncLeftBytes();
  status.frames_held = output_.held();
  status.frames_released = output_.released();
  status.frames_dropped = output_.dropped();
  status.lag_us = static_cast<uint64_t>(output_.Lag(SteadyClock::now()).count());
  status.cpu_us = static_cast<uint64_t>(cpu_us_.load()) + workers_.helpers_cpu_ns() / 1000;
  std::lock_guard lock(mutex_);
  status.state = state_;
  status.message = message_;
  status.newer = newer_;
  status.epoch = committed_;
  status.losses = losses_;
  history_.Summarise(status);
  status.sync_total_bytes = sync_total_;
  uint64_t left = memory_sync_left_ + disk_left;
  status.sync_done_bytes = left < sync_total_ ? sync_total_ - left : 0;
  return status;
}

// --- helpers ----------------------------------------------------------------

Status PrimarySession::CallMain(const std::function<Status()>& fn) {
  Status status;
  bool ran = main_.Call([&] { status = fn(); });
  if (!ran || Failed()) return Ended();
  return status;
}

void PrimarySession::SetState(PrimaryState state, const std::string& message) {
  {
    std::lock_guard lock(mutex_);
    if (state_ == state && message_ == message) return;
    state_ = state;
    message_ = message;
  }
  main_.Post([this] { guest_.StateChanged(Query()); });
}

void PrimarySession::AddCpuTime(microseconds& last) {
  microseconds now = ThreadCpu();
  cpu_us_ += (now - last).count();
  last = now;
}

}  // namespace haven::session
