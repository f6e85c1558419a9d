// SPDX-License-Identifier: GPL-2.0-or-later
//
// The backup's side against primaries made by hand: silence, wrong order,
// hostile octets, promotion.

#include <sys/socket.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "core/random_token.h"
#include "os/files.h"
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;
using haven::test::FromHex;

/// The calling thread's files, for as long as it lives: a folder cannot be synced.
struct NoFolderSync : os::Files {
  NoFolderSync() { SetHere(this); }
  ~NoFolderSync() override { SetHere(nullptr); }
  int Sync(int fd) override {
    struct stat st;
    if (works || fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode)) return os::Files::Sync(fd);
    errno = EIO;
    return -1;
  }
  bool works = false;
};

TEST_GROUP(BackupGuest) {
  Pair pair;

  void setup() override { pair.UseFakeClock(); }
  std::string port() { return pair.listener.port(); }

  /// A primary that has committed `epochs` epochs.
  std::unique_ptr<HandMadeSession> Committed(Epoch epochs) {
    auto session = std::make_unique<HandMadeSession>(port());
    CHECK(session->SendLayout().header.type == wire::Type::kLayoutReply);
    for (Epoch epoch = 1; epoch <= epochs; epoch++) {
      session->SendEpoch(epoch);
      Record committed = session->control.Next();
      CHECK(committed.header.type == wire::Type::kCommitted);
      CHECK_EQUAL(epoch, committed.header.epoch);
    }
    CHECK(pair.BackupReaches(BackupState::kProtecting));
    return session;
  }
  /// Of 4 KiB.
  static void SendWrite(HandMadeSession & session, Epoch epoch) {
    const Bytes data(4096, 'x'), head = wire::Encode(wire::DiskRequest{1, 0, 0, 0, data.size()});
    const ByteSpan parts[] = {head, data};
    HAVEN_CHECK_OK(session.disk->link.Send(wire::Type::kDiskWrite, epoch, parts));
  }
  static void Write(HandMadeSession & session, Epoch epoch, int count) {
    for (int i = 0; i < count; i++) {
      SendWrite(session, epoch);
      CHECK(session.disk->Next().header.type == wire::Type::kDiskAck);
    }
  }
  /// A backup that may promote itself, if its arbiter lets it, has lost its primary.
  std::unique_ptr<HandMadeSession> LosePrimary(const std::string& arbiter) {
    pair.backup_options.auto_promote = true;
    pair.backup_options.arbiter = arbiter;
    pair.StartBackup();
    auto session = Committed(1);
    session->Close();
    return session;
  }
  /// Where the record is written first: a folder of that name is in the way.
  std::string InTheWay() { return pair.backup_options.state_dir + "/generation.new"; }
  /// A backup that may promote itself has lost its primary, and cannot write its record.
  std::unique_ptr<HandMadeSession> LosePrimaryWithoutARecord() {
    pair.backup_options.auto_promote = true;
    pair.StartBackup();
    auto session = Committed(1);
    CHECK_EQUAL(0, mkdir(InTheWay().c_str(), 0700));
    session->Close();
    return session;
  }
  /// A backup that may promote itself has lost its primary, and stood still meanwhile.
  std::unique_ptr<HandMadeSession> LostAfterAStandStill() {
    pair.backup_options.deadline = milliseconds(1000);
    pair.backup_options.auto_promote = true;
    pair.StartBackup();
    auto session = Committed(1);
    CHECK(pair.clock.IsAwaited(milliseconds(1000)));
    pair.clock.Pass(milliseconds(60000));
    return session;
  }
  void CheckListens() {
    CHECK(pair.clock.IsAwaited(milliseconds(3000)));
    CHECK(pair.backup->Query().state == BackupState::kPrimaryLost);
    STRCMP_CONTAINS("this host stood still: the guest is started here unless its primary comes back within 3000 ms",
                    pair.backup->Query().message.c_str());
    CHECK_EQUAL(0, pair.activator.activations());
  }
  void CheckMessage(const char* expected) { STRCMP_EQUAL(expected, pair.backup->Query().message.c_str()); }
};

// --- connections ---------------------------------------------------------------

TEST(BackupGuest, WaitsForAPrimary) {
  pair.StartBackup();
  CHECK(pair.backup->Query().state == BackupState::kWaiting);
  STRCMP_EQUAL("", pair.backup->Query().primary.c_str());
}

TEST(BackupGuest, SendsHeartbeatsAsOftenAsAPrimaryWithAShorterDeadlineNeedsThem) {
  pair.backup_options.deadline = milliseconds(60000);
  pair.StartBackup();
  HandMade control(port(), wire::Connection::kControl, {}, "vm", 400);
  control.Token();
  Record record;
  for (int i = 0; i < 3; i++) {
    HAVEN_CHECK_OK(control.link.Receive(record, milliseconds(20000)));
    CHECK(record.header.type == wire::Type::kHeartbeat);
    CHECK(pair.WaitsOut(milliseconds(100)));
  }
}

