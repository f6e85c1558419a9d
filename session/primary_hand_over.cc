// SPDX-License-Identifier: GPL-2.0-or-later
// The part of PrimarySession that gives the guest to the backup by order of a person there.
#include <utility>

#include "session/memory_sender.h"
#include "session/primary_session.h"

namespace haven::session {
namespace {

/// A moment that is none for a checkpoint (a reset, a vCPU in a request) passes.
constexpr int kLastEpochTries = 50;
constexpr milliseconds kLastEpochRetry{100};

}  // namespace

PrimarySession::HandOverStage PrimarySession::SetHandOver(HandOverStage stage) {
  std::lock_guard lock(mutex_);
  return std::exchange(hand_over_, stage);
}

Status PrimarySession::HandOver(MemorySender& sender, PrimaryConnection& c) {
  // The guest runs during this epoch, so that little is left for the last.
  HAVEN_RETURN_IF_ERROR(OneEpoch(sender, c, Checkpointer::Then::kResume));
  Status last(StatusCode::kTryAgain, "");
  for (int i = 0; i < kLastEpochTries && last.code() == StatusCode::kTryAgain; i++) {
    last = OneEpoch(sender, c, Checkpointer::Then::kStayStopped);
    if (last.code() != StatusCode::kTryAgain) break;
    std::unique_lock lock(mutex_);
    clock_.WaitFor(changed_, lock, kLastEpochRetry, [this] { return connection_failed_ || stopping_; });
  }
  HAVEN_RETURN_IF_ERROR(last);
  // Whatever is committed is out: the release was posted before this.
  HAVEN_RETURN_IF_ERROR(CallMain([this] {
    // Here, so that a Stop() comes before or after it.
    SetHandOver(HandOverStage::kSaid);
    return Status::Ok();
  }));
  HAVEN_RETURN_IF_ERROR(
      c.control->Send(wire::Type::kGoodbye, kSyncEpoch, wire::Encode(wire::GoodbyeBody{wire::Goodbye::kHandedOver})));
  if (!AwaitHandOver()) return {StatusCode::kPeerLost, "the hand-over was not confirmed"};
  Fail({ConnectionEnd::Kind::kPromoted,
        {StatusCode::kRefused, "the guest was handed over to the backup, by order of an administrator there"}});
  return Status::Ok();
}

bool PrimarySession::AwaitHandOver() {
  std::unique_lock lock(mutex_);
  // As long as it takes: the backup sends heartbeats while it starts the guest.
  changed_.wait(lock, [this] { return goodbye_acknowledged_ || connection_failed_ || stopping_; });
  return goodbye_acknowledged_;
}

bool PrimarySession::GoOnAfterHandOver(HandOverStage stage, const ConnectionEnd& end) {
  if (stage == HandOverStage::kSaid) {
    if (options_.arbiter.empty()) {
      SetState(PrimaryState::kLost, "the guest was given to the backup, which did not confirm that it runs there (" +
                                        end.status.message() + "): see whether it does; this copy stays halted");
      main_.Post([this] { HaltGuest(); });
      return false;
    }
    if (!AskToGoOn()) return false;
  }
  if (!checkpoint_.guest_paused) main_.Post([this] { guest_.Resume(); });
  return true;
}

}  // namespace haven::session
