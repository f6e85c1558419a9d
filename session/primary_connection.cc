// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_connection.h"

#include "core/failpoint.h"
#include "session/ack_watch.h"

namespace haven::session {
namespace {

constexpr milliseconds kExplanationGrace{200};
constexpr milliseconds kDisksLook{5};

}  // namespace

Status Ended() { return {StatusCode::kPeerLost, "protection is being ended"}; }

Status CallMain(MainThread& main, PrimaryConnection& c, const std::function<Status()>& fn) {
  Status status;
  const bool ran = main.Call([&] { status = fn(); });
  if (!ran || c.over()) return Ended();
  return status;
}

PrimaryConnection::PrimaryConnection(const ConnectOptions& options, blkrep::DiskReplicator& disks, Events& events,
                                     CpuTime& cpu)
    : options_(options), clock_(*options.clock), disks_(disks), events_(events), cpu_(cpu) {}

PrimaryConnection::~PrimaryConnection() = default;

// --- its beginning and its end ------------------------------------------------

Status PrimaryConnection::Open(ConnectionEnd& end) {
  auto links = Connect(options_, end, [this](std::shared_ptr<Link> link) {
    std::lock_guard lock(mutex_);
    if (stopping_) link->Close();
    opened_.push_back(std::move(link));
  });
  if (!links.ok()) return links.status();
  links_ = std::move(links.value());
  heartbeat_ =
      std::make_unique<Heartbeat>(*links_->control, HeartbeatDeadline(options_.deadline, links_->backup_deadline_ms),
                                  [this] { return events_.Look(); });
  return Status::Ok();
}

void PrimaryConnection::Start(const std::vector<bool>& copy_all) {
  using Ack = blkrep::DiskReplicator::Ack;
  disks_.Connected(copy_all, (links_->features & wire::kFeatureDiskAckEpoch) != 0 ? Ack::kEpoch : Ack::kBackup);
  const auto failed = [this](const Status& status) { Fail(EndOf(status), Tell::kBackup); };
  control_ = Thread([this] { ReceiveControl(); }, failed);
  acks_ = Thread([this] { ReceiveDiskAcks(); }, failed);
  writes_ = Thread([this] { SendDisks(); }, failed);
  if (over()) disks_.Disconnected();  // by a Stop() that came before Connected()
}

ConnectionEnd PrimaryConnection::Join() {
  for (Thread* thread : {&control_, &acks_, &writes_}) {
    if (thread->joinable()) thread->join();
  }
  heartbeat_.reset();
  std::lock_guard lock(mutex_);
  return end_;
}

void PrimaryConnection::Fail(ConnectionEnd end, Tell tell) {
  std::vector<std::shared_ptr<Link>> links;
  const Status status = end.status;
  {
    std::lock_guard lock(mutex_);
    if (failed_) return;
    failed_ = true;
    end_ = std::move(end);
    links = opened_;
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

void PrimaryConnection::FailUnlessExplained(ConnectionEnd end) {
  if (end.status.code() == StatusCode::kPeerLost) {
    std::unique_lock lock(mutex_);
    clock_.WaitFor(changed_, lock, kExplanationGrace, [this] { return failed_; });
    // Stop() closes the connection itself, after the backup has read GOODBYE:
    // one that ends before looks like our death. And a backup that starts the
    // guest after a hand-over closes these links; the control link tells more.
    if (stopping_ || hand_over_ == HandOverStage::kSaid) {
      changed_.wait(lock, [this] { return failed_; });
    }
  }
  Fail(std::move(end), Tell::kBackup);
}

HandOverStage PrimaryConnection::Stop() {
  HandOverStage stage;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stage = hand_over_;
  }
  changed_.notify_all();
  return stage;
}

bool PrimaryConnection::SayGoodbye(wire::Goodbye reason) {
  std::shared_ptr<Link> control;
  {
    std::lock_guard lock(mutex_);
    if (!opened_.empty()) control = opened_.front();
  }
  if (!control) return false;
  (void)control->Send(wire::Type::kGoodbye, kSyncEpoch, wire::Encode(wire::GoodbyeBody{reason})).ok();
  std::unique_lock lock(mutex_);
  clock_.WaitFor(changed_, lock, options_.deadline, [this] { return goodbye_acknowledged_ || failed_; });
  return goodbye_acknowledged_;
}

// --- what the driver waits for ------------------------------------------------

Result<PrimaryConnection::Wake> PrimaryConnection::AwaitWork(const EpochDue* due, const std::optional<Instant>& sent,
                                                             const std::optional<Instant>& look) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (failed_ || stopping_) return Ended();
    if (!commits_.empty()) return Wake::kCommit;
    if (due != nullptr && hand_over_ == HandOverStage::kWanted) return Wake::kHandOver;
    if (due != nullptr && std::exchange(mode_changed_, false)) return Wake::kMode;
    const bool output = output_since_.has_value();
    const Instant end = due == nullptr ? kNever : due->When(output_since_);
    const Instant look_at = due == nullptr ? kNever : look.value_or(kNever);
    const Instant patient_until = sent ? std::max(*sent, last_commit_) + patience() : kNever;
    const Instant now = clock_.Now();
    if (now >= end) return Wake::kDue;
    if (now >= look_at) return Wake::kLook;
    if (now >= patient_until) return Status(StatusCode::kPeerLost, "the backup answers, but does not commit");
    clock_.WaitUntil(changed_, lock, std::min({end, look_at, patient_until}), [&] {
      if (failed_ || stopping_ || !commits_.empty()) return true;
      return due != nullptr &&
             (hand_over_ == HandOverStage::kWanted || mode_changed_ || output_since_.has_value() != output);
    });
  }
}

