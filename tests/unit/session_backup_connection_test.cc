// SPDX-License-Identifier: GPL-2.0-or-later
//
// One session at the backup, against a primary made by hand: what its owner learns of it.

#include <sys/socket.h>

#include "core/assert.h"
#include "session/backup_connection.h"
#include "tests/unit/core_support.h"
#include "tests/unit/fake_clock.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;

namespace {

constexpr milliseconds kLong{20000};

/// Keeps what it learns at the end of a session. Read it when the control thread was joined.
class RecordingOwner : public BackupConnection::Owner {
 public:
  Status OnIdentity(const wire::Identity&, wire::Identity&) override { return identity; }
  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token&) override { return refused; }
  Result<BackupStore*> OnLayout(const BackupConnection&, const wire::Layout&,
                                std::vector<wire::LayoutReply::Copy>&) override {
    return refused;
  }
  void OnCommitted(Epoch) override {}
  Status OnLiveness(const wire::Liveness& says) override {
    liveness = says;
    return Status::Ok();
  }
  void OnEnded(BackupConnection& connection) override {
    ended++;
    end = connection.end();
    goodbye = connection.goodbye();
    primary = connection.primary();
    handed_over = connection.handed_over();
    if (handed_over) connection.AnswerHandOver(runs_here);
  }

  Status identity, runs_here;  ///< what it answers
  const Status refused{StatusCode::kRefused, "there is no store"};

  wire::Liveness liveness;
  int ended = 0;
  Status end;
  std::optional<wire::Goodbye> goodbye;
  wire::Identity primary;
  bool handed_over = false;
};

/// A session with both ends, whose control thread runs.
struct Session {
  Session(BackupConnection::Owner& owner, Clock& clock) {
    int ends[2];
    HAVEN_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    primary = std::make_unique<Link>(ends[0]);
    wire::HelloReply agreed;
    agreed.token[0] = 7;
    connection =
        std::make_unique<BackupConnection>(owner, std::make_unique<Link>(ends[1], clock), agreed, kLong, uint32_t{0});
    control = std::thread([this] { connection->Run(); });
  }
  ~Session() {
    primary->Close();
    Join();
  }
  void Join() {
    if (control.joinable()) control.join();
  }
  void Identify(uint8_t life) {
    wire::Identity identity;
    identity.role = wire::Role::kPrimary;
    identity.life[0] = life;
    HAVEN_ASSERT(primary->Send(wire::Type::kIdentity, 0, wire::Encode(identity)).ok());
    HAVEN_ASSERT(Next().header.type == wire::Type::kIdentity);
  }
  void Say(wire::Goodbye reason) {
    (void)primary->Send(wire::Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{reason})).ok();
  }
  /// The next record that is no HEARTBEAT; an empty ERROR when there is none.
  Record Next() {
    Record record;
    while (primary->Receive(record, kLong).ok()) {
      if (record.header.type != wire::Type::kHeartbeat) return record;
    }
    return {};
  }
  /// "code message" of the ERROR that comes next.
  std::string Error() {
    Record record = Next();
    auto error = wire::DecodeError(record.body);
    if (record.header.type != wire::Type::kError || !error.ok()) return "no ERROR";
    return std::to_string(static_cast<int>(error.value().code)) + " " + error.value().message;
  }

  std::unique_ptr<Link> primary;
  std::unique_ptr<BackupConnection> connection;
  std::thread control;
};

const Status kOrder{StatusCode::kRefused, "by order of an administrator"};

}  // namespace

TEST_GROUP(BackupConnection) {
  haven::test::FakeClock clock;
  RecordingOwner owner;
};

TEST(BackupConnection, TellsItsOwnerWhatThePrimarySaidBeforeItWent) {
  Session session(owner, clock);
  session.Identify(3);
  session.Say(wire::Goodbye::kGuestPoweredOff);
  CHECK(session.Next().header.type == wire::Type::kGoodbye);
  session.Join();
  CHECK_EQUAL(1, owner.ended);
  CHECK(owner.goodbye == wire::Goodbye::kGuestPoweredOff);
  CHECK_EQUAL(3, owner.primary.life[0]);
  CHECK_FALSE(owner.handed_over);
  CHECK(owner.end.code() == StatusCode::kPeerLost);
}

TEST(BackupConnection, KnowsNothingOfAPrimaryThatWasNotAccepted) {
  owner.identity = {StatusCode::kRefused, "the copy here is newer"};
  Session session(owner, clock);
  session.Identify(3);
  STRCMP_EQUAL("4 the copy here is newer", session.Error().c_str());
  session.primary->Close();
  session.Join();
  CHECK_EQUAL(0, owner.primary.life[0]);
  CHECK_FALSE(owner.goodbye);
}

TEST(BackupConnection, TellsThePrimaryWhyItIsEndedFromOutside) {
  Session session(owner, clock);
  std::thread outside([&] { session.connection->End(kOrder, wire::Error::kPromoted); });
  STRCMP_EQUAL("5 by order of an administrator", session.Error().c_str());
  session.primary->Close();
  outside.join();
  session.Join();
  CHECK_EQUAL(1, owner.ended);
  CHECK(owner.end.code() == StatusCode::kRefused);
  STRCMP_EQUAL("by order of an administrator", owner.end.message().c_str());
}

TEST(BackupConnection, TakesNoHandOverOnceItWasEndedFromOutside) {
  Session session(owner, clock);
  session.Identify(3);
  std::thread outside([&] { session.connection->End(kOrder, wire::Error::kPromoted); });
  STRCMP_EQUAL("5 by order of an administrator", session.Error().c_str());
  session.Say(wire::Goodbye::kHandedOver);
  session.Join();
  outside.join();
  CHECK(owner.goodbye == wire::Goodbye::kHandedOver);
  CHECK_FALSE(owner.handed_over);
  STRCMP_EQUAL("by order of an administrator", owner.end.message().c_str());
}

TEST(BackupConnection, TellsThePrimaryThatTheGuestRunsHere) {
  Session session(owner, clock);
  session.Identify(3);
  session.Say(wire::Goodbye::kHandedOver);
  auto answer = wire::DecodeGoodbye(session.Next().body);
  CHECK(answer.ok());
  CHECK(answer.value().reason == wire::Goodbye::kHandedOver);
  session.primary->Close();
  session.Join();
  CHECK_TRUE(owner.handed_over);
}

TEST(BackupConnection, TellsThePrimaryThatTheGuestGoesOnThere) {
  owner.runs_here = {StatusCode::kEnvironment, "there is no memory for it"};
  Session session(owner, clock);
  session.Identify(3);
  session.Say(wire::Goodbye::kHandedOver);
  STRCMP_EQUAL("7 there is no memory for it", session.Error().c_str());
}

TEST(BackupConnection, RemembersThatAHandOverWasAskedFor) {
  Session session(owner, clock);
  CHECK_TRUE(session.connection->MarkHandOverAsked());
  CHECK_FALSE(session.connection->MarkHandOverAsked());
  Session next(owner, clock);
  CHECK_TRUE(next.connection->MarkHandOverAsked());
}
