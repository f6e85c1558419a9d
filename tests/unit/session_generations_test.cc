// SPDX-License-Identifier: GPL-2.0-or-later
//
// The newer copy wins: what a backup does when an old primary, another run, an empty disk or somebody
// else's file comes, and what a person can decide.

#include <fstream>

#include "os/files.h"
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;
using blkrep::test::ReadFile;
using blkrep::test::WriteFile;

namespace {

/// Lets something happen when this thread replaces a file.
class AtRename : public os::Files {
 public:
  explicit AtRename(std::function<void()> what) : what_(std::move(what)) { SetHere(this); }
  ~AtRename() override { SetHere(nullptr); }
  int Rename(const char* from, const char* to) override {
    what_();
    return Files::Rename(from, to);
  }

 private:
  std::function<void()> what_;
};

}  // namespace

TEST_GROUP(Generations) {
  Pair pair;

  void setup() override {
    pair.UseFakeClock();
    pair.backup_options.disks = {{"vda", Replica()}};
    pair.activator.replica_paths = {Replica()};
  }
  std::string port() { return pair.listener.port(); }
  std::string Replica() { return pair.folder.File("vda"); }
  blkrep::GuestRecord Record() {
    auto record = blkrep::LoadGuestRecord(pair.backup_options.state_dir);
    HAVEN_CHECK_OK(record.status());
    return record.value().value_or(blkrep::GuestRecord{});
  }

  /// A primary that has committed `epochs` epochs.
  std::unique_ptr<HandMadeSession> Committed(Epoch epochs, const wire::Identity& identity = FirstOf(1)) {
    auto session = std::make_unique<HandMadeSession>(port());
    session->identity = identity;
    CHECK(session->SendLayout().header.type == wire::Type::kLayoutReply);
    for (Epoch epoch = 1; epoch <= epochs; epoch++) {
      session->SendEpoch(epoch);
      CHECK(session->control.Next().header.type == wire::Type::kCommitted);
    }
    CHECK(pair.BackupReaches(BackupState::kProtecting));
    return session;
  }
  void LosePrimary(HandMadeSession & session) {
    session.Close();
    CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  }
  /// What a primary with this identity is told.
  std::string RefusalOf(const wire::Identity& identity) {
    HandMadeSession session(port());
    session.identity = identity;
    const haven::Record answer = session.SendLayout();
    std::string text = wire::TypeName(answer.header.type);
    if (answer.header.type == wire::Type::kError) text = wire::DecodeError(answer.body).value().message;
    session.Close();
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
    return text;
  }
  wire::Identity Ask(wire::Identity identity, uint16_t flags = 0) {
    identity.flags |= flags;
    auto answer = AskBackup({"vm", "127.0.0.1", port(), milliseconds(20000)}, identity);
    HAVEN_CHECK_OK(answer.status());
    return answer.value();
  }
  /// Another run of the guest whose first one is FirstOf(1).
  wire::Identity NextLife() {
    wire::Identity identity = FirstOf(2);
    identity.flags = 0;
    return identity;
  }
  void HavendStartsAgain() {
    pair.EndBackup();
    pair.StartBackup();
    HAVEN_CHECK_OK(pair.backup->Recover());
  }
};

TEST(Generations, AnOldPrimaryDoesNotOverwriteWhatThePromotedGuestWrote) {
  pair.StartBackup();
  LosePrimary(*Committed(2));
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  pair.activator.PowerOff();
  const Bytes newer = blkrep::test::Pattern(8192, 5);
  WriteFile(Replica(), newer);
  wire::Identity same_run = FirstOf(1);
  same_run.flags = 0;
  for (const wire::Identity& old : {same_run, NextLife()}) {
    STRCMP_CONTAINS("the copy of guest vm on the backup is newer", RefusalOf(old).c_str());
    STRCMP_CONTAINS("haven discard vm on the backup", RefusalOf(old).c_str());
  }
  CHECK(ReadFile(Replica()) == newer);
  STRCMP_EQUAL("backup", pair.backup->Query().newer.c_str());
  STRCMP_CONTAINS("refused", pair.backup->Query().message.c_str());
  // Not by a havend either that knows it only from its record.
  HavendStartsAgain();
  STRCMP_CONTAINS("is newer", RefusalOf(NextLife()).c_str());
  HAVEN_CHECK_OK(pair.backup->Discard());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(NextLife()).c_str());
}