TEST(BackupGuest, RefusesASecondControlConnectionAsBusy) {
  pair.StartBackup();
  auto session = Committed(1);
  HandMade second(port(), wire::Connection::kControl);
  STRCMP_EQUAL("6 guest vm has a session or a promotion under way", second.Error().c_str());
  session->SendEpoch(2);  // the first one is not disturbed
  CHECK_EQUAL(2, session->control.Next().header.epoch);
}

TEST(BackupGuest, RefusesDiskAndMemoryConnectionsWithAWrongToken) {
  pair.StartBackup();
  HandMade control(port(), wire::Connection::kControl);
  wire::Token token = control.Token();
  CHECK(token != wire::Token{});
  token[3] ^= 1;
  for (auto kind : {wire::Connection::kDisk, wire::Connection::kMemory}) {
    HandMade other(port(), kind, token);
    STRCMP_EQUAL("1 no such session", other.Error().c_str());
    CHECK(pair.WaitsOut(milliseconds(500)));  // so long it may read why
    CHECK(other.Ended());
  }
}

TEST(BackupGuest, RefusesADiskConnectionThatIsThereAlready) {
  pair.StartBackup();
  auto session = Committed(1);
  HandMade again(port(), wire::Connection::kDisk, session->token);
  STRCMP_EQUAL("1 this connection of the session exists already", again.Error().c_str());
}

TEST(BackupGuest, RefusesVersionsThatItDoesNotSpeak) {
  pair.StartBackup();
  Link link(ConnectTo(port()));
  wire::Hello hello;
  hello.version_min = hello.version_max = 3;
  hello.guest = "vm";
  HAVEN_CHECK_OK(link.Send(wire::Type::kHello, 0, wire::Encode(hello)));
  Record record;
  HAVEN_CHECK_OK(link.Receive(record, milliseconds(20000)));
  auto error = wire::DecodeError(record.body);
  HAVEN_CHECK_OK(error.status());
  CHECK(error.value().code == wire::Error::kVersion);
  STRCMP_EQUAL("this havend speaks protocol versions 2 to 2", error.value().message.c_str());
}

// --- the layout -------------------------------------------------------------------

TEST(BackupGuest, AsksForEverythingAtFirstAndForChangesAfterwards) {
  pair.StartBackup();
  auto session = Committed(1);
  wire::Token instance = session->layout.instance;
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));

  HandMadeSession again(port());
  auto reply = wire::DecodeLayoutReply(again.SendLayout().body);
  HAVEN_CHECK_OK(reply.status());
  CHECK(reply.value().disks == std::vector{wire::LayoutReply::Copy::kChanged});
  again.Close();
  CHECK(pair.BackupReaches(BackupState::kWaiting));

  HandMadeSession other(port());
  other.layout.instance[0] = static_cast<uint8_t>(instance[0] + 1);
  reply = wire::DecodeLayoutReply(other.SendLayout().body);
  HAVEN_CHECK_OK(reply.status());
  CHECK(reply.value().disks == std::vector{wire::LayoutReply::Copy::kAll});
}

TEST(BackupGuest, RefusesALayoutWithADiskThatItHasNoReplicaFor) {
  pair.backup_options.disks.erase("vda");
  pair.StartBackup();
  HandMadeSession session(port());
  session.Identify();
  session.layout.regions = {{"pc.ram", 4096}};
  session.layout.disks = {{"vda", 8192}};
  HAVEN_CHECK_OK(session.control.link.Send(wire::Type::kLayout, 0, wire::Encode(session.layout)));
  STRCMP_EQUAL("4 the backup's configuration names no replica for disk vda", session.control.Error().c_str());
  CHECK(pair.WaitsOut(milliseconds(500)));
  CHECK(session.disk->Ended());
  CHECK(session.memory->Ended());
}

TEST(BackupGuest, RefusesAGuestThatIsLargerThanItsLimit) {
  pair.backup_options.memory_limit_bytes = 3 * kPageBytes;
  pair.StartBackup();
  HandMadeSession session(port());
  Record reply = session.SendLayout();
  CHECK(reply.header.type == wire::Type::kError);
  auto error = wire::DecodeError(reply.body);
  CHECK(error.value().code == wire::Error::kLayout);
}

TEST(BackupGuest, KeepsTheJournalBelowItsLimitUnderALoadThatNeverPauses) {
  pair.backup_options.journal_limit_bytes = 1 << 20;
  pair.StartBackup();
  auto session = Committed(1);
  for (Epoch epoch = 2; epoch < 40; epoch++) {
    Write(*session, epoch, 30);
    session->SendEpoch(epoch, 30);
    CHECK(session->control.Next().header.type == wire::Type::kCommitted);
    CHECK(pair.backup->Query().journal_bytes <= 1 << 20);
  }
  CHECK_EQUAL(1 << 20, pair.backup->Query().journal_limit_bytes);
}

