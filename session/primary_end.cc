// SPDX-License-Identifier: GPL-2.0-or-later
// How a session ends, from PrimarySession::Stop() on.
#include "core/guarded.h"
#include "session/primary_session.h"

namespace haven::session {
namespace {

constexpr milliseconds kTryAgain{500};
constexpr char kGiven[] = "protection was ended while the guest was handed over: the backup has it";
constexpr char kRunsThere[] = "protection was ended while the backup started the guest, which runs there";
constexpr char kNobodyConfirmed[] =
    "nobody has confirmed that the backup does not run the guest: what was held did not leave";

bool IsLive(PrimaryState state) {
  return state == PrimaryState::kSyncing || state == PrimaryState::kVerifying || state == PrimaryState::kProtected;
}

}  // namespace

Status PrimarySession::Stop(wire::Goodbye reason) {
  if (reason == wire::Goodbye::kGuestPoweredOff) ending_alone_.AskOnce();
  if (stopped_) return Status::Ok();
  return Guarded([&] {
    end_ = Thread([this, reason] { End(reason); }, [](const Status&) {});
    stopped_ = true;
    return Status::Ok();
  });
}

void PrimarySession::End(wire::Goodbye reason) {
  std::optional<bool> heard;
  while (true) {
    const Status ended = Guarded([&] {
      const Ending ending = EndProtection(reason, heard);
      main_.Post([this, ending] { Finish(ending); });
      return Status::Ok();
    });
    // The guest's output would be held for ever.
    if (ended.ok() || abandoned_.SetWithin(clock_, kTryAgain)) return;
  }
}

PrimarySession::Ending PrimarySession::EndProtection(wire::Goodbye reason, std::optional<bool>& heard) {
  std::shared_ptr<PrimaryConnection> c;
  wire::Token token;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    c = connection_;
    token = token_;
  }
  stop_.Set();
  const bool given = c && c->Stop() == HandOverStage::kSaid;
  if (!heard) heard = c && !given && SayGoodbye(*c, reason);
  // Who is giving the guest away says so, and hears the answer.
  if (c && !given) c->Fail(EndOf(Ended()));
  going_alone_.Cancel();
  if (driver_.joinable()) driver_.join();
  const PrimaryState state = report_.state();
  if (given && c->hand_over() == HandOverStage::kSaid) return {Ending::Guest::kIsToHalt, PrimaryState::kLost, kGiven};
  if (c && c->promoted()) return {Ending::Guest::kIsToHalt, PrimaryState::kLost, kRunsThere};
  if (state == PrimaryState::kLost) return {Ending::Guest::kIsHalted, state, report_.message()};
  if (*heard) return {Ending::Guest::kGoesOn, PrimaryState::kStopped, RecordEnd(reason).message()};
  if (gate_.holding()) {
    LossFacts facts;
    facts.held = true;
    std::string why = "protection ends, and the backup has not heard of it";
    const auto settled = ending_alone_.Settle(facts, token, why);
    if (!settled) return {Ending::Guest::kIsToHalt, PrimaryState::kStopped, kNobodyConfirmed};
    if (*settled == AfterLoss::kHalt) return {Ending::Guest::kIsToHalt, PrimaryState::kLost, why};
  }
  // Whoever asks why the guest is not protected finds it when the refused session was given up, too.
  return {Ending::Guest::kGoesOn, PrimaryState::kStopped,
          state == PrimaryState::kRefused ? report_.message() : std::string()};
}

bool PrimarySession::SayGoodbye(PrimaryConnection& c, wire::Goodbye reason) {
  if (!IsLive(report_.state())) return false;
  if (!c.failed() && c.SayGoodbye(reason)) return true;
  SetState(PrimaryState::kUnprotected, "protection ends; the backup has not heard of it");
  return false;
}

Status PrimarySession::RecordEnd(wire::Goodbye reason) {
  const Status ended = ledger_.LifeEnded();
  return reason == wire::Goodbye::kUnprotect ? ledger_.GoAlone() : ended;
}

void PrimarySession::Finish(const Ending& ending) {
  // Whatever of this fails, the end comes.
  bool is_new = false;
  (void)Guarded([&] {
    is_new = report_.Set(ending.state, ending.message);
    return guest_.SetDirtyLog(false);
  });
  switch (ending.guest) {
    case Ending::Guest::kGoesOn:
      if (auto c = connection(); c && c->hand_over() >= HandOverStage::kStopped && !epochs_.guest_paused())
        guest_.Resume();
      gate_.Open();
      break;
    case Ending::Guest::kIsToHalt: HaltGuest(); break;
    case Ending::Guest::kIsHalted: break;
  }
  (void)Guarded([&] {
    if (is_new) guest_.StateChanged(Query());
    return Status::Ok();
  });
  main_.Close();
  guest_.Ended();  // may free this session
}

}  // namespace haven::session
