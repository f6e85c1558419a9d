// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/epoch_loop.h"

#include <algorithm>

#include "core/assert.h"
#include "session/first_copy.h"

namespace haven::session {
namespace {

constexpr milliseconds kPutOff{20};

/// What a backup says that it took: it may say anything.
microseconds Believable(uint64_t us) {
  constexpr uint64_t kMostUs = 3'600'000'000;
  return microseconds(std::min(us, kMostUs));
}

}  // namespace

Status EpochLoop::Run(const std::shared_ptr<PrimaryConnection>& connection, MemorySender& sender,
                      PageEncoding& encoding) {
  Way way{connection, sender, encoding};
  microseconds cpu{0};
  Begin(way);
  while (true) {
    const auto wake = connection->AwaitWork(HasRoom(way) ? &due_ : nullptr, OldestSent(), looks_.next());
    if (!wake.ok()) return wake.status();
    switch (wake.value()) {
      case PrimaryConnection::Wake::kHandOver: return HandOver(way);
      case PrimaryConnection::Wake::kCommit: TakeCommit(way); break;
      case PrimaryConnection::Wake::kMode:
        ReadMode();
        Plan();
        break;
      case PrimaryConnection::Wake::kLook:
        HAVEN_RETURN_IF_ERROR(looks_.Look(*connection, sender, checkpoint_.epoch + 1, due_));
        break;
      case PrimaryConnection::Wake::kDue: {
        const Status taken = OneEpoch(way, Checkpointer::Then::kResume);
        if (!taken.ok() && taken.code() != StatusCode::kTryAgain) return taken;
        Plan();
        parts_.cpu.AddSince(cpu);
        break;
      }
    }
  }
}

void EpochLoop::Begin(const Way& way) {
  in_flight_.clear();
  checkpoint_.epoch = kSyncEpoch;
  policy_.reset();  // what was measured is of another connection
  ReadMode();
  looks_.Begin((way.connection->links().features & wire::kFeatureEarlyPages) != 0,
               MemoryBytes(parts_.guest) / kPageBytes);
  resumed_ = parts_.clock.Now();
  put_off_ = resumed_;
  Plan();  // at once
}

void EpochLoop::ReadMode() {
  const ModeSettings settings = parts_.mode.Get();
  if (policy_ && settings.mode == mode_.mode) {
    policy_->Set(settings);
  } else {
    policy_ = MakePolicy(settings);
  }
  mode_ = settings;
}

void EpochLoop::Plan() {
  // Whatever the mode: a guest that is not protected yet, or whose epoch was to end, does not wait for its next due.
  due_ = put_off_ ? EpochDue{*put_off_, *put_off_, std::nullopt} : policy_->Next(resumed_);
  // Nobody says when there is some: so there always is.
  if (parts_.output_elsewhere) due_.latest = due_.When(resumed_);
  if (put_off_) {
    looks_.Cancel();
  } else {
    looks_.Plan(due_, resumed_, mode_.predict);
  }
}

bool EpochLoop::HasRoom(const Way& way) const {
  const bool several = (way.connection->links().features & wire::kFeatureEpochsInFlight) != 0;
  return in_flight_.size() < (several && !parts_.output_elsewhere ? mode_.in_flight : 1);
}

std::optional<Instant> EpochLoop::OldestSent() const {
  return in_flight_.empty() ? std::nullopt : std::optional(in_flight_.front().sent);
}

Status EpochLoop::OneEpoch(Way& way, Checkpointer::Then then) {
  parts_.checkpointer.Prepare(looks_.After(way.encoding.harvest().Next()));
  const microseconds ran = MicrosSince(resumed_, parts_.clock.Now());
  const Status taken = TakeCheckpoint(way, then);
  const Instant now = parts_.clock.Now();
  put_off_.reset();
  if (taken.code() == StatusCode::kTryAgain) put_off_ = now + kPutOff;
  HAVEN_RETURN_IF_ERROR(taken);
  resumed_ = now;
  return Send(way, ran);
}

Status EpochLoop::Send(Way& way, microseconds ran) {
  EpochFigures& figures = checkpoint_.figures;
  figures.ran = ran;
  looks_.Taken(figures);
  HAVEN_RETURN_IF_ERROR(way.sender.SendEpoch(checkpoint_, parts_.checkpointer.snapshot()));
  way.connection->ExpectCommit(checkpoint_.epoch);
  auto sent = way.sender.SendEnd(checkpoint_);
  if (!sent.ok()) return sent.status();
  memrep::PageEncoder& encoder = way.encoding.encoder();
  encoder.EndEpoch();
  figures.wire_bytes = sent.value();
  figures.transfer = way.sender.TransferTime(sent.value());
  figures.encoder = encoder.TakeFigures();
  way.encoding.harvest().Note(figures.encoder);
  policy_->NoteTaken(figures);
  in_flight_.push_back({checkpoint_.epoch, figures, parts_.clock.Now(), checkpoint_.cut, checkpoint_.output_since});
  return Status::Ok();
}

void EpochLoop::TakeCommit(Way& way) {
  const PrimaryConnection::Commit commit = way.connection->TakeCommit();
  HAVEN_ASSERT(!in_flight_.empty() && in_flight_.front().epoch == commit.epoch);
  const InFlight& epoch = in_flight_.front();
  EpochFigures figures = epoch.figures;
  figures.commit = MicrosSince(epoch.cut, commit.came);
  figures.output = epoch.output_since ? MicrosSince(*epoch.output_since, commit.came) : kNoOutput;
  figures.decode = Believable(commit.figures.decode_us);
  figures.apply = Believable(commit.figures.apply_us);
  in_flight_.pop_front();
  way.encoding.encoder().Committed();
  policy_->NoteCommitted(figures);
  parts_.report.Add(figures);
}

Status EpochLoop::AwaitCommits(Way& way) {
  while (!in_flight_.empty()) {
    const auto wake = way.connection->AwaitWork(nullptr, OldestSent());
    if (!wake.ok()) return wake.status();
    TakeCommit(way);
  }
  return Status::Ok();
}

/// The guest itself, and the main thread that serves it, may have to do
/// something first: nobody but the driver waits for that.
Status EpochLoop::TakeCheckpoint(Way& way, Checkpointer::Then then) {
  way.connection->BeginTake();
  HAVEN_RETURN_IF_ERROR(CallMain(parts_.main, *way.connection, [&] {
    then_ = then;
    guest_asked_ = parts_.clock.Now();
    auto ready = parts_.guest.MakeReady();
    if (!ready.ok()) return ready.status();
    if (ready.value()) {
      way.connection->Took(TakeNow(*way.connection));
    } else {
      awaiting_ = way.connection;
    }
    return Status::Ok();
  }));
  return way.connection->AwaitTaken();
}

bool EpochLoop::GuestReady(const Status& status) {
  if (!awaiting_ || awaiting_->over()) return false;
  auto connection = std::move(awaiting_);
  Status taken = status.ok() ? TakeNow(*connection) : status;
  connection->Took(taken);
  return status.ok();
}

Status EpochLoop::TakeNow(PrimaryConnection& c) {
  const Instant ready = parts_.clock.Now();
  const Status taken = parts_.checkpointer.Take(checkpoint_, then_, [&] {
    if (then_ == Checkpointer::Then::kStayStopped) c.SetHandOver(HandOverStage::kStopped);
    checkpoint_.output_since = c.Cut();
  });
  checkpoint_.figures.settle = MicrosSince(guest_asked_, ready);
  return taken;
}

}  // namespace haven::session
