// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who may copy where, and who may start: each row of the tables in docs/generations.md.

#include "session/newer_wins.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;

namespace {

Generation Of(uint64_t id, Origin origin = Origin::kPromoted) { return {id, 1700000000, origin}; }

wire::Token Life(uint8_t number) { return {number}; }

wire::Identity Side(uint8_t life, std::vector<Generation> generations, unsigned flags = 0) {
  wire::Identity identity;
  identity.life = Life(life);
  identity.lineage = Lineage(std::move(generations));
  identity.flags = static_cast<uint16_t>(flags);
  return identity;
}

const std::vector<Generation> kOld{Of(1, Origin::kProtected)};
const std::vector<Generation> kNew{Of(2), Of(1, Origin::kProtected)};
const std::vector<Generation> kOther{Of(3, Origin::kAlone), Of(1, Origin::kProtected)};
const std::vector<Generation> kStrange{Of(9)};

constexpr unsigned kFresh = wire::kIdentityFresh;
constexpr unsigned kCheckpoint = wire::kIdentityCheckpoint;
constexpr unsigned kEnded = wire::kIdentityLifeEnded;

struct Row {
  const char* what;
  wire::Identity primary, backup;
  Ruling session, start;
};

const Row kRows[] = {
    {"neither has a generation", Side(1, kOld, kFresh), Side(0, {}), Ruling::kGo, Ruling::kGo},
    {"the backup has none, or a person gave it away", Side(1, kNew), Side(1, {}, kEnded), Ruling::kGo, Ruling::kGo},
    {"the same run comes back", Side(1, kOld), Side(1, kOld, kCheckpoint), Ruling::kGo, Ruling::kGo},
    {"the same run went on alone and comes back", Side(1, kOther), Side(1, kOld, kCheckpoint), Ruling::kGo,
     Ruling::kGo},
    {"another run, nothing waits", Side(2, kOld), Side(1, kOld), Ruling::kGo, Ruling::kGo},
    {"another run, the last one ended", Side(2, kOld), Side(1, kOld, kCheckpoint | kEnded), Ruling::kGo, Ruling::kGo},
    {"another run, a checkpoint waits", Side(2, kOld), Side(1, kOld, kCheckpoint), Ruling::kCheckpointWaits,
     Ruling::kCheckpointWaits},
    {"another run that went on alone, a checkpoint waits", Side(2, kOther), Side(1, kOld, kCheckpoint),
     Ruling::kCheckpointWaits, Ruling::kGo},
    {"an empty disk, a checkpoint waits", Side(2, kStrange, kFresh), Side(1, kOld, kCheckpoint),
     Ruling::kCheckpointWaits, Ruling::kSplitBrain},
    {"the backup was promoted", Side(2, kOld), Side(1, kNew), Ruling::kBackupIsNewer, Ruling::kBackupIsNewer},
    {"the backup was promoted, the same run comes back", Side(1, kOld), Side(1, kNew), Ruling::kBackupIsNewer,
     Ruling::kBackupIsNewer},
    {"the backup was promoted and has ended cleanly", Side(2, kOld), Side(1, kNew, kEnded), Ruling::kBackupIsNewer,
     Ruling::kBackupIsNewer},
    {"the backup runs it", Side(1, kOld), Side(1, kNew, wire::kIdentityRunning), Ruling::kBackupRuns,
     Ruling::kBackupRuns},
    {"both went on alone", Side(1, kOther), Side(1, kNew), Ruling::kSplitBrain, Ruling::kSplitBrain},
    {"no common history", Side(1, kStrange), Side(1, kNew), Ruling::kSplitBrain, Ruling::kSplitBrain},
    {"a new disk, an old replica", Side(1, kStrange, kFresh), Side(2, kOld), Ruling::kUnknownPrimary,
     Ruling::kSplitBrain},
    {"a fresh generation that the backup has taken", Side(1, kOld, kFresh), Side(1, kOld), Ruling::kGo, Ruling::kGo},
    {"a primary without a generation, an old replica", Side(1, {}), Side(2, kOld), Ruling::kUnknownPrimary,
     Ruling::kGo},
    {"a new disk, a part of a copy", Side(1, kStrange, kFresh), Side(2, kOld, wire::kIdentityPartial), Ruling::kGo,
     Ruling::kSplitBrain},
    {"the old primary takes its guest back", Side(3, kNew), Side(1, kOld), Ruling::kGo, Ruling::kGo},
    {"a session is still under way", Side(2, kOld), Side(1, kOld, wire::kIdentityBusy), Ruling::kGo,
     Ruling::kBackupBusy},
};

}  // namespace

TEST_GROUP(NewerWins){};

TEST(NewerWins, EachRowOfTheTableHolds) {
  for (const Row& row : kRows) {
    CHECK_TEXT(RuleOnSession(row.primary, row.backup) == row.session, row.what);
    CHECK_TEXT(RuleOnStart(row.primary, row.backup) == row.start, row.what);
  }
}

TEST(NewerWins, EachRefusalNamesTheGuestAndACommand) {
  for (Ruling ruling : {Ruling::kCheckpointWaits, Ruling::kBackupIsNewer, Ruling::kSplitBrain, Ruling::kUnknownPrimary,
                        Ruling::kBackupRuns}) {
    const std::string text = Explain(ruling, "web1", kRows[0].primary, kRows[10].backup);
    STRCMP_CONTAINS("web1", text.c_str());
    CHECK(text.find("haven discard web1") != std::string::npos || text.find("haven adopt web1") != std::string::npos);
    CHECK(text.size() < 1024);
  }
}

TEST(NewerWins, SaysWhoseCopyIsNewer) {
  STRCMP_EQUAL("equal", NewerSide(Side(1, kOld), Side(1, kOld)));
  STRCMP_EQUAL("primary", NewerSide(Side(1, kNew), Side(1, kOld)));
  STRCMP_EQUAL("backup", NewerSide(Side(1, kOld), Side(1, kNew)));
  STRCMP_EQUAL("diverged", NewerSide(Side(1, kOther), Side(1, kNew)));
  STRCMP_EQUAL("unknown", NewerSide(Side(1, kOld, kFresh), Side(1, kOld)));
}

TEST_GROUP(Lineage){};

TEST(Lineage, ForgetsAncestorsBeyondSixteen) {
  Lineage old;
  old.Begin(Origin::kProtected);
  Lineage now = old;
  for (size_t i = 0; i < Lineage::kMaxAncestors; i++) now.Begin(Origin::kAlone);
  CHECK(Compare(old, now) == Kin::kAncestor);
  CHECK(Compare(now, old) == Kin::kDescendant);
  now.Begin(Origin::kAlone);
  CHECK(Compare(old, now) == Kin::kDiverged);  // nobody is overwritten by what cannot be told any more
  CHECK_EQUAL(Lineage::kMaxAncestors + 1, now.generations().size());
}

TEST(Lineage, ThatKnowEachOtherAsAncestorsCannotBe) {
  const Lineage a({Of(1), Of(2)}), b({Of(2), Of(1)});
  CHECK(Compare(a, b) == Kin::kDiverged);
}
