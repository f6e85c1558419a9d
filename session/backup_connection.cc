// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_connection.h"

#include <ctime>
#include <utility>

#include "core/guarded.h"

namespace haven::session {
namespace {

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

wire::Error ErrorCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kRefused:
    case StatusCode::kInvalid: return wire::Error::kLayout;
    case StatusCode::kEnvironment: return wire::Error::kEnvironment;
    default: return wire::Error::kProtocol;
  }
}

}  // namespace

void RejectLink(Link& link, wire::Error code, const std::string& message) {
  SendError(link, code, message);
  AwaitClose(link);
}

BackupConnection::BackupConnection(Owner& owner, std::unique_ptr<Link> control, const wire::HelloReply& agreed,
                                   milliseconds deadline, uint32_t primary_deadline_ms)
    : owner_(owner),
      control_(std::move(control)),
      deadline_(deadline),
      token_(agreed.token),
      features_(agreed.features),
      peer_(control_->PeerName()),
      session_(*this, *control_, agreed.features, control_->clock()),
      watch_(control_->clock(), deadline),
      heartbeat_(*control_, HeartbeatDeadline(deadline, primary_deadline_ms)) {}

// --- the three connections ----------------------------------------------------

void BackupConnection::Attach(std::unique_ptr<Link> link, wire::Connection kind, const wire::HelloReply& reply) {
  std::unique_lock lock(mutex_);
  auto& place = kind == wire::Connection::kDisk ? disk_ : memory_;
  if (place || ended_) {
    lock.unlock();
    RejectLink(*link, wire::Error::kProtocol, "this connection of the session exists already");
    return;
  }
  if (!link->Send(wire::Type::kHelloReply, kSyncEpoch, wire::Encode(reply)).ok()) return;
  place = std::move(link);
  const Status started = Guarded([&] {
    const auto failed = [this](const Status& status) { End(status, ErrorCodeOf(status)); };
    // The control thread, which keeps this object, joins them.
    if (kind == wire::Connection::kDisk) {
      disk_thread_ = Thread([this] { RunDisk(); }, failed);
    } else {
      memory_thread_ = Thread([this] { RunMemory(); }, failed);
    }
    return Status::Ok();
  });
  lock.unlock();
  if (!started.ok()) End(started, ErrorCodeOf(started));
}

void BackupConnection::RunDisk() {
  Record record;
  Status status;
  while (status.ok()) {
    status = disk_->Receive(record);
    if (status.ok()) status = session_.OnDisk(record, *disk_);
  }
  EndUnlessExplained(status);
}

void BackupConnection::RunMemory() {
  Record record;
  Status status;
  while (status.ok()) {
    status = memory_->Receive(record);
    if (status.ok()) status = session_.OnMemory(record);
  }
  EndUnlessExplained(status);
}

Status BackupConnection::ReceiveControl() {
  Record record;
  while (true) {
    const Status received = control_->Receive(record, deadline_);
    LookForGap();
    HAVEN_RETURN_IF_ERROR(received);
    HAVEN_RETURN_IF_ERROR(session_.OnControl(record));
  }
}

void BackupConnection::Run() {
  const Status status = Guarded([this] { return ReceiveControl(); });
  const bool first = BeginEnd(status);
  if (first && status.code() != StatusCode::kPeerLost) {
    RejectLink(*control_, ErrorCodeOf(status), status.message());
  }
  LookForGap();
  // A record that came since then says little: it may have waited in the socket all the time.
  stood_still_ = gap_end_ && control_->clock().Now() - *gap_end_ <= 2 * deadline_;
  handed_over_ = first && goodbye_ == wire::Goodbye::kHandedOver;
  if (!handed_over_) control_->Close();
  CloseData();
  JoinData();
  owner_.OnEnded(*this);
  control_->Close();
}

void BackupConnection::LookForGap() {
  if (watch_.StoodStill()) gap_end_ = control_->clock().Now();
}

// --- its end --------------------------------------------------------------------

bool BackupConnection::BeginEnd(const Status& status) {
  std::lock_guard lock(mutex_);
  if (ended_) return false;
  ended_ = true;
  end_ = status;
  changed_.notify_all();
  return true;
}

void BackupConnection::CloseData() {
  session_.End();
  std::lock_guard lock(mutex_);
  if (disk_) disk_->Close();
  if (memory_) memory_->Close();
}

void BackupConnection::JoinData() {
  Thread disk, memory;
  {
    std::lock_guard lock(mutex_);
    control_ended_ = true;
    changed_.notify_all();
    disk.swap(disk_thread_);
    memory.swap(memory_thread_);
  }
  if (disk.joinable()) disk.join();
  if (memory.joinable()) memory.join();
}

void BackupConnection::EndUnlessExplained(const Status& status) {
  if (status.code() == StatusCode::kPeerLost) {
    std::unique_lock lock(mutex_);
    control_->clock().WaitFor(changed_, lock, kErrorLinger, [&] { return ended_; });
  }
  End(status, ErrorCodeOf(status));
}

void BackupConnection::End(const Status& status, wire::Error code) {
  if (!BeginEnd(status)) return;
  if (status.code() != StatusCode::kPeerLost) {
    // Before anything is closed: a primary that saw another connection end
    // first would not read why, and after PROMOTED it must know.
    SendError(*control_, code, status.message());
    std::unique_lock lock(mutex_);
    // The primary closes when it has read the ERROR; the control thread sees that.
    control_->clock().WaitFor(changed_, lock, kErrorLinger, [&] { return control_ended_; });
  }
  control_->Close();
  CloseData();
}

void BackupConnection::SayVerified() {
  if ((features_ & wire::kFeatureVerified) == 0) return;
  Status ignored = control_->Send(wire::Type::kVerified, kSyncEpoch, ByteSpan{});
  (void)ignored;  // the session's end says it
}

void BackupConnection::AnswerHandOver(const Status& runs_here) {
  if (!runs_here.ok()) {
    RejectLink(*control_, wire::Error::kEnvironment, runs_here.message());
    return;
  }
  Bytes body = wire::Encode(wire::GoodbyeBody{wire::Goodbye::kHandedOver});
  Status ignored = control_->Send(wire::Type::kGoodbye, kSyncEpoch, body);
  (void)ignored;  // the primary stays halted, or asks the arbiter
  AwaitClose(*control_);
}

// --- the session's events ---------------------------------------------------

Status BackupConnection::OnIdentity(const wire::Identity& primary, wire::Identity& mine) {
  HAVEN_RETURN_IF_ERROR(owner_.OnIdentity(primary, mine));
  primary_ = primary;
  return Status::Ok();
}

Result<std::unique_ptr<memrep::StoreLease>> BackupConnection::OnStore(const wire::Token& host) {
  return owner_.OnStore(host);
}

Result<BackupStore*> BackupConnection::OnLayout(const wire::Layout& layout,
                                                std::vector<wire::LayoutReply::Copy>& copies) {
  auto store = owner_.OnLayout(*this, layout, copies);
  if (store.ok()) has_store_ = true;
  return store;
}

void BackupConnection::OnCommitted(Epoch epoch) {
  committed_s_ = static_cast<uint64_t>(time(nullptr));
  owner_.OnCommitted(epoch);
}

void BackupConnection::OnGoodbye(wire::Goodbye reason) { goodbye_ = reason; }

}  // namespace haven::session