TEST(Generations, ACheckpointOfAnotherRunWaitsForAPerson) {
  pair.StartBackup();
  LosePrimary(*Committed(3));
  wire::Identity empty_disk = FirstOf(2);
  empty_disk.lineage = Lineage({{77, 1700000000, Origin::kProtected}});
  for (const wire::Identity& other : {NextLife(), empty_disk}) {
    const std::string why = RefusalOf(other);
    STRCMP_CONTAINS("holds a checkpoint of an earlier run of guest vm", why.c_str());
    STRCMP_CONTAINS("epoch 3", why.c_str());
    STRCMP_CONTAINS("run haven failover vm", why.c_str());
  }
  CHECK(pair.backup->Query().state == BackupState::kPrimaryLost);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(Generations, ACheckpointThatWasDiscardedGivesWay) {
  pair.StartBackup();
  LosePrimary(*Committed(3));
  auto what = pair.backup->DescribeCopy();
  HAVEN_CHECK_OK(what.status());
  for (const std::string& part :
       {std::string("a checkpoint"), std::string("epoch 3"), std::string("generation 0000000000000064"), Replica()}) {
    STRCMP_CONTAINS(part.c_str(), what.value().c_str());
  }
  HAVEN_CHECK_OK(pair.backup->Discard());
  CHECK(pair.backup->Failover(true).code() == StatusCode::kRefused);
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(NextLife()).c_str());
}

// What a person throws away may be gone step by step: no primary comes in between, and finds half of it.
TEST(Generations, NoSessionBeginsWhileSomethingIsDiscarded) {
  pair.StartBackup();
  LosePrimary(*Committed(3));
  std::string told;
  pair.activator.on_discard = [&] {
    HandMade primary(port(), wire::Connection::kControl);
    told = primary.Error();
  };
  HAVEN_CHECK_OK(pair.backup->Discard());
  pair.activator.on_discard = [] {};
  STRCMP_EQUAL("6 guest vm has a session or a promotion under way", told.c_str());
  auto session = Committed(1, NextLife());
  LosePrimary(*session);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
}

TEST(Generations, NoSessionBeginsWhileACopyIsGivenUp) {
  pair.StartBackup();
  Committed(1)->Close();
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  HavendStartsAgain();
  std::string told;
  {
    AtRename at_rename([&] {
      HandMade primary(port(), wire::Connection::kControl);
      told = primary.Error();
    });
    HAVEN_CHECK_OK(pair.backup->Adopt());
  }
  STRCMP_EQUAL("6 guest vm has a session or a promotion under way", told.c_str());
  auto session = Committed(2);
  LosePrimary(*session);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
}

TEST(Generations, ASiteThatRestartsGuestsByItselfLetsTheNewRunWin) {
  pair.backup_options.discard_on_new_life = true;
  pair.StartBackup();
  LosePrimary(*Committed(3));
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(NextLife()).c_str());
}

TEST(Generations, AStrangerThatOnlySaysGoodbyeThrowsNothingAway) {
  pair.StartBackup();
  LosePrimary(*Committed(2));
  {
    HandMade stranger(port(), wire::Connection::kControl);
    stranger.Token();
    (void)stranger.link.Send(wire::Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{wire::Goodbye::kGuestPoweredOff}))
        .ok();
    CHECK(stranger.Ended());
  }
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  CHECK(pair.backup->Query().state == BackupState::kPrimaryLost);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
}

TEST(Generations, ButNotAPrimaryThatIsRefusedAllTheSame) {
  pair.backup_options.discard_on_new_life = true;
  pair.StartBackup();
  LosePrimary(*Committed(3));
  wire::Identity stranger = FirstOf(2);
  stranger.lineage = Lineage({{77, 1700000000, Origin::kProtected}});
  STRCMP_CONTAINS("holds a checkpoint", RefusalOf(stranger).c_str());
  HAVEN_CHECK_OK(pair.backup->Failover(false));
}

