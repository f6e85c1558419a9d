// SPDX-License-Identifier: GPL-2.0-or-later
//
// The primary's side: what it does with the guest's output and disk writes
// when its backup goes, comes back, refuses, promotes itself or misbehaves.

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>

#include "core/assert.h"
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;
using haven::test::FromHex;

namespace {

/// A backup that this file plays by hand: accepts a session and says what it
/// is told to say.
class PlayedBackup {
 public:
  PlayedBackup() : listen_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    HAVEN_ASSERT(bind(listen_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0 && listen(listen_, 8) == 0);
    socklen_t size = sizeof(address);
    HAVEN_ASSERT(getsockname(listen_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~PlayedBackup() { StopListening(); }
  std::string port() const { return std::to_string(port_); }

  std::unique_ptr<Link> Accept() {
    pollfd coming{listen_, POLLIN, 0};
    CHECK(poll(&coming, 1, 30000) == 1);  // longer than any working machine needs
    auto link = std::make_unique<Link>(accept(listen_, nullptr, nullptr));
    hello = Expect(*link, wire::Type::kHello);
    return link;
  }
  void Reply(Link& link) {
    wire::HelloReply reply;
    reply.token[0] = 7;
    reply.deadline_ms = 60000;
    reply.features = features;
    Status ignored = link.Send(wire::Type::kHelloReply, 0, wire::Encode(reply));
    (void)ignored;
  }
  void AcceptLinks() {
    for (auto* link : {&control, &disk, &memory}) {
      *link = Accept();
      Reply(**link);
    }
  }
  /// The identities of both, and LAYOUT.
  Record ExpectLayout() {
    Expect(*control, wire::Type::kIdentity);
    (void)control->Send(wire::Type::kIdentity, 0, wire::Encode(wire::Identity{})).ok();
    return Expect(*control, wire::Type::kLayout);
  }
  /// Up to LAYOUT_REPLY, everything to be copied.
  void AcceptSession() {
    AcceptLinks();
    ExpectLayout();
    wire::LayoutReply reply{{wire::LayoutReply::Copy::kAll, wire::LayoutReply::Copy::kAll}};
    Status ignored = control->Send(wire::Type::kLayoutReply, 0, wire::Encode(reply));
    (void)ignored;
  }
  /// Reads until a record of `type` comes. @return empty when the link ends before.
  Record Expect(Link& link, wire::Type type) {
    Record record;
    while (link.Receive(record, milliseconds(20000)).ok()) {
      if (record.header.type == type) return record;
    }
    return {};
  }
  void Beat() {
    Status ignored = control->Send(wire::Type::kHeartbeat, 0, wire::Encode(wire::Heartbeat{}));
    (void)ignored;
  }
  /// Acknowledges disk records, and takes memory, until the links end.
  void Serve(bool acknowledge = true) {
    acks_ = std::thread([this, acknowledge] {
      Record record;
      while (disk->Receive(record).ok()) {
        disk_records++;
        if (!acknowledge && (record.header.epoch > 0)) continue;
        uint64_t request = ByteReader(record.body).U64();
        if (!disk->Send(wire::Type::kDiskAck, 0, wire::Encode(wire::DiskAck{request})).ok()) return;
      }
    });
  }
  /// Its host has died: nobody answers any more.
  void End() {
    StopListening();
    EndLinks();
  }
  void StopListening() {
    if (listen_ >= 0) close(listen_);
    listen_ = -1;
  }
  /// The primary asks, on a connection of its own, whether it may go on alone.
  /// @param before_answer  called when it has asked.
  void AnswerQuestion(
      uint16_t flags = 0, const std::function<void()>& before_answer = [] {}) {
    auto link = Accept();
    CHECK(wire::DecodeHello(hello.body).value().connection == wire::Connection::kQuery);
    Reply(*link);
    auto asked = wire::DecodeIdentity(Expect(*link, wire::Type::kIdentity).body);
    CHECK(asked.ok() && asked.value().Has(wire::kIdentityStarting));
    before_answer();
    wire::Identity mine;
    mine.role = wire::Role::kBackup;
    mine.flags = flags;
    (void)link->Send(wire::Type::kIdentity, 0, wire::Encode(mine)).ok();
  }
  void EndLinks() {
    for (auto* link : {&control, &disk, &memory}) {
      if (*link) (*link)->Close();
    }
    if (acks_.joinable()) acks_.join();
  }

  Record hello;
  uint64_t features = 0;
  std::unique_ptr<Link> control, disk, memory;
  std::atomic<uint64_t> disk_records{0};

 private:
  int listen_;
  uint16_t port_;
  std::thread acks_;
};

}  // namespace

TEST_GROUP(PrimarySession) {
  Pair pair;
  PlayedBackup played;

  void teardown() override { played.End(); }

  void StartTowardsPlayedBackup(milliseconds deadline = std::chrono::hours(1)) {
    pair.UseFakeClock();
    pair.primary_options.connect.port = played.port();
    pair.primary_options.connect.deadline = deadline;
    pair.StartPrimary();
  }
  void StartWithPlayedBackup(milliseconds deadline = std::chrono::hours(1)) {
    StartTowardsPlayedBackup(deadline);
    played.AcceptSession();
  }
  /// One epoch is committed: the primary says that it is protected.
  void CommitFirst(bool acknowledge = true) {
    played.Serve(acknowledge);
    Record end = played.Expect(*played.memory, wire::Type::kEpochEnd);
    CHECK_EQUAL(1, end.header.epoch);
    HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 1, ByteSpan{}));
    CHECK(pair.PrimaryReaches(PrimaryState::kProtected));
  }
  void Protect() {
    pair.UseFakeClock();
    pair.StartBackup();
    pair.StartPrimary();
    CHECK(pair.Protects());
  }
  /// The backup sends heartbeats, often enough for a deadline of a second, while `time` passes.
  void BeatFor(milliseconds time) {
    while (time > milliseconds(0)) {
      milliseconds piece = std::min(time, milliseconds(900));
      time -= piece;
      pair.clock.Pass(piece);
      played.Beat();
      CHECK(pair.clock.IsAwaited(milliseconds(1000)));  // it has come
    }
  }
  std::string Message() { return pair.Query().message; }
  /// The played backup asks for the guest, commits all epochs, and is told that it is its own.
  void HandOver() {
    HAVEN_CHECK_OK(played.control->Send(wire::Type::kHandOver, 0, ByteSpan{}));
    std::thread commits([this] {
      Record record;
      while (played.memory->Receive(record, milliseconds(20000)).ok()) {
        if (record.header.type != wire::Type::kEpochEnd) continue;
        if (!played.control->Send(wire::Type::kCommitted, record.header.epoch, ByteSpan{}).ok()) return;
      }
    });
    Record goodbye = played.Expect(*played.control, wire::Type::kGoodbye);
    played.memory->Close();
    commits.join();
    STRCMP_EQUAL("0300", haven::test::ToHex(goodbye.body).c_str());
  }
  void HandOverAndVanish() {
    HandOver();
    played.End();
  }
};

// --- without a backup ---------------------------------------------------------------

TEST(PrimarySession, LetsOutputAndWritesPassWhileThereIsNoBackup) {
  pair.StartPrimary();
  pair.Frame("at once");
  CHECK(pair.FrameIsOut("at once"));
  pair.loop.Run([&] { CHECK(pair.guest.WriteDisk(0, 0, 512, 1)); });
  CHECK_EQUAL(0, pair.guest.unfinished_writes());
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
}

TEST(PrimarySession, GivesUpWithTheReasonWhenTheBackupRefusesForGood) {
  pair.backup_options.disks.erase("vdb");
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_EQUAL("the backup says: the backup's configuration names no replica for disk vdb", Message().c_str());
  pair.Frame("free");
  CHECK(pair.FrameIsOut("free"));
}

TEST(PrimarySession, TriesAgainAfterHalfASecond) {
  StartTowardsPlayedBackup();
  for (int i = 0; i < 3; i++) {
    played.Accept()->Close();
    CHECK(pair.WaitsOut(milliseconds(500)));
  }
  CHECK(played.Accept() != nullptr);
}

TEST(PrimarySession, GivesUpOnABackupThatDoesNotAnswerHelloInTwoDeadlines) {
  StartTowardsPlayedBackup(milliseconds(1000));
  auto link = played.Accept();
  CHECK(pair.WaitsOut(milliseconds(2000)));
  CHECK(Eventually([&] { return Message() == "the peer did not answer in time"; }));
}

TEST(PrimarySession, GivesUpOnABackupThatIsNotReadyAfterAMinute) {
  StartTowardsPlayedBackup(milliseconds(1000));
  played.AcceptLinks();
  played.ExpectLayout();
  for (int i = 0; i < 66; i++) {  // 59.4 s
    CHECK(pair.clock.IsAwaited(milliseconds(1000)));
    pair.clock.Pass(milliseconds(900));
    played.Beat();
  }
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  CHECK(pair.Query().state == PrimaryState::kSyncing);
  pair.clock.Pass(milliseconds(600));
  played.Beat();
  CHECK(Eventually([&] { return Message() == "the backup was not ready in time"; }));
}

TEST(PrimarySession, TriesAgainWhileTheBackupIsBusy) {
  pair.UseFakeClock();
  pair.StartBackup();
  auto other = std::make_unique<HandMade>(pair.listener.port(), wire::Connection::kControl);
  other->Token();
  pair.StartPrimary();
  CHECK(Eventually([&] { return Message() == "the backup says: guest vm has a session or a promotion under way"; }));
  other.reset();
  CHECK(pair.AsTimePasses([&] { return pair.Query().state == PrimaryState::kProtected; }));
}

TEST(PrimarySession, SaysHelloAsTheDocumentDemands) {
  pair.primary_options.connect.port = played.port();
  pair.StartPrimary();
  wire::Token token{};
  for (auto kind : {wire::Connection::kControl, wire::Connection::kDisk, wire::Connection::kMemory}) {
    auto& link = kind == wire::Connection::kControl ? played.control
                 : kind == wire::Connection::kDisk  ? played.disk
                                                    : played.memory;
    link = played.Accept();
    CHECK_EQUAL(0, played.hello.header.sequence);
    auto hello = wire::DecodeHello(played.hello.body);
    HAVEN_CHECK_OK(hello.status());
    CHECK(hello.value().connection == kind);
    CHECK(hello.value().token == token);
    STRCMP_EQUAL("vm", hello.value().guest.c_str());
    CHECK_EQUAL(10000, hello.value().deadline_ms);
    played.Reply(*link);
    token[0] = 7;
  }
  Record record = played.ExpectLayout();
  auto layout = wire::DecodeLayout(record.body);
  HAVEN_CHECK_OK(layout.status());
  CHECK_EQUAL(2, layout.value().regions.size());
  CHECK_EQUAL(2, layout.value().disks.size());
}

TEST(PrimarySession, SaysNothingOfItsGuestToABackupThatHoldsAnotherHistory) {
  StartTowardsPlayedBackup();
  played.AcceptLinks();
  wire::Identity other;
  other.role = wire::Role::kBackup;
  other.lineage = Lineage({{77, 1700000000, Origin::kPromoted}});
  const auto mine = wire::DecodeIdentity(played.Expect(*played.control, wire::Type::kIdentity).body);
  HAVEN_CHECK_OK(mine.status());
  CHECK(mine.value().Has(wire::kIdentityFresh));
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kIdentity, 0, wire::Encode(other)));
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_CONTAINS("run haven adopt vm on the backup", Message().c_str());
  CHECK(played.Expect(*played.control, wire::Type::kLayout).body.empty());  // whatever that backup would have answered
  CHECK_FALSE(blkrep::LoadGuestRecord(pair.primary_options.state_dir).value().has_value());
}

