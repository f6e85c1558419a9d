// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/epoch_loop.h"

namespace haven::session {

Status EpochLoop::Run(const std::shared_ptr<PrimaryConnection>& connection, MemorySender& sender,
                      PageEncoding& encoding, EpochPolicy& policy) {
  Way way{connection, sender, encoding};
  microseconds cpu{0};
  Instant next = parts_.clock.Now();
  while (true) {
    switch (connection->WaitUntil(next)) {
      case PrimaryConnection::Wake::kOver: return Ended();
      case PrimaryConnection::Wake::kHandOver: return HandOver(way);
      case PrimaryConnection::Wake::kTime: break;
    }
    HAVEN_RETURN_IF_ERROR(OneEpoch(way, Checkpointer::Then::kResume));
    next = policy.NextAfter(resumed_);
    parts_.cpu.AddSince(cpu);
  }
}

Status EpochLoop::OneEpoch(Way& way, Checkpointer::Then then) {
  parts_.checkpointer.Prepare(way.encoding.harvest().Next());
  Status taken = TakeCheckpoint(way, then);
  resumed_ = parts_.clock.Now();
  if (taken.code() == StatusCode::kTryAgain && then == Checkpointer::Then::kResume)
    return Status::Ok();  // at the next interval
  HAVEN_RETURN_IF_ERROR(taken);
  auto sent = way.sender.SendEpoch(checkpoint_, parts_.checkpointer.snapshot());
  if (!sent.ok()) return sent.status();
  EpochFigures& figures = checkpoint_.figures;
  figures.wire_bytes = sent.value();
  auto committed = way.connection->AwaitCommit(checkpoint_.epoch);
  if (!committed.ok()) return committed.status();
  figures.commit = MicrosSince(checkpoint_.cut, SteadyClock::now());
  figures.decode = microseconds(committed.value().decode_us);
  figures.apply = microseconds(committed.value().apply_us);
  way.encoding.encoder().Committed();
  figures.encoder = way.encoding.encoder().TakeFigures();
  way.encoding.harvest().Note(figures.encoder);
  parts_.report.Add(figures);
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
  c.SetCut(checkpoint_.epoch);
  return Status::Ok();
}

}  // namespace haven::session
