// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/epoch_loop.h"

#include "core/assert.h"

namespace haven::session {
namespace {

constexpr milliseconds kPutOff{20};

}  // namespace

Status EpochLoop::Run(const std::shared_ptr<PrimaryConnection>& connection, MemorySender& sender,
                      PageEncoding& encoding) {
  Way way{connection, sender, encoding};
  microseconds cpu{0};
  Begin();
  bool first = true;
  EpochDue due{resumed_, resumed_, std::nullopt};  // at once
  while (true) {
    const auto wake = connection->AwaitWork(HasRoom(way) ? &due : nullptr, OldestSent());
    if (!wake.ok()) return wake.status();
    switch (wake.value()) {
      case PrimaryConnection::Wake::kHandOver: return HandOver(way);
      case PrimaryConnection::Wake::kCommit: TakeCommit(way); break;
      case PrimaryConnection::Wake::kMode:
        ReadMode();
        if (!first) due = NextDue(Status::Ok());
        break;
      case PrimaryConnection::Wake::kDue: {
        const Status taken = OneEpoch(way, Checkpointer::Then::kResume);
        if (!taken.ok() && taken.code() != StatusCode::kTryAgain) return taken;
        due = NextDue(taken);
        first = false;
        parts_.cpu.AddSince(cpu);
        break;
      }
    }
  }
}

void EpochLoop::Begin() {
  in_flight_.clear();
  ReadMode();
  resumed_ = parts_.clock.Now();
}

void EpochLoop::ReadMode() {
  mode_ = parts_.mode.Get();
  policy_ = MakePolicy(mode_);
}

EpochDue EpochLoop::NextDue(const Status& taken) {
  EpochDue due = policy_->Next(resumed_);
  // Nobody says when there is some: so there always is.
  if (parts_.output_elsewhere) due.latest = due.When(resumed_);
  if (taken.ok()) return due;
  // The reason lasts for a while, whatever waits.
  due.earliest = std::max(due.earliest, std::min(due.latest, resumed_ + kPutOff));
  return due;
}

bool EpochLoop::HasRoom(const Way& way) const {
  const bool several = (way.connection->links().features & wire::kFeatureEpochsInFlight) != 0;
  return in_flight_.size() < (several && !parts_.output_elsewhere ? mode_.in_flight : 1);
}

std::optional<Instant> EpochLoop::OldestSent() const {
  return in_flight_.empty() ? std::nullopt : std::optional(in_flight_.front().sent);
}

Status EpochLoop::OneEpoch(Way& way, Checkpointer::Then then) {
  parts_.checkpointer.Prepare(way.encoding.harvest().Next());
  const microseconds ran = MicrosSince(resumed_, parts_.clock.Now());
  const Status taken = TakeCheckpoint(way, then);
  resumed_ = parts_.clock.Now();
  HAVEN_RETURN_IF_ERROR(taken);
  auto sent = way.sender.SendEpoch(checkpoint_, parts_.checkpointer.snapshot());
  if (!sent.ok()) return sent.status();
  memrep::PageEncoder& encoder = way.encoding.encoder();
  encoder.EndEpoch();
  EpochFigures& figures = checkpoint_.figures;
  figures.ran = ran;
  figures.wire_bytes = sent.value();
  figures.transfer = way.sender.TransferTime(sent.value());
  figures.encoder = encoder.TakeFigures();
  way.encoding.harvest().Note(figures.encoder);
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
  figures.decode = microseconds(commit.figures.decode_us);
  figures.apply = microseconds(commit.figures.apply_us);
  in_flight_.pop_front();
  way.encoding.encoder().Committed();
  policy_->Note(figures);
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
  const Instant ready = parts_.clock.Now();
  Status taken = status.ok() ? TakeNow(*connection) : status;
  checkpoint_.figures.settle += MicrosSince(guest_asked_, ready);
  connection->Took(taken);
  return status.ok();
}

Status EpochLoop::TakeNow(PrimaryConnection& c) {
  HAVEN_RETURN_IF_ERROR(parts_.checkpointer.Take(checkpoint_, then_));
  if (then_ == Checkpointer::Then::kStayStopped) c.SetHandOver(HandOverStage::kStopped);
  parts_.gate.Close();
  checkpoint_.output_since = c.SetCut(checkpoint_.epoch);
  return Status::Ok();
}

}  // namespace haven::session