bool PrimaryConnection::IsDue(const EpochDue& due) {
  std::lock_guard lock(mutex_);
  return failed_ || stopping_ || hand_over_ == HandOverStage::kWanted || clock_.Now() >= due.When(output_since_);
}

void PrimaryConnection::ExpectCommit(Epoch epoch) {
  std::lock_guard lock(mutex_);
  expected_ = epoch;
}

PrimaryConnection::Commit PrimaryConnection::TakeCommit() {
  std::lock_guard lock(mutex_);
  const Commit taken = commits_.front();
  commits_.pop_front();
  return taken;
}

bool PrimaryConnection::Sleep(milliseconds time) {
  std::unique_lock lock(mutex_);
  return !clock_.WaitFor(changed_, lock, time, [this] { return failed_ || stopping_; });
}

bool PrimaryConnection::AwaitDisks() {
  std::unique_lock lock(mutex_);
  while (!failed_) {
    lock.unlock();
    const bool done = disks_.SyncDone();
    lock.lock();
    if (done) return true;
    changed_.wait_for(lock, kDisksLook);
  }
  return false;
}

void PrimaryConnection::BeginTake() {
  std::lock_guard lock(mutex_);
  taken_.reset();
}

void PrimaryConnection::Took(const Status& how) {
  {
    std::lock_guard lock(mutex_);
    taken_ = how;
  }
  changed_.notify_all();
}

Status PrimaryConnection::AwaitTaken() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return taken_ || failed_ || stopping_; });
  if (!taken_ || failed_ || stopping_) return Ended();
  return *taken_;
}

bool PrimaryConnection::AwaitHandOver() {
  std::unique_lock lock(mutex_);
  // As long as it takes: the backup sends heartbeats while it starts the guest.
  changed_.wait(lock, [this] { return goodbye_acknowledged_ || failed_; });
  return goodbye_acknowledged_;
}

// --- its other threads --------------------------------------------------------

void PrimaryConnection::ReceiveControl() {
  Record record;
  AckWatch watch;
  while (true) {
    Status status = links_->control->Receive(record, options_.deadline);
    if (status.ok()) status = OnControlRecord(record);
    if (status.ok()) status = watch.Check(disks_.acks(), clock_.Now(), patience());
    if (status.ok()) status = CheckLag();
    if (status.ok()) continue;
    Fail(EndOf(status), Tell::kBackup);
    break;
  }
  cpu_.AddThisThread();
}

Status PrimaryConnection::OnControlRecord(const Record& record) {
  switch (record.header.type) {
    case wire::Type::kHeartbeat: return Status::Ok();
    case wire::Type::kCommitted: return OnCommittedRecord(record);
    case wire::Type::kGoodbye: {
      std::lock_guard lock(mutex_);
      goodbye_acknowledged_ = true;
      changed_.notify_all();
      return Status::Ok();
    }
    case wire::Type::kVerified: return OnVerifiedRecord(record);
    case wire::Type::kHandOver: return OnHandOverRecord(record);
    case wire::Type::kError: return OnErrorRecord(record);
    default:
      return {StatusCode::kProtocol, std::string("the backup may not send ") + wire::TypeName(record.header.type)};
  }
}

Status PrimaryConnection::OnHandOverRecord(const Record& record) {
  if (!record.body.empty()) return {StatusCode::kProtocol, "HAND_OVER record: too long"};
  std::lock_guard lock(mutex_);
  if (committed_ == kSyncEpoch || hand_over_ != HandOverStage::kNone) {
    return {StatusCode::kProtocol, "HAND_OVER before the first checkpoint, or a second one"};
  }
  hand_over_ = HandOverStage::kWanted;
  changed_.notify_all();
  return Status::Ok();
}

Status PrimaryConnection::OnErrorRecord(const Record& record) {
  auto error = wire::DecodeError(record.body);
  if (!error.ok()) return error.status();
  {
    std::lock_guard lock(mutex_);
    if (hand_over_ == HandOverStage::kSaid) hand_over_ = HandOverStage::kRefused;
  }
  Fail(EndOfError(error.value()));
  return {StatusCode::kPeerLost, "the backup has ended the session"};
}