TEST(BackupGuest, EndsTheSessionAtTheLimitOfItsJournalAndTakesTheNextWithAnEmptyOne) {
  pair.backup_options.journal_limit_bytes = 1 << 20;
  pair.StartBackup();
  auto session = Committed(1);
  Write(*session, 2, (1 << 20) / (4096 + 56));
  SendWrite(*session, 2);
  STRCMP_EQUAL(
      "7 the backup's journal has reached its limit of 1 MiB (journal-limit-mb): its replicas do not keep up with what "
      "the guest writes",
      session->control.Error().c_str());
  const BackupStatus full = pair.backup->Query();
  CHECK(full.journal_bytes > (1 << 20) - 8192 && full.journal_bytes <= 1 << 20);
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  CHECK(Eventually([&] { return pair.backup->Query().journal_bytes < 8192; }));
}

TEST(BackupGuest, SaysWhyWhenNothingCanWaitForTheGuest) {
  pair.activator.prepare_fails = Status(StatusCode::kEnvironment, "no such program");
  pair.StartBackup();
  HandMadeSession session(port());
  Record reply = session.SendLayout();
  auto error = wire::DecodeError(reply.body);
  HAVEN_CHECK_OK(error.status());
  STRCMP_EQUAL("no such program", error.value().message.c_str());
  CHECK(error.value().code == wire::Error::kEnvironment);
  session.Close();
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  CheckMessage("the session ended before its first checkpoint: no such program");
}

// --- the end of the primary ----------------------------------------------------------

TEST(BackupGuest, TakesASilentPrimaryForLostAndWaitsForAPerson) {
  pair.backup_options.deadline = milliseconds(1000);
  pair.StartBackup();
  auto session = Committed(1);
  CHECK(pair.WaitsOut(milliseconds(1000)));
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  CheckMessage("the peer did not answer in time");
  CHECK_EQUAL(0, pair.activator.activations());
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
  CHECK_EQUAL(1, pair.activator.activations());
  HAVEN_CHECK_FAILS(StatusCode::kRefused, "guest vm runs here already", pair.backup->Failover(false));
}

TEST(BackupGuest, DoesNotTakeAPrimaryForLostThatSaysSomethingInEachDeadline) {
  pair.backup_options.deadline = milliseconds(1000);
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  auto session = Committed(1);
  for (int i = 0; i < 20; i++) {
    CHECK(pair.clock.IsAwaited(milliseconds(1000)));
    pair.clock.Pass(milliseconds(999));
    HAVEN_CHECK_OK(session->control.link.Send(wire::Type::kHeartbeat, 0, wire::Encode(wire::Heartbeat{})));
  }
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  CHECK(pair.backup->Query().state == BackupState::kProtecting);
  session->SendEpoch(2);
  CHECK_EQUAL(2, session->control.Next().header.epoch);
}

TEST(BackupGuest, SaysThatAPrimaryIsStuckAndThatItMovesAgain) {
  pair.backup_options.deadline = milliseconds(1000);
  pair.StartBackup();
  auto session = Committed(1);
  const auto says = [&](uint32_t stalled_ms, wire::GuestRun run, BackupState state, const std::string& message) {
    HAVEN_CHECK_OK(session->control.link.Send(wire::Type::kLiveness, 0, wire::Encode(wire::Liveness{stalled_ms, run})));
    CHECK(Eventually([&] {
      const auto now = pair.backup->Query();
      return now.state == state && now.message.find(message) != std::string::npos;
    }));
  };
  says(0, wire::GuestRun::kIoError, BackupState::kProtecting, "stopped on an error of its disk");
  says(4999, wire::GuestRun::kPaused, BackupState::kProtecting, "paused by an administrator");
  says(5000, wire::GuestRun::kRunning, BackupState::kStuck, "no progress for 5 s");
  says(0, wire::GuestRun::kRunning, BackupState::kProtecting, "");
  CHECK_EQUAL(0, pair.backup->Query().message.size());
  session->SendEpoch(2);
  CHECK_EQUAL(2, session->control.Next().header.epoch);
}

TEST(BackupGuest, TakesOverFromAPrimaryThatIsStuckIfItMayAndTheArbiterLetsIt) {
  pair.backup_options.deadline = milliseconds(1000);
  pair.backup_options.auto_promote = pair.backup_options.take_over_stuck = true;
  pair.backup_options.arbiter = pair.Arbiter("exit 0");
  pair.StartBackup();
  auto session = Committed(1);
  const wire::Liveness nearly{4999, wire::GuestRun::kRunning}, stuck{5000, wire::GuestRun::kRunning};
  HAVEN_CHECK_OK(session->control.link.Send(wire::Type::kLiveness, 0, wire::Encode(nearly)));
  session->SendEpoch(2);
  CHECK_EQUAL(2, session->control.Next().header.epoch);
  HAVEN_CHECK_OK(session->control.link.Send(wire::Type::kLiveness, 0, wire::Encode(stuck)));
  CHECK(pair.BackupReaches(BackupState::kPromoted));
}

