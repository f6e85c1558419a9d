// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a backup does when a session is over: every combination of what it knows, and the rows that matter by name.

#include <functional>
#include <string>
#include <vector>

#include "session/after_session.h"

#include <CppUTest/TestHarness.h>

using namespace haven::session;
using Said = SessionEnd::Said;
using Copy = SessionEnd::Copy;

namespace {

constexpr Said kSaid[] = {Said::kNothing, Said::kGoodbye, Said::kHandedOver};
constexpr Copy kCopies[] = {Copy::kNone, Copy::kEarlier, Copy::kBroken, Copy::kPartial, Copy::kWhole};
constexpr bool kBoth[] = {false, true};

std::vector<SessionEnd> AllRows() {
  std::vector<SessionEnd> rows;
  for (Said said : kSaid) {
    for (Copy copy : kCopies) {
      for (bool silent : kBoth) {
        for (bool auto_promote : kBoth) {
          for (bool shutting_down : kBoth) {
            for (bool stood_still : kBoth) {
              for (bool arbiter : kBoth)
                rows.push_back({said, copy, silent, auto_promote, shutting_down, stood_still, arbiter});
            }
          }
        }
      }
    }
  }
  return rows;
}

std::string Text(const SessionEnd& end) {
  return "said " + std::to_string(static_cast<int>(end.said)) + ", copy " + std::to_string(static_cast<int>(end.copy)) +
         (end.silent ? ", silent" : "") + (end.auto_promote ? ", auto" : "") +
         (end.shutting_down ? ", shutting down" : "") + (end.stood_still ? ", stood still" : "") +
         (end.arbiter ? ", arbiter" : "");
}

/// @param holds  of a row and what is done there.
void CheckAllRows(const std::function<bool(const SessionEnd&, AfterSession)>& holds) {
  for (const SessionEnd& end : AllRows()) CHECK_TEXT(holds(end, DecideAfterSession(end)), Text(end).c_str());
}

void CheckRow(const SessionEnd& end, AfterSession expected) {
  CHECK_TEXT(DecideAfterSession(end) == expected, Text(end).c_str());
}

bool Promotes(AfterSession next) { return next == AfterSession::kPromote || next == AfterSession::kListenFirst; }
bool Starts(AfterSession next) { return Promotes(next) || next == AfterSession::kTakeOver; }

}  // namespace

TEST_GROUP(AfterSession){};

// --- over all rows --------------------------------------------------------------

TEST(AfterSession, HasARowForEachCombination) { CHECK_EQUAL(3 * 5 * 2 * 2 * 2 * 2 * 2, AllRows().size()); }

TEST(AfterSession, StartsNoGuestWithoutACheckpointOfTheSession) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) { return !Starts(next) || end.copy == Copy::kWhole; });
}

TEST(AfterSession, StartsNoGuestWhenTheProgramEnds) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) { return !Starts(next) || !end.shutting_down; });
}

TEST(AfterSession, PromotesAfterSilenceThatMayDecideAndNowhereElse) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    const bool may =
        end.said == Said::kNothing && end.copy == Copy::kWhole && end.silent && end.auto_promote && !end.shutting_down;
    return Promotes(next) == may;
  });
}

TEST(AfterSession, AnswersEachHandOverAndNothingElse) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    const bool answer = next == AfterSession::kTakeOver || next == AfterSession::kRefuseHandOver;
    return answer == (end.said == Said::kHandedOver);
  });
}

TEST(AfterSession, KeepsACheckpointThatNobodyEnded) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    const bool given_up = next == AfterSession::kWait || next == AfterSession::kRefuseHandOver;
    return end.said != Said::kNothing || end.copy != Copy::kWhole || !given_up;
  });
}

TEST(AfterSession, OffersNoFailoverWithoutACheckpointOfTheSession) {
  CheckAllRows(
      [](const SessionEnd& end, AfterSession next) { return next != AfterSession::kHold || end.copy == Copy::kWhole; });
}

TEST(AfterSession, StartsNoGuestThatThePrimaryEndsItself) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    return end.said != Said::kGoodbye || next == AfterSession::kWait || next == AfterSession::kLeave;
  });
}

TEST(AfterSession, LeavesThingsAsTheyAreOnlyAtTheEndOrWhenNothingWasBrought) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    return next != AfterSession::kLeave || end.shutting_down ||
           (end.copy == Copy::kEarlier && end.said == Said::kNothing);
  });
}