Status PrimaryConnection::OnCommittedRecord(const Record& record) {
  wire::Committed figures;
  if ((links_->features & wire::kFeatureEpochFigures) != 0) {
    auto decoded = wire::DecodeCommitted(record.body);
    if (!decoded.ok()) return decoded.status();
    figures = decoded.value();
  } else if (!record.body.empty()) {
    return {StatusCode::kProtocol, "COMMITTED record: too long"};
  }
  const Epoch epoch = record.header.epoch;
  {
    std::lock_guard lock(mutex_);
    if (epoch != committed_ + 1 || epoch > expected_) return {StatusCode::kProtocol, "COMMITTED of a wrong epoch"};
  }
  FailPoint("before-committed");
  disks_.Committed(epoch);
  events_.OnCommitted(epoch);
  {
    std::lock_guard lock(mutex_);
    committed_ = epoch;
    uncommitted_.pop_front();
    last_commit_ = clock_.Now();
    commits_.push_back({epoch, figures, last_commit_});
  }
  changed_.notify_all();
  FailPoint("after-committed");
  if (epoch == 1) {
    ArmFailPoints();
    if ((links_->features & wire::kFeatureVerified) != 0) {
      events_.OnVerifying();
    } else {
      events_.OnProtected();
    }
  }
  return Status::Ok();
}

Status PrimaryConnection::OnVerifiedRecord(const Record& record) {
  if (!record.body.empty()) return {StatusCode::kProtocol, "VERIFIED record: too long"};
  if ((links_->features & wire::kFeatureVerified) == 0 || committed() == kSyncEpoch || std::exchange(verified_, true)) {
    return {StatusCode::kProtocol, "VERIFIED before the first checkpoint, or a second one"};
  }
  events_.OnProtected();
  return Status::Ok();
}

Status PrimaryConnection::CheckLag() {
  if (commit_lag() < options_.lag_limit) return Status::Ok();
  return {StatusCode::kPeerLost, "the backup answers, but has not committed a checkpoint for " +
                                     std::to_string(options_.lag_limit.count()) +
                                     " ms, the limit (--lag-limit): the link or the backup is too slow for what the "
                                     "guest writes"};
}

void PrimaryConnection::ReceiveDiskAcks() {
  Record record;
  Status status;
  while (status.ok()) {
    status = links_->disk->Receive(record);
    if (!status.ok()) break;
    if (record.header.type != wire::Type::kDiskAck) {
      status = {StatusCode::kProtocol, "the backup sent something else than DISK_ACK"};
      break;
    }
    auto ack = wire::DecodeDiskAck(record.body);
    status = ack.ok() ? disks_.OnAck(ack.value().request) : ack.status();
  }
  FailUnlessExplained(EndOf(status));
  cpu_.AddThisThread();
}

void PrimaryConnection::SendDisks() {
  Status sent = disks_.RunSender(*links_->disk);
  if (!sent.ok()) FailUnlessExplained(EndOf(sent));
  cpu_.AddThisThread();
}

// --- what is known of it ------------------------------------------------------

std::optional<Instant> PrimaryConnection::Cut() {
  std::lock_guard lock(mutex_);
  uncommitted_.push_back(clock_.Now());
  return std::exchange(output_since_, std::nullopt);
}

void PrimaryConnection::OutputWaits() {
  {
    std::lock_guard lock(mutex_);
    if (output_since_) return;
    output_since_ = clock_.Now();
  }
  changed_.notify_all();
}

void PrimaryConnection::ChangeMode() {
  {
    std::lock_guard lock(mutex_);
    mode_changed_ = true;
  }
  changed_.notify_all();
}

bool PrimaryConnection::over() {
  std::lock_guard lock(mutex_);
  return failed_ || stopping_;
}

bool PrimaryConnection::failed() {
  std::lock_guard lock(mutex_);
  return failed_;
}

Epoch PrimaryConnection::committed() {
  std::lock_guard lock(mutex_);
  return committed_;
}

microseconds PrimaryConnection::commit_lag() {
  std::lock_guard lock(mutex_);
  return failed_ || uncommitted_.empty() ? microseconds(0) : MicrosSince(uncommitted_.front(), clock_.Now());
}

HandOverStage PrimaryConnection::hand_over() {
  std::lock_guard lock(mutex_);
  return hand_over_;
}

void PrimaryConnection::SetHandOver(HandOverStage stage) {
  std::lock_guard lock(mutex_);
  hand_over_ = stage;
}

bool PrimaryConnection::GiveGuest() {
  std::lock_guard lock(mutex_);
  if (!stopping_) hand_over_ = HandOverStage::kSaid;
  return !stopping_;
}

bool PrimaryConnection::promoted() {
  std::lock_guard lock(mutex_);
  return failed_ && end_.kind == ConnectionEnd::Kind::kPromoted;
}

}  // namespace haven::session