TEST(BackupGuest, PromotesItselfAfterADeadlineOfSilenceAndNotBefore) {
  pair.backup_options.deadline = milliseconds(1000);
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  auto session = Committed(1);
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  pair.clock.Pass(milliseconds(999));
  CHECK(pair.clock.IsAwaited(milliseconds(1)));
  CHECK_EQUAL(0, pair.activator.activations());
  CHECK(pair.backup->Query().state == BackupState::kProtecting);
  pair.clock.Pass(milliseconds(1));
  CHECK(pair.BackupReaches(BackupState::kPromoted));
}

TEST(BackupGuest, ThatStoodStillItselfListensForThePrimaryBeforeItPromotes) {
  auto session = LostAfterAStandStill();
  CheckListens();
  // In one step it would have stood still again.
  CHECK(pair.AsTimePasses([&] { return pair.backup->Query().state == BackupState::kPromoted; }));
}

TEST(BackupGuest, ThatStoodStillStandsDownWhenThePrimaryAsks) {
  auto session = LostAfterAStandStill();
  CheckListens();
  wire::Identity asks = FirstOf(1);
  asks.flags |= wire::kIdentityStarting;
  auto answer = AskBackup({"vm", "127.0.0.1", port(), milliseconds(20000)}, asks);
  HAVEN_CHECK_OK(answer.status());
  CHECK(RuleOnStart(asks, answer.value()) == Ruling::kGo);
  CheckMessage("not promoted: the primary has asked, and goes on alone");
  pair.clock.Pass(milliseconds(60000));
  STRCMP_CONTAINS("runs it without a backup since", pair.backup->Failover(false).message().c_str());
  pair.EndBackup();  // whatever waits has ended
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, ThatStoodStillTakesThePrimaryAgain) {
  auto session = LostAfterAStandStill();
  CheckListens();
  HandMadeSession again(port());
  CHECK(again.SendLayout().header.type == wire::Type::kLayoutReply);
  again.SendEpoch(1);
  CHECK(again.control.Next().header.type == wire::Type::kCommitted);
  CHECK(pair.BackupReaches(BackupState::kProtecting));
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, ThatStoodStillPromotesByOrderOfAPerson) {
  auto session = LostAfterAStandStill();
  CheckListens();
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(BackupGuest, ThatStoodStillPromotesNothingWhenItEnds) {
  auto session = LostAfterAStandStill();
  CheckListens();
  pair.EndBackup();
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, ThatStoodStillAsksItsArbiterAtOnce) {
  pair.backup_options.arbiter = pair.Arbiter("exit 0");
  auto session = LostAfterAStandStill();
  CHECK(pair.BackupReaches(BackupState::kPromoted));
}

// What is read after a gap may have been in the socket before it.
TEST(BackupGuest, TrustsItsEarsTwoDeadlinesAfterItStoodStill) {
  for (const bool late : {false, true}) {
    pair.backup_options.deadline = milliseconds(1000);
    pair.backup_options.auto_promote = true;
    pair.activator.on_prepare = [&] { pair.clock.Pass(milliseconds(60000)); };
    pair.StartBackup();
    auto session = Committed(1);
    for (int i = 0; i < (late ? 5 : 2); i++) {
      CHECK(pair.clock.IsAwaited(milliseconds(1000)));
      pair.clock.Pass(milliseconds(900));
      HAVEN_CHECK_OK(session->control.link.Send(wire::Type::kHeartbeat, 0, wire::Encode(wire::Heartbeat{})));
    }
    CHECK(pair.clock.IsAwaited(milliseconds(1000)));
    session->Close();
    if (late) {
      CHECK(pair.BackupReaches(BackupState::kPromoted));
    } else {
      CheckListens();
    }
    pair.EndBackup();
  }
}

TEST(BackupGuest, PromotesItselfWhenThatIsAllowed) {
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  auto session = Committed(3);
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPromoted));
  CHECK_EQUAL(1, pair.activator.activations());
  CHECK_EQUAL(3, pair.backup->Query().promoted_epoch);
}

TEST(BackupGuest, PromotesItselfWhenTheArbiterDecidesForIt) {
  auto session = LosePrimary(pair.Arbiter("exit 0"));
  CHECK(pair.BackupReaches(BackupState::kPromoted));
  STRCMP_EQUAL(("backup " + Hex(session->token) + "\n").c_str(), pair.Asked().c_str());
}