TEST(Generations, ACopyWhoseRecordIsGoneIsNotTakenForNone) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  pair.activator.PowerOff();
  std::filesystem::remove(pair.backup_options.state_dir + "/generation");
  HavendStartsAgain();
  auto asked = AskBackup({"vm", "127.0.0.1", port(), milliseconds(20000)}, NextLife());
  CHECK_FALSE(asked.ok());  // as if it had not answered: nothing is started
  STRCMP_CONTAINS("no record says any more how new it is", asked.status().message().c_str());
  STRCMP_CONTAINS("haven adopt vm", RefusalOf(NextLife()).c_str());
  HAVEN_CHECK_OK(pair.backup->Adopt());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(NextLife()).c_str());
}

TEST(Generations, TheSameRunComesBackWhateverItHasDoneAlone) {
  pair.StartBackup();
  LosePrimary(*Committed(3));
  wire::Identity alone = FirstOf(1);
  alone.flags = 0;
  alone.lineage.Begin(Origin::kAlone);
  auto session = Committed(1, alone);
  CHECK(Record().lineage == alone.lineage);
}

TEST(Generations, APrimaryWithoutHistoryIsRefusedUntilItIsAdopted) {
  pair.StartBackup();
  auto session = Committed(1);
  HAVEN_CHECK_OK(session->control.link.Send(wire::Type::kGoodbye, 0,
                                            wire::Encode(wire::GoodbyeBody{wire::Goodbye::kGuestPoweredOff})));
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  CHECK(Record().life_ended);
  wire::Identity stranger = FirstOf(2);
  stranger.lineage = Lineage({{77, 1700000000, Origin::kProtected}});
  STRCMP_CONTAINS("run haven adopt vm on the backup", RefusalOf(stranger).c_str());
  HAVEN_CHECK_OK(pair.backup->Adopt());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(stranger).c_str());
  CHECK_EQUAL(77, Record().lineage.current().id);
  CHECK_FALSE(Record().adopted);
}

TEST(Generations, AFileOfSomebodyElseIsNotTouched) {
  const Bytes theirs = blkrep::test::Pattern(65536, 9);
  WriteFile(Replica(), theirs);
  pair.StartBackup();
  const std::string why = RefusalOf(FirstOf(1));
  STRCMP_CONTAINS(Replica().c_str(), why.c_str());
  STRCMP_CONTAINS("data that is not known", why.c_str());
  STRCMP_CONTAINS("65536 octets", why.c_str());
  CHECK(ReadFile(Replica()) == theirs);
  STRCMP_CONTAINS("run haven adopt vm on the backup", why.c_str());
  HAVEN_CHECK_OK(pair.backup->Adopt());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(FirstOf(1)).c_str());
  CHECK_EQUAL(8192, ReadFile(Replica()).size());
}

TEST(Generations, AReplicaThatWasRemovedMeanwhileIsCopiedWhole) {
  pair.StartBackup();
  auto first = Committed(1);
  const wire::Layout layout = first->layout;
  LosePrimary(*first);
  {
    HandMadeSession again(port());
    again.layout = layout;
    CHECK(wire::DecodeLayoutReply(again.SendLayout().body).value().disks ==
          std::vector{wire::LayoutReply::Copy::kChanged});
    again.SendEpoch(1);
    CHECK(again.control.Next().header.type == wire::Type::kCommitted);
    LosePrimary(again);
  }
  std::filesystem::remove(Replica());
  HandMadeSession again(port());
  CHECK(wire::DecodeLayoutReply(again.SendLayout().body).value().disks == std::vector{wire::LayoutReply::Copy::kAll});
}

TEST(Generations, AnAdoptionIsOfTheFilesThatWereThere) {
  WriteFile(Replica(), blkrep::test::Pattern(65536, 9));
  pair.StartBackup();
  HAVEN_CHECK_OK(pair.backup->Adopt());
  const Bytes another = blkrep::test::Pattern(8192, 4);
  std::filesystem::remove(Replica());
  WriteFile(Replica(), another);
  STRCMP_CONTAINS("data that is not known", RefusalOf(FirstOf(1)).c_str());
  CHECK(ReadFile(Replica()) == another);
}

