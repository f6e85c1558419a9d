// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/promotion.h"

#include <algorithm>

#include "core/guarded.h"
#include "core/random_token.h"
#include "session/arbiter.h"
#include "session/guest_run.h"
#include "session/stand_still_watch.h"

namespace haven::session {
namespace {

constexpr milliseconds kArbiterRetryInterval{1000};
constexpr milliseconds kRecordRetryInterval{1000};
/// A primary that is alive comes back twice a second, or asks.
constexpr milliseconds kLeastPatience{3000};

}  // namespace

Status Promotion::AskForPromotion(Ask ask) {
  const BackupGuestOptions& options = here_.options;
  wire::Token token;
  {
    std::lock_guard lock(here_.mutex);
    token = here_.token;
  }
  const auto makes_way = [&] {
    return here_.shutting_down || (ask == Ask::kUntilAnswered && here_.failovers_wanted > 0);
  };
  const auto given_up = [&] {
    std::lock_guard lock(here_.mutex);
    return makes_way();
  };
  while (ask != Ask::kNobody && !options.arbiter.empty()) {
    Status verdict = AskArbiter(options.arbiter, options.name, Hex(token), "backup", given_up);
    if (verdict.code() == StatusCode::kRefused) {
      return verdict.With("not promoted: the arbiter decided for the primary");
    }
    if (verdict.ok()) return verdict;
    if (ask == Ask::kOnce) return verdict.With("not promoted: the arbiter gave no answer");
    here_.SetState(BackupState::kPromoting, "waiting for the arbiter: " + verdict.message());
    std::unique_lock lock(here_.mutex);
    if (options.clock->WaitFor(here_.changed, lock, kArbiterRetryInterval, makes_way)) {
      return verdict.With("not promoted yet");
    }
  }
  return Status::Ok();
}

void Promotion::ClaimArbiter(const wire::Token& token) {
  if (here_.options.arbiter.empty()) return;
  Status ignored = AskArbiter(here_.options.arbiter, here_.options.name, Hex(token), "backup", [] { return false; });
  (void)ignored;
}

Status Promotion::TakeBackUnlessRan(Status started, const blkrep::GuestRecord& before) {
  if (started.ok() || here_.activator.Running()) return started;
  // The primary's copy is as new as it was.
  Status back = here_.ledger.TakeBack(before);
  return back.ok() ? started : started.With(back.message());
}

Status Promotion::Promote(Ask ask) {
  std::lock_guard one(here_.promotion);
  Pending pending;
  return PromoteGuarded(ask, pending);
}

Status Promotion::PromoteGuarded(Ask ask, Pending& pending) {
  bool whole = false;
  const Status promoted = Guarded([&] {
    Status status = PromoteLocked(ask, pending);
    whole = true;
    return status;
  });
  if (whole) return promoted;
  const bool running = here_.activator.Running();
  std::lock_guard lock(here_.mutex);
  pending = Pending::kNothing;
  here_.state = running ? BackupState::kPromoted : BackupState::kFailed;
  here_.message = promoted.message();
  here_.changed.notify_all();
  return promoted;
}

Status Promotion::NotPromoted(Status why, Ask ask, Pending& pending, Pending what) {
  std::lock_guard lock(here_.mutex);
  here_.state = BackupState::kPrimaryLost;
  here_.message = why.message();
  here_.changed.notify_all();
  if (ask != Ask::kUntilAnswered || here_.shutting_down) return why;
  pending = what;
  here_.listening = pending != Pending::kNothing;
  if (pending == Pending::kRecord) here_.message += "; it is tried again every second";
  return why;
}

Status Promotion::PromoteLocked(Ask ask, Pending& pending) {
  pending = Pending::kNothing;
  Status alone;
  {
    std::lock_guard lock(here_.mutex);
    if (here_.state == BackupState::kPromoted) return Status::Ok();
    // A primary may have come (back) until this lock was had.
    if (here_.connection || !here_.HasCommitted()) {
      return Refused("the primary of guest " + here_.options.name + " has come back");
    }
    if (ask != Ask::kNobody) alone = here_.RefuseIfPrimaryAlone();
    if (alone.ok()) here_.state = BackupState::kPromoting;
  }
  if (!alone.ok()) {
    const bool unread = alone.code() == StatusCode::kEnvironment;
    return NotPromoted(alone.With("not promoted"), ask, pending, unread ? Pending::kRecord : Pending::kNothing);
  }
  Instant start = SteadyClock::now();
  Status verdict = AskForPromotion(ask);
  const bool lost = verdict.code() == StatusCode::kRefused;
  if (!verdict.ok()) return NotPromoted(verdict, ask, pending, lost ? Pending::kNothing : Pending::kOrder);
  blkrep::GuestRecord before;
  Status recorded = here_.ledger.Promote(Origin::kPromoted, before);
  if (!recorded.ok()) {
    recorded = recorded.With("not promoted: nothing would say that the copy here is newer");
    return NotPromoted(recorded, ask, pending, Pending::kRecord);
  }
  here_.store->ReleaseReplicas();  // the guest locks its disks itself
  Status activated =
      TakeBackUnlessRan(Guarded([this] { return here_.activator.Activate(here_.store->image()); }), before);
  auto took = std::chrono::duration_cast<milliseconds>(SteadyClock::now() - start);
  std::lock_guard lock(here_.mutex);
  here_.failover_ms = static_cast<uint64_t>(took.count());
  here_.state = activated.ok() ? BackupState::kPromoted : BackupState::kFailed;
  here_.message = !activated.ok()                       ? "the guest could not be started: " + activated.message()
                  : here_.store->image().guest_paused() ? DescribeLeft(here_.store->image().guest_run())
                                                        : "";
  here_.changed.notify_all();
  return activated;
}

void Promotion::PromoteByItself() {
  while (true) {
    const Pending pending = TryByItself();
    if (pending == Pending::kNothing) return;
    if (HeardWithin(pending == Pending::kRecord ? kRecordRetryInterval : milliseconds(0))) return;
  }
}

Promotion::Pending Promotion::TryByItself() {
  std::lock_guard one(here_.promotion);
  Pending pending;
  Status promoted = PromoteGuarded(Ask::kUntilAnswered, pending);
  (void)promoted;  // the state and its message say it
  return pending;
}

bool Promotion::HeardWithin(milliseconds time) {
  const auto in_peace = [this] { return here_.failovers_wanted == 0 && !here_.deciding; };
  const auto off = [&] {
    return here_.heard || here_.shutting_down || here_.connection ||
           (in_peace() && here_.state != BackupState::kPrimaryLost);
  };
  while (true) {
    StandStillWatch watch(*here_.options.clock, here_.options.deadline);
    std::unique_lock lock(here_.mutex);
    (void)here_.options.clock->WaitFor(here_.changed, lock, time, off);
    here_.changed.wait(lock, [&] { return in_peace() || here_.shutting_down; });
    const bool heard = off();
    if (!heard && here_.options.arbiter.empty() && watch.StoodStill()) {
      time = Patience();  // the primary may have asked meanwhile, had no answer, and gone on
      continue;
    }
    here_.listening = here_.heard = false;
    if (!heard) here_.state = BackupState::kPromoting;
    here_.changed.notify_all();
    return heard;
  }
}

milliseconds Promotion::Patience() const { return std::max(3 * here_.options.deadline, kLeastPatience); }

void Promotion::PromoteUnlessHeard() {
  if (!HeardWithin(Patience())) PromoteByItself();
}

Status Promotion::MayFailover(bool force) const {
  const std::string& name = here_.options.name;
  if (here_.state == BackupState::kPromoted) return Refused("guest " + name + " runs here already");
  if (!here_.HasCommitted()) {
    return Refused("there is no complete checkpoint of guest " + name + " here; haven failover --cold " + name +
                   " boots it from its replicas, if they are whole");
  }
  if (here_.state == BackupState::kWaiting) return Refused("guest " + name + " is not protected: " + here_.message);
  if (force) return Status::Ok();
  if (here_.connection) {
    return Refused("the primary of guest " + name + " still answers; end it or its protection first, or say --force");
  }
  return here_.RefuseIfPrimaryAlone();
}

Status Promotion::Failover(bool force) {
  std::shared_ptr<BackupConnection> connection;
  wire::Token token;
  {
    std::lock_guard lock(here_.mutex);
    HAVEN_RETURN_IF_ERROR(MayFailover(force));
    connection = here_.connection;
    token = connection ? connection->token() : here_.token;
    // No primary may come now, and a promotion that waits for its arbiter
    // makes way for the person's.
    here_.failovers_wanted++;
    here_.changed.notify_all();
  }
  if (force) ClaimArbiter(token);
  if (connection) {
    connection->End({StatusCode::kRefused, "the backup was promoted by order of an administrator"},
                    wire::Error::kPromoted);
    connection.reset();
    std::unique_lock lock(here_.mutex);
    here_.changed.wait(lock, [this] { return here_.connection == nullptr; });
  }
  Status promoted = Promote(force ? Ask::kNobody : Ask::kOnce);
  std::lock_guard lock(here_.mutex);
  here_.failovers_wanted--;
  here_.changed.notify_all();
  return promoted;
}

}  // namespace haven::session