TEST(BackupGuest, DoesNotPromoteWhenTheArbiterDecidesForThePrimary) {
  auto session = LosePrimary(pair.Arbiter("exit 1"));
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  CheckMessage("not promoted: the arbiter decided for the primary: the arbiter exited with status 1");
  HAVEN_CHECK_FAILS(StatusCode::kRefused,
                    "not promoted: the arbiter decided for the primary: the arbiter exited with status 1",
                    pair.backup->Failover(false));
  CHECK_EQUAL(0, pair.activator.activations());
  HAVEN_CHECK_OK(pair.backup->Failover(true));
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(BackupGuest, AsksAnArbiterThatDoesNotAnswerAgainEverySecond) {
  auto session = LosePrimary(pair.folder.File("arbiter"));  // not there yet
  for (int i = 0; i < 3; i++) CHECK(pair.WaitsOut(milliseconds(1000)));
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  CHECK(pair.backup->Query().state == BackupState::kPromoting);
  CHECK_EQUAL(0, pair.activator.activations());
  pair.Arbiter("exit 0");
  pair.clock.Pass(milliseconds(1000));
  CHECK(pair.BackupReaches(BackupState::kPromoted));
}

TEST(BackupGuest, ThatWaitsForItsArbiterPromotesByOrderOfAPerson) {
  auto session = LosePrimary("/nonexistent/arbiter");
  CHECK(Eventually([&] { return pair.backup->Query().message.starts_with("waiting for the arbiter: "); }));
  CHECK(pair.backup->Query().state == BackupState::kPromoting);
  Status asked = pair.backup->Failover(false);
  CHECK(asked.code() == StatusCode::kEnvironment);
  CHECK_EQUAL(0, pair.activator.activations());
  HAVEN_CHECK_OK(pair.backup->Failover(true));
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
}

TEST(BackupGuest, ThatWaitsForAnArbiterThatHangsMakesWayForAPerson) {
  auto session = LosePrimary(pair.ArbiterThatHangsFirst());
  CHECK(pair.ArbiterHangs());
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(BackupGuest, AnswersWhileWhatASessionHasCommittedIsBroughtToTheDisks) {
  pair.StartBackup();
  auto session = Committed(1);
  CHECK_EQUAL(0, mkfifo(InTheWay().c_str(), 0600));  // whoever writes it waits for a reader
  session->Close();
  std::atomic<bool> answered{false};
  std::thread status(
      [&] { answered = Eventually([&] { return pair.backup->Query().message.ends_with("brought to the disks"); }); });
  const bool in_time = Eventually([&] { return answered.load(); });
  const int reader = open(InTheWay().c_str(), O_RDONLY | O_CLOEXEC);
  status.join();
  CHECK_TRUE(in_time);
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  close(reader);
}

TEST(BackupGuest, PromotesItselfAfterAPersonsOrderHasFailed) {
  auto session = LosePrimary(pair.Arbiter("exit 2"));
  CHECK(Eventually([&] { return pair.backup->Query().message.starts_with("waiting for the arbiter: "); }));
  CHECK(pair.backup->Failover(false).code() == StatusCode::kEnvironment);
  CHECK_EQUAL(0, pair.activator.activations());
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  pair.Arbiter("exit 0");
  CHECK(pair.AsTimePasses([&] { return pair.backup->Query().state == BackupState::kPromoted; }));
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(BackupGuest, PromotesItselfOnceItsRecordCanBeWritten) {
  auto session = LosePrimaryWithoutARecord();
  for (int i = 0; i < 2; i++) CHECK(pair.WaitsOut(milliseconds(1000)));
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  CHECK(pair.backup->Query().state == BackupState::kPrimaryLost);
  STRCMP_CONTAINS("not promoted: nothing would say that the copy here is newer", pair.backup->Query().message.c_str());
  CHECK_EQUAL(0, rmdir(InTheWay().c_str()));
  CHECK(pair.AsTimePasses([&] { return pair.backup->Query().state == BackupState::kPromoted; }));
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(BackupGuest, ThatCannotWriteItsRecordTakesThePrimaryAgain) {
  auto session = LosePrimaryWithoutARecord();
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  CHECK_EQUAL(0, rmdir(InTheWay().c_str()));
  auto again = Committed(1);
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, AnswersThePersonWhenThePrimaryDiesDuringAHandOver) {
  pair.backup_options.auto_promote = true;
  pair.backup_options.arbiter = pair.ArbiterThatHangsFirst();
  pair.StartBackup();
  auto session = Committed(1);
  Status answer;
  std::thread person([&] { answer = pair.backup->HandOver(); });
  CHECK(session->control.Next().header.type == wire::Type::kHandOver);
  session->Close();
  person.join();  // whatever the promotion by itself waits for
  HAVEN_CHECK_FAILS(StatusCode::kRefused, "guest vm was not handed over: the peer closed the connection", answer);
  CHECK(pair.ArbiterHangs());
}

TEST(BackupGuest, LeavesTheRecordAsItWasWhenItCannotBePutOnStableStorage) {
  pair.StartBackup();
  auto session = Committed(1);
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  const std::string generation = pair.backup->Query().generation;
  NoFolderSync files;
  CHECK(pair.backup->Failover(false).code() == StatusCode::kEnvironment);
  STRCMP_EQUAL(generation.c_str(), pair.backup->Query().generation.c_str());
  files.works = true;
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK(generation != pair.backup->Query().generation);
}

TEST(BackupGuest, AnswersGoodbyeAndDoesNotPromote) {
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  auto session = Committed(1);
  HAVEN_CHECK_OK(
      session->control.link.Send(wire::Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{wire::Goodbye::kUnprotect})));
  Record answer = session->control.Next();
  CHECK(answer.header.type == wire::Type::kGoodbye);
  CHECK(session->control.Ended());
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  CheckMessage("the primary ended protection");
  CHECK_EQUAL(0, pair.activator.activations());
  HAVEN_CHECK_FAILS(StatusCode::kRefused, "guest vm is not protected: the primary ended protection",
                    pair.backup->Failover(true));
}

TEST(BackupGuest, DoesNotStartAnOldCheckpointWhenAPrimaryCameBackAndWentBeforeItsLayout) {
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  auto session = Committed(1);
  HAVEN_CHECK_OK(
      session->control.link.Send(wire::Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{wire::Goodbye::kUnprotect})));
  session->control.Next();
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  CHECK(session->control.Ended());
  for (int i = 0; i < 3; i++) {
    std::string greeting;
    CHECK(Eventually([&] {  // the session before may still be ending
      HandMade control(port(), wire::Connection::kControl);
      return control.Next().header.type == wire::Type::kHelloReply;
    }));
  }
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  CHECK(pair.backup->Query().state == BackupState::kWaiting);
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, KeepsACheckpointThroughAVisitThatBringsNothing) {
  pair.StartBackup();
  Committed(1)->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  {
    HandMade visitor(port(), wire::Connection::kControl);
    visitor.Token();
  }
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  CHECK(pair.backup->Query().state == BackupState::kPrimaryLost);
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  CHECK_EQUAL(1, pair.activator.activations());
}

TEST(BackupGuest, DoesNotPromoteItselfWhenThePrimarySaysWhyItEnds) {
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  auto session = Committed(1);
  SendError(session->control.link, wire::Error::kEnvironment, "no space left");
  STRCMP_EQUAL("1 the primary says: no space left", session->control.Error().c_str());
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  CheckMessage("the primary says: no space left");
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, HasNothingToPromoteBeforeTheFirstCommit) {
  pair.backup_options.auto_promote = true;
  pair.StartBackup();
  HAVEN_CHECK_FAILS(StatusCode::kRefused,
                    "there is no complete checkpoint of guest vm here; haven failover --cold vm boots it from its "
                    "replicas, if they are whole",
                    pair.backup->Failover(true));
  {
    HandMadeSession session(port());
    session.SendLayout();
    HAVEN_CHECK_FAILS(StatusCode::kRefused,
                      "there is no complete checkpoint of guest vm here; haven failover --cold vm boots it from its "
                      "replicas, if they are whole",
                      pair.backup->Failover(true));
  }
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(BackupGuest, IsNotPromotedByMistakeWhileThePrimaryAnswers) {
  pair.StartBackup();
  auto session = Committed(1);
  HAVEN_CHECK_FAILS(StatusCode::kRefused,
                    "the primary of guest vm still answers; end it or its protection first, or say --force",
                    pair.backup->Failover(false));
  session->SendEpoch(2);
  CHECK_EQUAL(2, session->control.Next().header.epoch);
}

TEST(BackupGuest, AsksForEverythingAgainAfterAFirstCopyThatWasNotCommitted) {
  pair.StartBackup();
  const auto asked_for = [&](bool commit) {
    HandMadeSession session(pair.listener.port());
    auto reply = wire::DecodeLayoutReply(session.SendLayout().body);
    HAVEN_CHECK_OK(reply.status());
    if (commit) {
      session.SendEpoch(1);
      CHECK(session.control.Next().header.type == wire::Type::kCommitted);
      CHECK(pair.BackupReaches(BackupState::kProtecting));
    }
    session.Close();
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
    return reply.value().disks.front();
  };
  CHECK(asked_for(false) == wire::LayoutReply::Copy::kAll);
  // Its answer may never have arrived: that primary knows of nothing to send.
  CHECK(asked_for(true) == wire::LayoutReply::Copy::kAll);
  CHECK(asked_for(false) == wire::LayoutReply::Copy::kChanged);
  CHECK(asked_for(false) == wire::LayoutReply::Copy::kAll);
}

TEST(BackupGuest, TellsThePrimaryThatItHasLostBeforeAnyConnectionEnds) {
  pair.StartBackup();
  auto session = Committed(1);
  std::thread person([&] { HAVEN_CHECK_OK(pair.backup->Failover(true)); });
  STRCMP_EQUAL("5 the backup was promoted by order of an administrator", session->control.Error().c_str());
  session->Close();
  person.join();
  CHECK(pair.backup->Query().state == BackupState::kPromoted);
  HandMade back(port(), wire::Connection::kControl);
  STRCMP_EQUAL("5 guest vm was promoted and runs on the backup", back.Error().c_str());
}

TEST(BackupGuest, KnowsAGuestThatAnEarlierProcessPromoted) {
  HAVEN_CHECK_OK(pair.activator.Boot());
  pair.StartBackup();
  CHECK(pair.backup->Query().state == BackupState::kWaiting);
  CHECK(pair.backup->QueryWithGuest().state == BackupState::kPromoted);
  HandMade back(port(), wire::Connection::kControl);
  STRCMP_EQUAL("5 guest vm was promoted and runs on the backup", back.Error().c_str());
  pair.activator.PowerOff();
  CHECK(pair.backup->QueryWithGuest().state == BackupState::kWaiting);
}

TEST(BackupGuest, TakesAPrimaryAgainOnceAPersonHasThrownThePromotedCopyAway) {
  pair.StartBackup();
  auto session = Committed(1);
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  HAVEN_CHECK_OK(pair.backup->Failover(false));
  HAVEN_CHECK_FAILS(StatusCode::kRefused, "guest vm runs here: shut it down first", pair.backup->Discard());
  pair.activator.PowerOff();
  HandMadeSession refused(port());
  CHECK(refused.SendLayout().header.type == wire::Type::kError);
  refused.Close();
  CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  HAVEN_CHECK_OK(pair.backup->Discard());
  HandMadeSession next(port());
  auto reply = wire::DecodeLayoutReply(next.SendLayout().body);
  HAVEN_CHECK_OK(reply.status());
  CHECK(reply.value().disks == std::vector{wire::LayoutReply::Copy::kAll});
}

TEST(BackupGuest, SaysThatTheGuestCouldNotBeStartedAndCopiesAllAfterwards) {
  pair.activator.activate_fails = Status(StatusCode::kEnvironment, "it crashed");
  pair.StartBackup();
  auto session = Committed(1);
  session->Close();
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  HAVEN_CHECK_FAILS(StatusCode::kEnvironment, "it crashed", pair.backup->Failover(false));
  CHECK(pair.backup->Query().state == BackupState::kFailed);
  CheckMessage("the guest could not be started: it crashed");
  HandMadeSession next(port());
  auto reply = wire::DecodeLayoutReply(next.SendLayout().body);
  CHECK(reply.value().disks == std::vector{wire::LayoutReply::Copy::kAll});
}

// --- what a primary may not send -------------------------------------------------------

TEST(BackupGuest, EndsTheSessionWithTheReasonWhenARecordIsOutOfPlace) {
  pair.StartBackup();
  struct Case {
    int connection;
    wire::Type type;
    Epoch epoch;
    const char* body;
    const char* error;
  };
  const Case cases[] = {
      {1, wire::Type::kCommitted, 1, "", "1 the primary may not send COMMITTED on the control connection"},
      {1, wire::Type::kDiskAck, 0, "0100000000000000", "1 the primary may not send DISK_ACK on the control connection"},
      {1, wire::Type::kHeartbeat, 0, "00", "1 HEARTBEAT record: too short"},
      {1, wire::Type::kGoodbye, 0, "0900", "1 GOODBYE record: unknown reason"},
      {1, wire::Type::kLayout, 0, "", "1 a second LAYOUT in one session"},
      {1, wire::Type::kError, 0, "0100 0000 0200 6869", "1 the primary says: hi"},
      {2, wire::Type::kPages, 1, "", "1 the primary may not send PAGES on the disk connection"},
      {2, wire::Type::kDiskFlush, 1, "00", "1 DISK_FLUSH record: too short"},
      {2, wire::Type::kDiskZero, 1, "0100000000000000 01000000 00000000 0000000000000000 0002000000000000",
       "1 DISK_ZERO record: lies outside of the disk"},
      {2, wire::Type::kDiskZero, 1, "0100000000000000 00000000 00000000 0020000000000000 0100000000000000",
       "1 DISK_ZERO record: lies outside of the disk"},
      {2, wire::Type::kDiskZero, 11, "0100000000000000 00000000 00000000 0000000000000000 0002000000000000",
       "1 disk record of epoch 11 after epoch 1"},
      {2, wire::Type::kDiskZero, 0, "0100000000000000 00000000 01000000 0000000000000000 0002000000000000",
       "1 first copy of a disk inside an epoch"},
      {3, wire::Type::kDiskWrite, 1, "", "1 the primary may not send DISK_WRITE on the memory connection"},
      {3, wire::Type::kPages, 3, "00000000 01000000 0000000000000001", "1 memory of epoch 3 came after epoch 1"},
      {3, wire::Type::kPages, 2, "00000000 01000000 0400000000000001",
       "1 PAGES record: page 4 lies outside of region 0"},
      {3, wire::Type::kDeviceState, 0, "0300000000000000 0000000000000000 616263",
       "1 device state outside of an epoch"},
      {3, wire::Type::kEpochEnd, 2, "00", "1 EPOCH_END record: too short"},
      {3, wire::Type::kEpochEnd, 2, "0000000000000000 0000000000000000 0000000000000000 00000000 00000000",
       "1 EPOCH_END of epoch 2 is out of order"},
  };
  for (const Case& c : cases) {
    auto session = Committed(1);
    Link& link = c.connection == 1   ? session->control.link
                 : c.connection == 2 ? session->disk->link
                                     : session->memory->link;
    HAVEN_CHECK_OK(link.Send(c.type, c.epoch, FromHex(c.body)));
    STRCMP_EQUAL(c.error, session->control.Error().c_str());
    session->Close();
    CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
    CHECK_EQUAL(1, pair.backup->Query().epoch);
  }
}

TEST(BackupGuest, CommitsNothingWhenACountOfEpochEndDiffers) {
  pair.StartBackup();
  struct Case {
    wire::EpochEnd end;
    const char* error;
  };
  const Case cases[] = {
      {{2, 0, 3, 2, 0}, "1 EPOCH_END counts 2 pages, 1 came"},
      {{1, 1, 3, 2, 0}, "1 EPOCH_END counts 1 disk records, 0 came"},
      {{1, 0, 4, 2, 0}, "1 the device state is not complete"},
      {{1, 0, 3, 3, 0}, "1 EPOCH_END counts 3 memory records, 2 came"},
  };
  for (const Case& c : cases) {
    auto session = Committed(1);
    auto& memory = session->memory->link;
    HAVEN_CHECK_OK(memory.Send(wire::Type::kPages, 2, FromHex("00000000 01000000 0000000000000001")));
    HAVEN_CHECK_OK(memory.Send(wire::Type::kDeviceState, 2, FromHex("0300000000000000 0000000000000000 787878")));
    HAVEN_CHECK_OK(memory.Send(wire::Type::kEpochEnd, 2, wire::Encode(c.end)));
    STRCMP_EQUAL(c.error, session->control.Error().c_str());
    session->Close();
    CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
    CHECK_EQUAL(1, pair.backup->Query().epoch);
  }
}

TEST(BackupGuest, RefusesDiskAndMemoryRecordsBeforeTheLayout) {
  pair.StartBackup();
  for (bool disk : {true, false}) {
    HandMadeSession session(port());
    if (disk) {
      HAVEN_CHECK_OK(session.disk->link.Send(wire::Type::kDiskFlush, 0, wire::Encode(wire::DiskFlush{1, 0})));
    } else {
      session.SendEpoch(1);
    }
    STRCMP_EQUAL(disk ? "1 disk record before LAYOUT" : "1 memory record before LAYOUT",
                 session.control.Error().c_str());
    session.Close();
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  }
}

TEST(BackupGuest, EndsTheSessionOnOctetsThatAreNoRecordsOnEachConnection) {
  pair.StartBackup();
  const std::string expected = "a record: wrong magic number; is the peer HAVEN?";
  for (auto kind : {wire::Connection::kControl, wire::Connection::kDisk, wire::Connection::kMemory}) {
    std::unique_ptr<HandMade> control;
    wire::Hello hello;
    hello.connection = kind;
    hello.guest = "vm";
    if (kind != wire::Connection::kControl) {
      control = std::make_unique<HandMade>(port(), wire::Connection::kControl);
      hello.token = control->Token();
    }
    int fd = ConnectTo(port());
    Bytes octets = haven::test::RecordOctets(wire::Type::kHello, 0, 0, wire::Encode(hello));
    octets.insert(octets.end(), 4096, 0x80);
    CHECK_EQUAL(static_cast<ssize_t>(octets.size()), send(fd, octets.data(), octets.size(), MSG_NOSIGNAL));
    Link raw(fd);
    if (control) {
      STRCMP_EQUAL(("1 " + expected).c_str(), control->Error().c_str());
      control.reset();
    } else {
      Record record;
      std::string error;
      while (raw.Receive(record, milliseconds(20000)).ok()) {
        if (record.header.type == wire::Type::kError) {
          error = wire::DecodeError(record.body).value().message;
          break;
        }
      }
      STRCMP_EQUAL(expected.c_str(), error.c_str());
      raw.Close();
    }
    CHECK(Eventually([&] { return pair.backup->Query().primary.empty(); }));
  }
}

TEST(BackupGuest, EndsWithAPrimaryConnected) {
  pair.StartBackup();
  auto session = Committed(1);
  std::thread reader([&] {
    STRCMP_EQUAL("7 the backup's havend is shutting down", session->control.Error().c_str());
    session->Close();
  });
  pair.EndBackup();
  reader.join();
}