TEST(Generations, AFileOfTheRightSizeIsOursOnlyIfItHoldsNothing) {
  Bytes theirs(8192);
  theirs[5000] = 1;
  WriteFile(Replica(), theirs);
  pair.StartBackup();
  STRCMP_CONTAINS("data that is not known", RefusalOf(FirstOf(1)).c_str());
  CHECK(ReadFile(Replica()) == theirs);
  WriteFile(Replica(), Bytes(8192));
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(FirstOf(1)).c_str());
}

TEST(Generations, AReplicaFollowsADiskThatHasGrownOnlyWhenItIsAdopted) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  // The disk is grown at the primary: here, the replica is the one that is too small.
  std::filesystem::resize_file(Replica(), 4096);
  const std::string why = RefusalOf(FirstOf(1));
  STRCMP_CONTAINS("has 8192 octets now", why.c_str());
  STRCMP_CONTAINS("run haven adopt vm", why.c_str());
  CHECK_EQUAL(4096, ReadFile(Replica()).size());
  HAVEN_CHECK_OK(pair.backup->Adopt());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(FirstOf(1)).c_str());
  CHECK_EQUAL(8192, ReadFile(Replica()).size());
}

TEST(Generations, AReplicaThatWasReplacedIsNotRecoveredInto) {
  pair.StartBackup();
  LosePrimary(*Committed(2));
  pair.EndBackup();
  const Bytes theirs = blkrep::test::Pattern(8192, 3);
  std::filesystem::remove(Replica());
  WriteFile(Replica(), theirs);
  pair.StartBackup();
  HAVEN_CHECK_OK(pair.backup->Recover());
  STRCMP_CONTAINS("is not the disk that was disk vda", pair.backup->Query().message.c_str());
  CHECK(ReadFile(Replica()) == theirs);
}

TEST(Generations, ReplicasFromBeforeThereWereGenerationsWaitForAPerson) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  pair.EndBackup();
  std::filesystem::remove(pair.backup_options.state_dir + "/generation");
  pair.StartBackup();
  HAVEN_CHECK_OK(pair.backup->Recover());
  STRCMP_CONTAINS("run haven adopt vm here", pair.backup->Query().message.c_str());
  STRCMP_CONTAINS("haven adopt vm", RefusalOf(FirstOf(1)).c_str());
  HAVEN_CHECK_OK(pair.backup->Adopt());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(FirstOf(1)).c_str());
}

TEST(Generations, ADamagedRecordRefusesAllAndSaysSo) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  pair.EndBackup();
  WriteFile(pair.backup_options.state_dir + "/generation", Bytes(100, 7));
  pair.StartBackup();
  HAVEN_CHECK_OK(pair.backup->Recover());
  STRCMP_CONTAINS("run haven adopt vm", pair.backup->Query().message.c_str());
  STRCMP_CONTAINS("cannot use", RefusalOf(FirstOf(1)).c_str());
  STRCMP_CONTAINS("cannot use", pair.backup->DescribeCopy().value().c_str());
  HAVEN_CHECK_OK(pair.backup->Adopt());
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(FirstOf(1)).c_str());
}

// --- promotion -----------------------------------------------------------------------

TEST(Generations, TheNewGenerationIsOnDiskBeforeTheGuestRuns) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  Lineage at_start;
  pair.activator.on_start = [&] { at_start = Record().lineage; };
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK_EQUAL(2, at_start.generations().size());
  CHECK(at_start.current().origin == Origin::kPromoted);
  CHECK(Record().role == wire::Role::kPrimary);
}

TEST(Generations, AGuestThatCouldNotBeStartedMadeNothingNewer) {
  pair.activator.activate_fails = Status(StatusCode::kEnvironment, "it crashed");
  pair.StartBackup();
  LosePrimary(*Committed(1));
  const blkrep::GuestRecord before = Record();
  CHECK_FALSE(pair.backup->Failover(false).ok());
  CHECK(Record() == before);
  STRCMP_EQUAL("LAYOUT_REPLY", RefusalOf(FirstOf(1)).c_str());
}

