// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/going_alone.h"

#include <utility>

#include "core/random_token.h"
#include "session/arbiter.h"
#include "session/newer_wins.h"

namespace haven::session {
namespace {

constexpr milliseconds kAskAgain{500};
constexpr milliseconds kAskArbiterAgain{1000};
constexpr int kRecordTries = 20;

}  // namespace

GoingAlone::GoingAlone(const PrimaryOptions& options, MainThread& main, OutputGate& gate, PrimaryLedger& ledger,
                       StopFlag& stop, std::function<void(PrimaryState, const std::string&)> say)
    : options_(options),
      clock_(*options.connect.clock),
      main_(main),
      gate_(gate),
      ledger_(ledger),
      stop_(stop),
      say_(std::move(say)) {}

std::optional<AfterLoss> GoingAlone::Settle(LossFacts facts, const wire::Token& session, std::string& why) {
  const std::string end = why;
  std::optional<StandStillWatch> watch;  // of the last attempt at the backup, which comes before any release
  Instant answered = clock_.Now();
  std::string said, by_arbiter;  // last, by the backup or the arbiter
  // Once only: the answer is old by then, and is asked for again.
  int record_tries = kRecordTries;
  facts.arbiter = options_.arbiter.empty() ? LossFacts::Arbiter::kNone : LossFacts::Arbiter::kNotAsked;
  while (true) {
    const AfterLoss step = Decide(facts);
    switch (step) {
      case AfterLoss::kAskBackup: {
        const bool again = facts.backup == LossFacts::Backup::kBusy;
        say_(PrimaryState::kUnprotected,
             "output is held until the backup has said whether it runs the guest: " + (again ? said : end));
        if (again && !AskAgain(kAskAgain)) return std::nullopt;
        watch.emplace(clock_, options_.connect.deadline);
        facts.backup = AskTheBackup(said);
        Keep(nullptr);
        break;
      }
      case AfterLoss::kAskArbiter: {
        const bool again = facts.arbiter == LossFacts::Arbiter::kUnknown;
        say_(PrimaryState::kUnprotected, "output is held until the arbiter answers: " + (again ? by_arbiter : end));
        if (again && !AskAgain(kAskArbiterAgain)) return std::nullopt;
        // Who cannot act must not win: a hung disk keeps the main thread.
        if (!main_.Call([] {})) return std::nullopt;
        facts.arbiter = AskTheArbiter(session, by_arbiter);
        said = by_arbiter;
        break;
      }
      case AfterLoss::kRelease: {
        if (!RecordAlone(std::exchange(record_tries, 1))) return std::nullopt;
        const auto released = Release(answered, *watch);
        if (!released) return std::nullopt;
        if (!*released) {
          facts.backup = LossFacts::Backup::kNotAsked;
          continue;
        }
        if (facts.backup == LossFacts::Backup::kSilent && facts.arbiter == LossFacts::Arbiter::kNone)
          why = end + "; nobody has confirmed that the backup does not run the guest";
        return step;
      }
      case AfterLoss::kHalt:
        if (!said.empty()) why = said;
        return step;
      case AfterLoss::kRetry:
      case AfterLoss::kHold: return step;
    }
    // What was heard counts all the same.
    if (stop_.IsSet() && Decide(facts) != AfterLoss::kHalt) return std::nullopt;
    answered = clock_.Now();
  }
}

void GoingAlone::Keep(std::shared_ptr<Link> link) {
  std::lock_guard lock(mutex_);
  if (link && stop_.IsSet()) link->Close();
  asking_ = std::move(link);
}

void GoingAlone::Cancel() {
  std::lock_guard lock(mutex_);
  if (asking_) asking_->Close();
}

LossFacts::Backup GoingAlone::AskTheBackup(std::string& why) {
  using Backup = LossFacts::Backup;
  auto mine = ledger_.Identify();
  if (!mine.ok()) {
    why = mine.status().message();
    return Backup::kSilent;
  }
  mine.value().flags |= wire::kIdentityStarting;
  auto theirs =
      AskBackup(options_.connect, mine.value(), [this](std::shared_ptr<Link> link) { Keep(std::move(link)); });
  if (!theirs.ok()) {
    why = theirs.status().message();
    return Backup::kSilent;
  }
  const Ruling ruling = RuleOnStart(mine.value(), theirs.value());
  if (ruling == Ruling::kGo) return Backup::kYields;
  why = Explain(ruling, options_.connect.guest, mine.value(), theirs.value());
  switch (ruling) {
    case Ruling::kBackupBusy: return Backup::kBusy;
    // Nothing of this copy has left since it was the newest: where they differ, the other one has gone on.
    case Ruling::kBackupRuns:
    case Ruling::kBackupIsNewer:
    case Ruling::kSplitBrain: return Backup::kHasIt;
    case Ruling::kGo:
    case Ruling::kCheckpointWaits:
    case Ruling::kUnknownPrimary: break;
  }
  return Backup::kSilent;
}

LossFacts::Arbiter GoingAlone::AskTheArbiter(const wire::Token& session, std::string& why) {
  Status verdict =
      AskArbiter(options_.arbiter, options_.connect.guest, Hex(session), "primary", [this] { return stop_.IsSet(); });
  if (verdict.ok()) return LossFacts::Arbiter::kWon;
  why = verdict.message();
  if (verdict.code() != StatusCode::kRefused) return LossFacts::Arbiter::kUnknown;
  why = "the arbiter decided for the backup: " + why;
  return LossFacts::Arbiter::kLost;
}

bool GoingAlone::RecordAlone(int tries) {
  Status recorded = ledger_.GoAlone();
  for (int i = 1; i < tries && !recorded.ok() && !once_; i++) {
    say_(PrimaryState::kUnprotected,
         "output is held until a record says that this copy is ahead: " + recorded.message());
    if (stop_.SetWithin(clock_, kAskAgain)) return false;
    recorded = ledger_.GoAlone();
  }
  // Not for ever: the guest is worth more than the record, and a backup that was not promoted still asks.
  return true;
}

std::optional<bool> GoingAlone::Release(Instant answered, StandStillWatch& watch) {
  bool fresh = false;
  const bool ran = main_.Call([&] {
    // This process may have stood still since it asked, and have taken its own silence for the backup's; and the
    // backup it for dead.
    fresh = !watch.StoodStill() && clock_.Now() - answered <= options_.connect.deadline;
    if (fresh) gate_.Open();
  });
  if (!ran) return std::nullopt;
  return fresh;
}

}  // namespace haven::session