TEST(AfterSession, LetsSilenceAndTheOptionDecideAboutPromotionOnly) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    SessionEnd held = end;
    held.silent = held.auto_promote = false;
    return Promotes(next) ? DecideAfterSession(held) == AfterSession::kHold : next == DecideAfterSession(held);
  });
}

TEST(AfterSession, ListensFirstExactlyWhereItStoodStillAndNoArbiterIsAsked) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    return !Promotes(next) || (next == AfterSession::kListenFirst) == (end.stood_still && !end.arbiter);
  });
}

TEST(AfterSession, LetsAStandStillDecideAboutListeningOnly) {
  CheckAllRows([](const SessionEnd& end, AfterSession next) {
    SessionEnd ran = end;
    ran.stood_still = false;
    return next == DecideAfterSession(ran) || (next == AfterSession::kListenFirst && Promotes(DecideAfterSession(ran)));
  });
}

// --- by name ----------------------------------------------------------------------

TEST(AfterSession, PromotesASilentPrimarysCheckpoint) {
  CheckRow({Said::kNothing, Copy::kWhole, true, true, false}, AfterSession::kPromote);
}

TEST(AfterSession, ListensFirstWhenTheSilenceMayBeItsOwn) {
  CheckRow({Said::kNothing, Copy::kWhole, true, true, false, true, false}, AfterSession::kListenFirst);
}

TEST(AfterSession, LeavesItToTheArbiterWhenItStoodStill) {
  CheckRow({Said::kNothing, Copy::kWhole, true, true, false, true, true}, AfterSession::kPromote);
}

TEST(AfterSession, HoldsTheCheckpointOfASilentPrimaryForAPerson) {
  CheckRow({Said::kNothing, Copy::kWhole, true, false, false}, AfterSession::kHold);
}

TEST(AfterSession, HoldsTheCheckpointOfAPrimaryThatHasSaidWhy) {
  CheckRow({Said::kNothing, Copy::kWhole, false, true, false}, AfterSession::kHold);
}

TEST(AfterSession, WaitsWhenTheFirstCopyWasCut) {
  CheckRow({Said::kNothing, Copy::kPartial, true, true, false}, AfterSession::kWait);
}

TEST(AfterSession, WaitsWhenTheReplicasAreNotThoseOfTheLastEpoch) {
  CheckRow({Said::kNothing, Copy::kBroken, true, true, false}, AfterSession::kWait);
}

TEST(AfterSession, WaitsWhenAPrimaryLooksInWhereNothingIs) {
  CheckRow({Said::kNothing, Copy::kNone, true, true, false}, AfterSession::kWait);
}

TEST(AfterSession, StartsNothingFromAnEarlierCheckpointWhenAPrimaryLooksIn) {
  CheckRow({Said::kNothing, Copy::kEarlier, true, true, false}, AfterSession::kLeave);
}

TEST(AfterSession, LetsGoOfAnEarlierCheckpointAtAGoodbye) {
  CheckRow({Said::kGoodbye, Copy::kEarlier, true, true, false}, AfterSession::kWait);
}

TEST(AfterSession, WaitsAfterAGoodbye) {
  CheckRow({Said::kGoodbye, Copy::kWhole, true, true, false}, AfterSession::kWait);
}

TEST(AfterSession, TakesOverWhatWasHandedOver) {
  CheckRow({Said::kHandedOver, Copy::kWhole, true, false, false}, AfterSession::kTakeOver);
}

TEST(AfterSession, RefusesAHandOverBeforeTheFirstCheckpoint) {
  CheckRow({Said::kHandedOver, Copy::kPartial, true, true, false}, AfterSession::kRefuseHandOver);
}

TEST(AfterSession, RefusesAHandOverOfAnEarlierCheckpoint) {
  CheckRow({Said::kHandedOver, Copy::kEarlier, true, true, false}, AfterSession::kRefuseHandOver);
}

TEST(AfterSession, RefusesAHandOverToReplicasThatAreNotThoseOfTheLastEpoch) {
  CheckRow({Said::kHandedOver, Copy::kBroken, true, true, false}, AfterSession::kRefuseHandOver);
}

TEST(AfterSession, RefusesAHandOverWhenTheProgramEnds) {
  CheckRow({Said::kHandedOver, Copy::kWhole, true, true, true}, AfterSession::kRefuseHandOver);
}

TEST(AfterSession, LeavesTheCheckpointWhenTheProgramEnds) {
  CheckRow({Said::kNothing, Copy::kWhole, true, true, true}, AfterSession::kLeave);
}