TEST(Generations, ACrashAfterThePromotionReplaysNothingOverThePromotedGuest) {
  pair.StartBackup();
  auto session = Committed(1);
  // A write that the journal holds, and then a promotion whose applied mark is lost with the host.
  Bytes write = wire::Encode(wire::DiskRequest{1, 0, 0, 0, 512});
  write.insert(write.end(), 512, 0xAA);
  HAVEN_CHECK_OK(session->disk->link.Send(wire::Type::kDiskWrite, 2, write));
  CHECK(session->disk->Next().header.type == wire::Type::kDiskAck);
  std::map<std::string, Bytes> at_commit;
  pair.activator.on_start = [&] {};
  session->SendEpoch(2, 1);
  CHECK(session->control.Next().header.type == wire::Type::kCommitted);
  for (const char* file : {"/journal", "/journal.2", "/layout"})
    at_commit[file] = ReadFile(pair.backup_options.state_dir + file);
  LosePrimary(*session);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  // What was not synced is gone: the journal is that of the commit. The guest has gone on.
  pair.activator.PowerOff();
  pair.EndBackup();
  for (const auto& [file, octets] : at_commit) WriteFile(pair.backup_options.state_dir + file, octets);
  const Bytes newer = blkrep::test::Pattern(8192, 5);
  WriteFile(Replica(), newer);
  pair.StartBackup();
  HAVEN_CHECK_OK(pair.backup->Recover());
  CHECK(ReadFile(Replica()) == newer);
}

// --- starts ---------------------------------------------------------------------------

TEST(Generations, APrimaryThatStartsIsToldWhatIsHere) {
  pair.StartBackup();
  CHECK(Ask(NextLife(), wire::kIdentityStarting).lineage.empty());
  auto session = Committed(1);
  CHECK(Ask(NextLife(), wire::kIdentityStarting).Has(wire::kIdentityBusy));
  LosePrimary(*session);
  CHECK(Ask(NextLife(), wire::kIdentityStarting).Has(wire::kIdentityCheckpoint));
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK(Ask(NextLife(), wire::kIdentityStarting).Has(wire::kIdentityRunning));
}

TEST(Generations, NobodyStartsTheGuestHereUnawareThatThePrimaryHas) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  wire::Identity alone = NextLife();
  alone.lineage.Begin(Origin::kAlone);
  Ask(alone);  // one that only asks starts nothing
  CHECK(RuleOnStart(alone, Ask(alone, wire::kIdentityStarting)) == Ruling::kGo);
  const Status refused = pair.backup->Failover(false);
  CHECK(refused.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("the primary of guest vm runs it without a backup since", refused.message().c_str());
  STRCMP_CONTAINS("end it there first, then say --force", refused.message().c_str());
  HAVEN_CHECK_OK(pair.backup->Failover(true));
  CHECK_EQUAL(0, Record().primary_alone_s);  // it is this copy that has gone on
}

TEST(Generations, ThatThePrimaryRunsItAloneOutlivesHavend) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  CHECK(RuleOnStart(FirstOf(1), Ask(FirstOf(1), wire::kIdentityStarting)) == Ruling::kGo);
  const uint64_t since = Record().primary_alone_s;
  CHECK(since != 0);
  HavendStartsAgain();
  CHECK_EQUAL(since, Record().primary_alone_s);
  const Status refused = pair.backup->FailoverCold(false);
  CHECK(refused.code() == StatusCode::kRefused);
  STRCMP_CONTAINS(("runs it without a backup since " + DescribeTime(since)).c_str(), refused.message().c_str());
  STRCMP_CONTAINS("runs it without a backup since", pair.backup->DescribeColdStart().value().c_str());
  CHECK_EQUAL(0, pair.activator.boots());
  HAVEN_CHECK_OK(pair.backup->FailoverCold(true));
}

TEST(Generations, ANewCopyEndsTheTimeThatThePrimaryIsAlone) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  Ask(FirstOf(1), wire::kIdentityStarting);
  CHECK(pair.backup->Failover(false).code() == StatusCode::kRefused);
  LosePrimary(*Committed(1));
  CHECK_EQUAL(0, Record().primary_alone_s);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
}