// --- the loss of the backup -------------------------------------------------------------

TEST(PrimarySession, HoldsOutputUntilTheCommitAndNotLonger) {
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("of epoch 2");
  CHECK(pair.WaitsOut(pair.primary_options.mode.interval));
  Record end = played.Expect(*played.memory, wire::Type::kEpochEnd);
  CHECK_EQUAL(2, end.header.epoch);
  CHECK_FALSE(pair.FrameIsOut("of epoch 2"));
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  CHECK(Eventually([&] { return pair.FrameIsOut("of epoch 2"); }));
}

TEST(PrimarySession, WritesDownThatItIsAheadBeforeOutputLeavesWithoutTheBackup) {
  StartWithPlayedBackup();
  CommitFirst();
  auto lineage = [&] { return blkrep::LoadGuestRecord(pair.primary_options.state_dir).value()->lineage; };
  CHECK_EQUAL(1, lineage().generations().size());
  Lineage when_it_left;
  pair.loop.Run([&] { pair.guest.on_frame = [&](const std::string&, size_t) { when_it_left = lineage(); }; });
  pair.Frame("alone");
  played.End();
  CHECK(Eventually([&] { return pair.FrameIsOut("alone"); }));
  CHECK_EQUAL(2, when_it_left.generations().size());
  CHECK(when_it_left.current().origin == Origin::kAlone);
}