TEST(Generations, APrimaryIsNotLetGoOnAloneWhenThatCannotBeNoted) {
  pair.StartBackup();
  LosePrimary(*Committed(1));
  // A folder where the new record would be made.
  const std::string in_the_way = pair.backup_options.state_dir + "/generation.new";
  std::filesystem::create_directories(in_the_way + "/x");
  wire::Identity starting = FirstOf(1);
  starting.flags |= wire::kIdentityStarting;
  auto answer = AskBackup({"vm", "127.0.0.1", port(), milliseconds(20000)}, starting);
  CHECK_FALSE(answer.ok());
  STRCMP_CONTAINS("cannot note that the primary goes on alone", answer.status().message().c_str());
  std::filesystem::remove_all(in_the_way);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
}

TEST(Generations, APrimaryThatGoesOnWhereNoCopyIsLeavesNoRecord) {
  pair.StartBackup();
  Ask(FirstOf(1), wire::kIdentityStarting);
  CHECK_FALSE(std::filesystem::exists(pair.backup_options.state_dir + "/generation"));
}

// --- cold ------------------------------------------------------------------------------

TEST(Generations, AGuestWhoseCheckpointIsGoneBootsFromItsReplicas) {
  pair.StartBackup();
  LosePrimary(*Committed(2));
  CHECK(pair.backup->FailoverCold(false).code() == StatusCode::kRefused);  // a checkpoint loses less
  HavendStartsAgain();
  CHECK(pair.backup->Failover(true).code() == StatusCode::kRefused);
  STRCMP_CONTAINS("haven failover --cold vm", pair.backup->Failover(true).message().c_str());
  auto loses = pair.backup->DescribeColdStart();
  HAVEN_CHECK_OK(loses.status());
  STRCMP_CONTAINS("epoch 2", loses.value().c_str());
  Lineage at_start;
  pair.activator.on_start = [&] { at_start = Record().lineage; };
  HAVEN_CHECK_OK(pair.backup->FailoverCold(false));
  CHECK_EQUAL(1, pair.activator.boots());
  CHECK(at_start.current().origin == Origin::kCold);
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
  pair.activator.PowerOff();
  STRCMP_CONTAINS("is newer", RefusalOf(NextLife()).c_str());
}

TEST(Generations, AGuestWhosePrimaryEndedItByItselfIsBootedOnlyByForce) {
  pair.StartBackup();
  auto session = Committed(1);
  HAVEN_CHECK_OK(
      session->control.link.Send(wire::Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{wire::Goodbye::kUnprotect})));
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  STRCMP_CONTAINS("as new as this one or newer", pair.backup->FailoverCold(false).message().c_str());
  STRCMP_CONTAINS("may be newer", pair.backup->DescribeColdStart().value().c_str());
  HAVEN_CHECK_OK(pair.backup->FailoverCold(true));
}

TEST(Generations, AnOldPrimarysDisksAreNoReplicasToBootFrom) {
  pair.StartBackup();
  blkrep::GuestRecord record;
  record.guest = "vm";
  record.role = wire::Role::kPrimary;
  record.lineage = FirstOf(1).lineage;
  record.backup_host = "10.0.0.2";
  HAVEN_CHECK_OK(blkrep::SaveGuestRecord(pair.backup_options.state_dir, record));
  STRCMP_CONTAINS("start it as ever", pair.backup->FailoverCold(true).message().c_str());
  CHECK_EQUAL(0, pair.activator.boots());
}

TEST(Generations, NothingIsBootedFromAPartOfACopyOrAgainstTheArbiter) {
  pair.StartBackup();
  STRCMP_CONTAINS("no copy of guest vm", pair.backup->FailoverCold(true).message().c_str());
  {
    HandMadeSession half(port());
    CHECK(half.SendLayout().header.type == wire::Type::kLayoutReply);
    half.Close();
  }
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  STRCMP_CONTAINS("a part of a copy", pair.backup->FailoverCold(true).message().c_str());
  CHECK_EQUAL(0, pair.activator.boots());
  pair.EndBackup();
  pair.backup_options.arbiter = pair.Arbiter("exit 1");
  pair.StartBackup();
  LosePrimary(*Committed(1));
  HavendStartsAgain();
  STRCMP_CONTAINS("the arbiter decided for the primary", pair.backup->FailoverCold(false).message().c_str());
  CHECK_EQUAL(0, pair.activator.boots());
}