TEST(PrimarySession, TakesACheckpointEachIntervalAndNoneBeforeTheCommitOfTheLast) {
  pair.primary_options.mode.interval = milliseconds(50);
  StartWithPlayedBackup();
  CommitFirst();
  CHECK(pair.WaitsOut(milliseconds(50)));
  CHECK_EQUAL(2, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  milliseconds patience = pair.primary_options.connect.deadline * kDataDeadlines;
  CHECK(pair.clock.IsAwaited(patience));
  pair.clock.Pass(milliseconds(120));
  CHECK(pair.clock.IsAwaited(patience - milliseconds(120)));
  size_t saved = 0;
  pair.loop.Run([&] { saved = pair.guest.saved.size(); });
  CHECK_EQUAL(3, saved);  // one is before all
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  // It is late already: at once, and the interval counts from there.
  CHECK_EQUAL(3, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 3, ByteSpan{}));
  CHECK(pair.WaitsOut(milliseconds(50)));
  CHECK_EQUAL(4, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
}

TEST(PrimarySession, SendsAsManyEpochsAsMayBeInFlightAndLetsTheirOutputGoInOrder) {
  played.features = wire::kFeatureEpochsInFlight;
  pair.primary_options.mode.interval = milliseconds(50);
  pair.primary_options.mode.in_flight = 3;
  StartWithPlayedBackup();
  CommitFirst();
  for (Epoch epoch = 2; epoch <= 4; epoch++) {
    pair.Frame("of epoch " + std::to_string(epoch));
    CHECK(pair.WaitsOut(milliseconds(50)));
    CHECK_EQUAL(epoch, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  }
  // A fourth has to wait, however late it is.
  const milliseconds patience = pair.primary_options.connect.deadline * kDataDeadlines;
  CHECK(pair.clock.IsAwaited(patience - milliseconds(100)));  // since the oldest was sent
  pair.clock.Pass(milliseconds(120));
  CHECK(pair.clock.IsAwaited(patience - milliseconds(220)));
  CHECK_FALSE(pair.FrameIsOut("of epoch 2"));
  auto commit = [&](Epoch epoch) {
    HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, epoch, ByteSpan{}));
    CHECK(Eventually([&] { return pair.FrameIsOut("of epoch " + std::to_string(epoch)); }));
  };
  commit(2);
  CHECK_FALSE(pair.FrameIsOut("of epoch 3"));
  CHECK_EQUAL(5, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  commit(3);
  commit(4);
  CHECK_EQUAL(0, pair.Query().losses);
}

TEST(PrimarySession, LosesABackupThatDoesNotCommitTheOldestEpochWhateverElseIsSent) {
  played.features = wire::kFeatureEpochsInFlight;
  pair.primary_options.mode.interval = milliseconds(50);
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  for (Epoch epoch = 2; epoch <= 5; epoch++) {
    CHECK(pair.WaitsOut(milliseconds(50)));
    CHECK_EQUAL(epoch, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  }
  // 150 ms of it are over since the second was sent.
  BeatFor(milliseconds(1000) * kDataDeadlines - milliseconds(160));
  CHECK(pair.clock.IsAwaited(milliseconds(10)));
  CHECK(pair.Query().state == PrimaryState::kProtected);
  pair.clock.Pass(milliseconds(10));
  CHECK(pair.WaitsOut(milliseconds(200)));  // for a better explanation
  STRCMP_EQUAL("the primary goes on without this backup: the backup answers, but does not commit",
               wire::DecodeError(played.Expect(*played.control, wire::Type::kError).body).value().message.c_str());
}

TEST(PrimarySession, EndsProtectionWhenCommitsComeButLagBehindTheirLimit) {
  played.features = wire::kFeatureEpochsInFlight;
  pair.primary_options.mode.interval = milliseconds(50);
  pair.primary_options.mode.in_flight = 2;
  pair.primary_options.connect.lag_limit = milliseconds(12000);
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  auto lag_us = [&] { return pair.Query().commit_lag_us; };
  for (Epoch epoch = 2; epoch <= 3; epoch++) {
    CHECK(pair.WaitsOut(milliseconds(50)));
    CHECK_EQUAL(epoch, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  }
  CHECK_EQUAL(12000000, pair.Query().commit_lag_limit_us);
  BeatFor(milliseconds(9000));
  CHECK_EQUAL(9050000, lag_us());
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  CHECK_EQUAL(4, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  CHECK_EQUAL(9000000, lag_us());
  BeatFor(milliseconds(2900));
  CHECK(pair.Query().state == PrimaryState::kProtected);
  pair.clock.Pass(milliseconds(100));
  played.Beat();
  STRCMP_EQUAL(
      "the primary goes on without this backup: the backup answers, but has not committed a checkpoint for 12000 ms, "
      "the limit (--lag-limit): the link or the backup is too slow for what the guest writes",
      wire::DecodeError(played.Expect(*played.control, wire::Type::kError).body).value().message.c_str());
  CHECK(Eventually([&] { return lag_us() == 0; }));
}

TEST(PrimarySession, ShowsWhatItsHeldOutputTakesAndTheLimitOfThat) {
  pair.primary_options.output_limit_bytes = 1000;
  StartWithPlayedBackup();
  CommitFirst();
  CHECK_EQUAL(0, pair.Query().output_held_bytes);
  for (int i = 0; i < 2; i++) pair.Frame(std::string(600, 'a' + i));
  PrimaryStatus full = pair.Query();
  CHECK_EQUAL(1, full.frames_held);
  CHECK_EQUAL(1, full.frames_dropped);
  CHECK_EQUAL(1000, full.output_limit_bytes);
  CHECK(full.output_held_bytes >= 600 && full.output_held_bytes <= 1000);
  CHECK(full.state == PrimaryState::kProtected);
  CHECK(pair.WaitsOut(pair.primary_options.mode.interval));
  CHECK_EQUAL(2, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  CHECK(Eventually([&] { return pair.Query().output_held_bytes == 0; }));
  CHECK_EQUAL(0, pair.Query().frames_held);
}

TEST(PrimarySession, RefusesTheCommitOfAnEpochThatWasNotCut) {
  played.features = wire::kFeatureEpochsInFlight;
  StartWithPlayedBackup();
  CommitFirst();
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  STRCMP_EQUAL("COMMITTED of a wrong epoch",
               wire::DecodeError(played.Expect(*played.control, wire::Type::kError).body).value().message.c_str());
}

// --- modes ----------------------------------------------------------------------------------

TEST(PrimarySession, TakesACheckpointSoonAfterOutputInModeKemariAndElseWhenTheEpochIsOld) {
  pair.primary_options.mode.mode = Mode::kKemari;
  pair.primary_options.mode.window = milliseconds(2);
  pair.primary_options.mode.max_age = milliseconds(700);
  StartWithPlayedBackup();
  CommitFirst();
  CHECK(pair.WaitsOut(milliseconds(700)));
  CHECK_EQUAL(2, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  CHECK(pair.clock.IsAwaited(milliseconds(700)));
  pair.clock.Pass(milliseconds(100));
  pair.Frame("a");
  CHECK(pair.clock.IsAwaited(milliseconds(2)));
  pair.clock.Pass(milliseconds(1));
  pair.Frame("b");  // the window is the first one's
  CHECK(pair.clock.IsAwaited(milliseconds(1)));
  pair.clock.Pass(milliseconds(1));
  CHECK_EQUAL(3, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 3, ByteSpan{}));
  CHECK(Eventually([&] { return pair.FrameIsOut("b"); }));
  CHECK(pair.clock.IsAwaited(milliseconds(700)));  // what is out asks for nothing
  CHECK_EQUAL(2000, pair.Query().output_p50_us);
}

TEST(PrimarySession, TakesUpAnotherModeWhileItWaitsForTheNextCheckpoint) {
  pair.primary_options.mode.interval = milliseconds(50'000);
  StartWithPlayedBackup();
  CommitFirst();
  CHECK(pair.clock.IsAwaited(milliseconds(50'000)));
  ModeSettings mode = pair.primary->mode();
  mode.mode = Mode::kKemari;
  mode.window = milliseconds(1);
  HAVEN_CHECK_OK(pair.primary->SetMode(mode));
  CHECK(pair.clock.IsAwaited(mode.max_age));
  STRCMP_EQUAL("kemari", pair.Query().mode.c_str());
  pair.Frame("a");
  CHECK(pair.clock.IsAwaited(milliseconds(1)));
  // Output that waits already counts in the new mode, too.
  mode.window = milliseconds(3);
  HAVEN_CHECK_OK(pair.primary->SetMode(mode));
  CHECK(pair.WaitsOut(milliseconds(3)));
  CHECK_EQUAL(2, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  mode.window = microseconds(0);
  STRCMP_EQUAL("the window must be 1 to 100000 us, not 0", pair.primary->SetMode(mode).message().c_str());
  CHECK(pair.Query().state == PrimaryState::kProtected);
}

TEST(PrimarySession, TakesTheFirstCheckpointAtOnceWhateverModeIsChosenMeanwhile) {
  StartTowardsPlayedBackup();
  played.AcceptLinks();
  played.ExpectLayout();
  ModeSettings mode = pair.primary->mode();
  mode.interval = milliseconds(60'000);
  HAVEN_CHECK_OK(pair.primary->SetMode(mode));
  wire::LayoutReply reply{{wire::LayoutReply::Copy::kAll, wire::LayoutReply::Copy::kAll}};
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kLayoutReply, 0, wire::Encode(reply)));
  CommitFirst();
  CHECK(pair.clock.IsAwaited(milliseconds(60'000)));
}

TEST(PrimarySession, DoesNotHurryACheckpointThatIsPutOffBecauseOutputWaits) {
  pair.primary_options.mode.mode = Mode::kKemari;
  Protect();
  pair.loop.Run([&] { pair.guest.stop_fails = Status(StatusCode::kTryAgain, "being reset"); });
  pair.Frame("held");
  pair.clock.Pass(milliseconds(1));
  for (int i = 0; i < 3; i++) CHECK(pair.WaitsOut(milliseconds(20)));
  CHECK_FALSE(pair.FrameIsOut("held"));
  pair.loop.Run([&] { pair.guest.stop_fails = Status::Ok(); });
  pair.clock.Pass(milliseconds(20));
  CHECK(Eventually([&] { return pair.FrameIsOut("held"); }));
}

TEST(PrimarySession, TriesTheFirstCheckpointAgainSoonWhateverTheMode) {
  pair.UseFakeClock();
  pair.primary_options.mode.mode = Mode::kKemari;
  pair.primary_options.mode.max_age = milliseconds(60'000);
  pair.loop.Run([&] { pair.guest.stop_fails = Status(StatusCode::kTryAgain, "being reset"); });
  pair.StartBackup();
  pair.StartPrimary();
  for (int i = 0; i < 3; i++) CHECK(pair.WaitsOut(milliseconds(20)));
  CHECK(pair.clock.IsAwaited(milliseconds(20)));
  ModeSettings mode = pair.primary->mode();
  mode.window = milliseconds(3);
  HAVEN_CHECK_OK(pair.primary->SetMode(mode));  // which changes nothing about that
  pair.loop.Run([&] { pair.guest.stop_fails = Status::Ok(); });
  CHECK(pair.WaitsOut(milliseconds(20)));
  CHECK(pair.Protects());
}

TEST(PrimarySession, BelievesNoFigureOfABackupThatCannotBe) {
  played.features = wire::kFeatureEpochFigures;
  pair.primary_options.mode.mode = Mode::kAdaptive;
  pair.primary_options.mode.max_age = milliseconds(700);
  StartWithPlayedBackup();
  played.Serve();
  for (Epoch epoch = 1; epoch <= 3; epoch++) {
    CHECK_EQUAL(epoch, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
    HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, epoch, wire::Encode(wire::Committed{~0ull, ~0ull})));
    CHECK(pair.WaitsOut(milliseconds(700)));
  }
  CHECK_EQUAL(3'600'000'000, pair.Query().apply_us);
}

TEST(PrimarySession, AsksForOutputThatItCannotSeeOneEpochAtATime) {
  played.features = wire::kFeatureEpochsInFlight;
  pair.primary_options.output_elsewhere = true;
  pair.primary_options.mode.mode = Mode::kAdaptive;
  pair.primary_options.mode.latency = milliseconds(30);
  StartWithPlayedBackup();
  CommitFirst();
  CHECK(pair.clock.IsAwaited(microseconds(29'700)));
  pair.clock.Pass(milliseconds(30));
  CHECK_EQUAL(2, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  CHECK(pair.clock.IsAwaited(pair.primary_options.connect.deadline * kDataDeadlines));
  ModeSettings kemari = pair.primary->mode();
  kemari.mode = Mode::kKemari;
  STRCMP_CONTAINS("mode kemari has to see what the guest sends", pair.primary->SetMode(kemari).message().c_str());
}

TEST(PrimarySession, LetsTheGuestRunForAnIntervalHoweverLongItStoodStill) {
  pair.primary_options.mode.interval = milliseconds(50);
  pair.guest.on_stop = [&] { pair.clock.Pass(milliseconds(40)); };
  StartWithPlayedBackup();
  CommitFirst();
  CHECK(pair.WaitsOut(milliseconds(50)));
  CHECK_EQUAL(2, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 2, ByteSpan{}));
  CHECK(pair.WaitsOut(milliseconds(50)));
  CHECK_EQUAL(3, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
}

TEST(PrimarySession, CompletesWritesAndReleasesOutputWhenTheBackupIsLost) {
  StartWithPlayedBackup();
  CommitFirst(false);
  pair.Frame("held");
  uint64_t before = played.disk_records;
  pair.loop.Run([&] { CHECK(pair.guest.WriteDisk(0, 0, 512, 1)); });
  CHECK(Eventually([&] { return played.disk_records > before; }));
  CHECK_EQUAL(1, pair.guest.unfinished_writes());
  CHECK_FALSE(pair.FrameIsOut("held"));
  played.End();
  CHECK(Eventually([&] { return pair.guest.unfinished_writes() == 0; }));
  CHECK(Eventually([&] { return pair.FrameIsOut("held"); }));
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK_EQUAL(1, pair.Query().losses);
  CHECK_FALSE(pair.guest.halted);
}

TEST(PrimarySession, SurvivesALossAtEveryStage) {
  StartTowardsPlayedBackup();
  for (int stage = 0; stage < 7; stage++) {
    played.control = played.Accept();
    if (stage >= 1) {
      played.Reply(*played.control);
      played.disk = played.Accept();
    }
    if (stage >= 2) {
      played.Reply(*played.disk);
      played.memory = played.Accept();
    }
    if (stage >= 3) {
      played.Reply(*played.memory);
      played.ExpectLayout();
    }
    if (stage >= 4) {
      wire::LayoutReply reply{{wire::LayoutReply::Copy::kAll, wire::LayoutReply::Copy::kAll}};
      HAVEN_CHECK_OK(played.control->Send(wire::Type::kLayoutReply, 0, wire::Encode(reply)));
      played.Expect(*played.memory, wire::Type::kPages);
    }
    if (stage >= 5) {
      played.Serve();
      played.Expect(*played.memory, wire::Type::kEpochEnd);
    }
    if (stage >= 6) HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 1, ByteSpan{}));
    std::string frame = "at stage " + std::to_string(stage);
    pair.Frame(frame);
    pair.loop.Run([&] { pair.guest.WriteDisk(1, 4096, 512, 1); });
    played.EndLinks();
    if (stage >= 5) played.AnswerQuestion();
    CHECK(Eventually([&] { return pair.FrameIsOut(frame); }));
    CHECK(Eventually([&] { return pair.guest.unfinished_writes() == 0; }));
    CHECK(pair.WaitsOut(milliseconds(500)));
  }
  CHECK_FALSE(pair.guest.halted);
}

TEST(PrimarySession, NoticesASilentBackup) {
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  pair.Frame("held");
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  pair.clock.Pass(milliseconds(400));
  played.Beat();  // buys a whole deadline
  played.StopListening();
  CHECK(pair.WaitsOut(milliseconds(1000)));
  CHECK(Eventually([&] { return pair.FrameIsOut("held"); }));
  CHECK(Eventually([&] {
    return pair.guest.WasTold(
        "the peer did not answer in time; nobody has confirmed that the backup does not run the guest");
  }));
  CHECK_EQUAL(1, pair.Query().losses);
}

TEST(PrimarySession, NoticesABackupThatAnswersButAcknowledgesNoWrite) {
  const char* reason = "the backup answers, but does not acknowledge disk writes";
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst(false);
  uint64_t before = played.disk_records;
  pair.loop.Run([&] { pair.guest.WriteDisk(0, 0, 512, 1); });
  CHECK(Eventually([&] { return played.disk_records > before; }));
  // The guest's thread waits for the write at its next stop: without a limit for ever.
  BeatFor(milliseconds(900));  // at its end the wait is seen
  BeatFor(milliseconds(9900));
  CHECK_FALSE(pair.guest.WasTold(reason));
  CHECK_EQUAL(1, pair.guest.unfinished_writes());
  pair.clock.Pass(milliseconds(100));
  played.Beat();
  played.AnswerQuestion();
  CHECK(Eventually([&] { return pair.guest.WasTold(reason); }));
  CHECK_EQUAL(0, pair.guest.unfinished_writes());
}

TEST(PrimarySession, NoticesABackupThatAnswersButCommitsNothing) {
  StartWithPlayedBackup(milliseconds(1000));
  played.Serve();
  CHECK_EQUAL(1, played.Expect(*played.memory, wire::Type::kEpochEnd).header.epoch);
  CHECK(pair.clock.IsAwaited(milliseconds(10000)));
  BeatFor(milliseconds(9900));
  CHECK(pair.WaitsOut(milliseconds(100)));
  CHECK(pair.WaitsOut(milliseconds(200)));  // for an ERROR that would explain it
  played.AnswerQuestion();
  CHECK(Eventually([&] { return pair.guest.WasTold("the backup answers, but does not commit"); }));
  Record error = played.Expect(*played.control, wire::Type::kError);  // or it would take us for dead
  CHECK(error.header.type == wire::Type::kError);
}

TEST(PrimarySession, IsNotTakenForDeadWhenItEndsASessionByItself) {
  pair.backup_options.auto_promote = true;
  Protect();
  pair.loop.Run([&] { pair.guest.stop_fails = {StatusCode::kEnvironment, "the guest cannot be stopped"}; });
  CHECK(pair.WaitsOut(pair.primary_options.mode.interval));
  CHECK(pair.BackupReaches(BackupState::kPrimaryLost));
  STRCMP_CONTAINS("the guest cannot be stopped", pair.backup->Query().message.c_str());
  CHECK_EQUAL(0, pair.activator.activations());
}

TEST(PrimarySession, GoesOnAfterALossOnlyWhenTheArbiterSaysSo) {
  pair.primary_options.arbiter = pair.backup_options.arbiter = pair.Arbiter("exit 0");
  Protect();
  pair.EndBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  pair.Frame("free");
  CHECK(Eventually([&] { return pair.FrameIsOut("free"); }));
  CHECK(pair.Asked().starts_with("primary "));
}

TEST(PrimarySession, HaltsTheGuestWhenTheArbiterDecidesForTheBackup) {
  pair.primary_options.arbiter = pair.Arbiter("exit 1");
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("never");
  played.End();
  CHECK(pair.PrimaryReaches(PrimaryState::kLost));
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  STRCMP_EQUAL("the arbiter decided for the backup: the arbiter exited with status 1", Message().c_str());
  pair.Frame("neither");
  CHECK_FALSE(pair.FrameIsOut("never"));
  CHECK_FALSE(pair.FrameIsOut("neither"));
  STRCMP_EQUAL("primary 07000000000000000000000000000000\n", pair.Asked().c_str());
  pair.StopPrimary(wire::Goodbye::kUnprotect);  // does not let it out either
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, DoesNotGoOnAloneWhileADiskHangs) {
  pair.primary_options.arbiter = pair.Arbiter("exit 0");
  StartWithPlayedBackup();
  CommitFirst();
  pair.guest.disk_stall = milliseconds(5000);
  pair.Frame("held");
  played.End();
  CHECK(pair.WaitsOut(milliseconds(20)));
  CHECK(pair.WaitsOut(milliseconds(20)));
  CHECK_FALSE(pair.FrameIsOut("held"));
  STRCMP_EQUAL("", pair.Asked().c_str());
  pair.guest.disk_stall = milliseconds(0);
  CHECK(Eventually([&] {
    pair.clock.Pass(milliseconds(20));
    return pair.FrameIsOut("held");
  }));
}

// --- the fresh attempt --------------------------------------------------------------

TEST(PrimarySession, LetsNothingOutBeforeTheBackupHasBeenAskedAfresh) {
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("held");
  played.EndLinks();
  played.AnswerQuestion(0, [&] {
    CHECK_FALSE(pair.FrameIsOut("held"));
    CHECK(pair.Query().state == PrimaryState::kUnprotected);
    STRCMP_CONTAINS("output is held until the backup has said whether it runs the guest", Message().c_str());
  });
  CHECK(Eventually([&] { return pair.FrameIsOut("held"); }));
  CHECK_FALSE(pair.guest.halted);
}

TEST(PrimarySession, HaltsTheGuestThatRunsAtTheBackupThatIsAskedAfresh) {
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("never");
  played.EndLinks();
  played.AnswerQuestion(wire::kIdentityRunning);
  CHECK(pair.PrimaryReaches(PrimaryState::kLost));
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, AsksABackupThatIsBusyAgain) {
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("held");
  played.EndLinks();
  for (int i = 0; i < 3; i++) {
    played.AnswerQuestion(wire::kIdentityBusy);
    CHECK(pair.WaitsOut(milliseconds(500)));
    CHECK_FALSE(pair.FrameIsOut("held"));
  }
  played.AnswerQuestion(0);
  CHECK(Eventually([&] { return pair.FrameIsOut("held"); }));
}

TEST(PrimarySession, AsksAgainWhenItHasStoodStillSinceTheAnswer) {
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  pair.Frame("never");
  played.EndLinks();
  std::mutex standing;
  standing.lock();
  played.AnswerQuestion(0, [&] { pair.loop.Post([&] { std::lock_guard wait(standing); }); });
  // The answer is there, and the release ordered: this process stands still, and time goes on.
  CHECK(Eventually([&] {
    auto record = blkrep::LoadGuestRecord(pair.primary_options.state_dir);
    return record.value()->lineage.generations().size() == 2;
  }));
  pair.clock.Pass(milliseconds(1001));
  standing.unlock();
  played.AnswerQuestion(wire::kIdentityRunning);
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, DoesNotTakeItsOwnStandstillForTheBackupsSilence) {
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  pair.Frame("never");
  played.EndLinks();
  auto unanswered = played.Accept();  // it has asked, and is stopped for a minute
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  pair.clock.Pass(std::chrono::minutes(1));
  played.AnswerQuestion(wire::kIdentityRunning);
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, ThatStopsAsksTheBackupWhichDidNotHearIt) {
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  pair.Frame("never");
  pair.loop.Run([&] { CHECK(pair.primary->Stop(wire::Goodbye::kUnprotect).ok()); });
  played.Expect(*played.control, wire::Type::kGoodbye);
  played.EndLinks();
  played.AnswerQuestion(wire::kIdentityRunning);
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, IsNotPromotedAwayOnceTheBackupKnowsThatItGoesOn) {
  Protect();
  pair.Frame("held");
  pair.loop.Run([&] { pair.primary->Fail(EndOf(Status(StatusCode::kPeerLost, "cut by the test"))); });
  CHECK(pair.AsTimePasses([&] { return pair.FrameIsOut("held"); }));
  CHECK(pair.backup->Failover(false).code() == StatusCode::kRefused);
  CHECK_EQUAL(0, pair.activator.activations());
  CHECK_FALSE(pair.guest.halted);
}

TEST(PrimarySession, HoldsOutputWhileTheArbiterDoesNotAnswer) {
  pair.primary_options.arbiter = "/nonexistent/arbiter";
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("held");
  played.End();
  CHECK(Eventually([&] { return Message().starts_with("output is held until the arbiter answers: "); }));
  CHECK_FALSE(pair.FrameIsOut("held"));
  CHECK_FALSE(pair.guest.halted);
}

TEST(PrimarySession, AsksAnArbiterThatDoesNotAnswerAgainEverySecond) {
  pair.primary_options.arbiter = pair.folder.File("arbiter");  // not there yet
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("held");
  played.End();
  for (int i = 0; i < 3; i++) CHECK(pair.WaitsOut(milliseconds(1000)));
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));
  CHECK_FALSE(pair.FrameIsOut("held"));
  pair.Arbiter("exit 0");
  pair.clock.Pass(milliseconds(1000));
  CHECK(Eventually([&] { return pair.FrameIsOut("held"); }));
  CHECK(pair.Asked().starts_with("primary "));
}

TEST(PrimarySession, IsEndedWhileItsArbiterHangs) {
  pair.primary_options.arbiter = pair.ArbiterThatHangsFirst();
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("held");
  played.End();
  CHECK(pair.ArbiterHangs());
  STRCMP_CONTAINS("output is held until the arbiter answers: ", Message().c_str());
  CHECK_FALSE(pair.FrameIsOut("held"));
  pair.StopPrimary(wire::Goodbye::kUnprotect);
  CHECK_TRUE(pair.FrameIsOut("held"));
  CHECK_FALSE(pair.guest.halted);
}

TEST(PrimarySession, HoldsOutputByPolicyUntilItIsProtectedAgain) {
  pair.primary_options.pause_on_loss = true;
  Protect();
  pair.EndBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  pair.Frame("held");
  CHECK_FALSE(pair.FrameIsOut("held"));
  pair.StartBackup();
  CHECK(pair.WaitsOut(milliseconds(500)));
  CHECK(pair.Protects());
  CHECK(pair.AsTimePasses([&] { return pair.FrameIsOut("held"); }));
}

TEST(PrimarySession, ProtectsItselfAgainAndCopiesOnlyWhatChanged) {
  Protect();
  uint64_t first = pair.Query().disk_wire_bytes;
  pair.loop.Run([&] { pair.primary->Fail(EndOf(Status(StatusCode::kPeerLost, "cut by the test"))); });
  CHECK(Eventually([&] { return pair.Query().losses == 1; }));
  pair.loop.Run([&] { pair.guest.WriteDisk(0, 70000, 512, 9); });
  CHECK(pair.AsTimePasses([&] { return pair.guest.copies_started == 4; }));
  CHECK(pair.Protects());
  uint64_t second = pair.Query().disk_wire_bytes - first;
  CHECK(second > 0);
  CHECK(second < 140000);  // at most two pieces of 64 KiB of the disks' 612 KiB
}

// --- what the backup says ---------------------------------------------------------------

TEST(PrimarySession, HaltsTheGuestWhenTheBackupHasPromotedItself) {
  Protect();
  pair.Frame("a");
  HAVEN_CHECK_OK(pair.backup->Failover(true));
  CHECK(pair.PrimaryReaches(PrimaryState::kLost));
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  STRCMP_EQUAL("the backup says: the backup was promoted by order of an administrator", Message().c_str());
  pair.Frame("never");
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, HaltsTheGuestWhenItLearnsOfThePromotionAfterALoss) {
  pair.backup_options.auto_promote = true;
  Protect();
  pair.loop.Run([&] { pair.primary->Fail(EndOf(Status(StatusCode::kPeerLost, "cut by the test"))); });
  CHECK(pair.BackupReaches(BackupState::kPromoted));
  CHECK(pair.AsTimePasses([&] { return pair.Query().state == PrimaryState::kLost; }));
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  STRCMP_CONTAINS("guest vm was promoted and runs on the backup", Message().c_str());
}

TEST(PrimarySession, SaysGoodbyeAndLetsTheBackupForgetIt) {
  pair.backup_options.auto_promote = true;
  Protect();
  pair.Frame("held or not");
  pair.StopPrimary(wire::Goodbye::kGuestPoweredOff);
  CHECK(pair.FrameIsOut("held or not"));
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  STRCMP_EQUAL("the guest was powered off", pair.backup->Query().message.c_str());
  CHECK_EQUAL(0, pair.activator.activations());
  CHECK(pair.Query().state == PrimaryState::kStopped);
  pair.Frame("free");
  CHECK(pair.FrameIsOut("free"));
}

TEST(PrimarySession, EndsWithoutAnAnswerToGoodbyeOnlyIfTheArbiterSaysSo) {
  pair.primary_options.arbiter = pair.Arbiter("exit 1");
  StartWithPlayedBackup(milliseconds(1000));
  CommitFirst();
  pair.Frame("never");
  pair.clock.Pass(milliseconds(300));
  played.StopListening();
  pair.loop.Run([&] { CHECK(pair.primary->Stop(wire::Goodbye::kUnprotect).ok()); });
  played.Expect(*played.control, wire::Type::kGoodbye);
  CHECK(pair.clock.IsAwaited(milliseconds(1000)));  // not the silence's deadline, which ends before
  played.Beat();
  CHECK(pair.clock.IsAwaited(milliseconds(1000), 2));
  CHECK_FALSE(pair.guest.halted);
  pair.clock.Pass(milliseconds(1000));
  CHECK(Eventually([&] { return pair.guest.ended.load(); }));
  CHECK(pair.guest.halted);
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, EndsTheSessionWhenTheBackupBreaksARule) {
  struct Case {
    int connection;
    wire::Type type;
    Epoch epoch;
    const char* body;
    const char* message;
  };
  const Case cases[] = {
      {1, wire::Type::kCommitted, 3, "", "COMMITTED of a wrong epoch"},
      {1, wire::Type::kCommitted, 1, "", "COMMITTED of a wrong epoch"},
      {1, wire::Type::kCommitted, 2, "00", "COMMITTED record: too long"},
      {1, wire::Type::kLayout, 0, "", "the backup may not send LAYOUT"},
      {1, wire::Type::kHandOver, 0, "00", "HAND_OVER record: too long"},
      {1, wire::Type::kVerified, 0, "00", "VERIFIED record: too long"},
      {1, wire::Type::kError, 0, "", "ERROR record: too short"},
      {2, wire::Type::kDiskAck, 0, "ffffffff00000000", "DISK_ACK of request 4294967295, which is not in flight"},
      {2, wire::Type::kDiskAck, 0, "ff", "DISK_ACK record: too short"},
      {2, wire::Type::kDiskFlush, 0, "", "the backup sent something else than DISK_ACK"},
  };
  StartTowardsPlayedBackup();
  for (const Case& c : cases) {
    played.AcceptSession();
    CommitFirst();
    Link& link = c.connection == 1 ? *played.control : *played.disk;
    HAVEN_CHECK_OK(link.Send(c.type, c.epoch, FromHex(c.body)));
    played.AnswerQuestion();
    CHECK(Eventually([&] { return Message() == c.message; }));
    played.EndLinks();
    CHECK(pair.WaitsOut(milliseconds(500)));
  }
  CHECK_FALSE(pair.guest.halted);
}

// --- hand-over ----------------------------------------------------------------------

TEST(PrimarySession, StaysHaltedWhenAHandOverIsNotConfirmed) {
  StartWithPlayedBackup();
  CommitFirst();
  HandOverAndVanish();
  CHECK(pair.PrimaryReaches(PrimaryState::kLost));
  CHECK(Eventually([&] { return pair.guest.halted.load(); }));
  STRCMP_CONTAINS("did not confirm that it runs there", Message().c_str());
  pair.Frame("never");
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, WaitsForABackupThatIsLongInStartingTheGuest) {
  StartWithPlayedBackup();
  CommitFirst();
  HandOver();
  // It needs the other two links no more; only the control link says how it went.
  played.disk->Close();
  CHECK(pair.clock.IsAwaited(milliseconds(200)));
  pair.clock.Pass(milliseconds(200));
  Bytes body = wire::Encode(wire::GoodbyeBody{wire::Goodbye::kHandedOver});
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kGoodbye, 0, body));
  CHECK(pair.PrimaryReaches(PrimaryState::kLost));
  STRCMP_CONTAINS("was handed over", Message().c_str());
}

TEST(PrimarySession, AsksTheArbiterWhenAHandOverIsNotConfirmed) {
  pair.primary_options.arbiter = pair.Arbiter("exit 0");
  StartWithPlayedBackup();
  CommitFirst();
  HandOverAndVanish();
  pair.Frame("goes on");
  CHECK(Eventually([&] { return pair.FrameIsOut("goes on"); }));
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK(pair.Asked().starts_with("primary "));
  CHECK(Eventually([&] {
    bool running = false;
    pair.loop.Run([&] { running = pair.guest.running(); });
    return running;
  }));
}

TEST(PrimarySession, EndedDuringAHandOverTheGuestIsTheBackups) {
  StartWithPlayedBackup();
  CommitFirst();
  HandOver();
  pair.loop.Run([&] { HAVEN_CHECK_OK(pair.primary->Stop(wire::Goodbye::kUnprotect)); });
  pair.Frame("never");
  CHECK_FALSE(pair.guest.ended);  // the backup has still to say whether it runs there
  played.End();
  CHECK(Eventually([&] { return pair.guest.ended.load(); }));
  CHECK_TRUE(pair.guest.halted);
  CHECK_FALSE(pair.FrameIsOut("never"));
}

TEST(PrimarySession, EndedDuringAHandOverThatTheBackupRefusesTheGuestGoesOnHere) {
  StartWithPlayedBackup();
  CommitFirst();
  HandOver();
  pair.loop.Run([&] { HAVEN_CHECK_OK(pair.primary->Stop(wire::Goodbye::kUnprotect)); });
  SendError(*played.control, wire::Error::kEnvironment, "it does not start here");
  played.End();
  CHECK(Eventually([&] { return pair.guest.ended.load(); }));
  CHECK_FALSE(pair.guest.halted);
  bool running = false;
  pair.loop.Run([&] { running = pair.guest.running(); });
  CHECK_TRUE(running);
}

TEST(PrimarySession, EndedWhileTheBackupSaysThatItRunsTheGuestIsHalted) {
  StartWithPlayedBackup();
  CommitFirst();
  pair.Frame("never");
  pair.loop.Run([&] { HAVEN_CHECK_OK(pair.primary->Stop(wire::Goodbye::kUnprotect)); });
  played.Expect(*played.control, wire::Type::kGoodbye);
  SendError(*played.control, wire::Error::kPromoted, "promoted by order of a person");
  played.End();  // nobody can be asked any more
  CHECK(Eventually([&] { return pair.guest.ended.load(); }));
  CHECK_TRUE(pair.guest.halted);
  CHECK_FALSE(pair.FrameIsOut("never"));
  CHECK(pair.Query().state == PrimaryState::kLost);
}

TEST(PrimarySession, DoesNotBelieveACommitOfAnEpochThatItHasNotCut) {
  StartTowardsPlayedBackup();
  played.AcceptLinks();
  played.ExpectLayout();
  wire::LayoutReply reply{{wire::LayoutReply::Copy::kAll, wire::LayoutReply::Copy::kAll}};
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kLayoutReply, 0, wire::Encode(reply)));
  HAVEN_CHECK_OK(played.control->Send(wire::Type::kCommitted, 1, ByteSpan{}));
  CHECK(Eventually([&] { return Message() == "COMMITTED of a wrong epoch"; }));
  STRCMP_EQUAL("COMMITTED of a wrong epoch",
               wire::DecodeError(played.Expect(*played.control, wire::Type::kError).body).value().message.c_str());
}

// --- the guest ------------------------------------------------------------------------------

TEST(PrimarySession, PutsACheckpointOffWhenTheGuestAsksForIt) {
  Protect();
  pair.loop.Run([&] { pair.guest.stop_fails = Status(StatusCode::kTryAgain, "being reset"); });
  size_t saved = 0;
  pair.loop.Run([&] { saved = pair.guest.saved.size(); });
  pair.Frame("held");
  CHECK(pair.Query().state == PrimaryState::kProtected);
  CHECK(pair.WaitsOut(pair.primary_options.mode.interval));
  for (int i = 0; i < 3; i++) CHECK(pair.WaitsOut(milliseconds(20)));
  CHECK(pair.clock.IsAwaited(milliseconds(20)));
  CHECK_FALSE(pair.FrameIsOut("held"));
  pair.loop.Run([&] {
    CHECK_EQUAL(saved, pair.guest.saved.size());
    pair.guest.stop_fails = Status::Ok();
  });
  CHECK(pair.AsTimePasses([&] { return pair.FrameIsOut("held"); }));
  CHECK_EQUAL(0, pair.Query().losses);
}

TEST(PrimarySession, EndsTheSessionAndTriesAgainWhenTheGuestCannotBeSaved) {
  Protect();
  pair.loop.Run([&] { pair.guest.stop_fails = Status(StatusCode::kEnvironment, "stuck"); });
  CHECK(pair.WaitsOut(pair.primary_options.mode.interval));
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK(pair.AsTimePasses([&] { return Message() == "stuck"; }));
  pair.loop.Run([&] { pair.guest.stop_fails = Status::Ok(); });
  CHECK(pair.AsTimePasses([&] { return pair.Query().state == PrimaryState::kProtected; }));
}

TEST(PrimarySession, CanBeEndedAtAnyMoment) {
  pair.StartBackup();
  for (int i = 0; i < 30; i++) {
    pair.StartPrimary();
    pair.Steps(i);
    pair.EndPrimary();
    CHECK_EQUAL(0, pair.guest.unfinished_writes());
  }
}
