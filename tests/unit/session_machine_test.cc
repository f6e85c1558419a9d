// SPDX-License-Identifier: GPL-2.0-or-later
//
// The machine that a guest runs on and the one that waits for it are compared before anything is copied.

#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;
using namespace haven::session::test;

TEST_GROUP(Machines) {
  Pair pair;

  void Start(const std::string& primary, const std::string& backup) {
    pair.primary_options.machine = primary;
    pair.activator.machine = backup;
    pair.StartBackup();
    pair.StartPrimary();
  }
  /// Another primary is answered only when the one before has gone.
  void AwaitNoSession() {
    CHECK(Eventually([this] { return pair.backup->Query().primary.empty(); }));
  }
  std::string Answer(HandMadeSession & session, const std::string& machine) {
    session.Identify();
    const Bytes body = wire::Encode(wire::Machine{machine});
    (void)session.control.link.Send(wire::Type::kMachine, 0, body).ok();
    const Record answer = session.SendLayout();
    if (answer.header.type != wire::Type::kError) return wire::TypeName(answer.header.type);
    return wire::DecodeError(answer.body).value().message;
  }
};

TEST(Machines, ThatAreTheSameProtectTheGuest) {
  Start("cpus = 1\n", "cpus = 1\n");
  CHECK(pair.Protects());
  STRCMP_EQUAL("", pair.backup->Query().message.c_str());
}

TEST(Machines, ThatDifferAreRefusedOnBothSidesWithTheDifference) {
  Start("cpus = 1\n", "cpus = 2\n");
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_EQUAL(
      "the backup says: the backup's device model is another machine: cpus is 2 on the backup and 1 on the primary; "
      "make the command in the backup's configuration the same, or allow it there with other-machine = allow",
      pair.Query().message.c_str());
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  STRCMP_CONTAINS("cpus is 2 on the backup", pair.backup->Query().message.c_str());
  bool runs = false;
  pair.loop.Run([&] { runs = pair.guest.running(); });
  CHECK_TRUE(runs);
  pair.StopPrimary(wire::Goodbye::kUnprotect);
  CHECK(pair.Query().state == PrimaryState::kStopped);
  STRCMP_CONTAINS("cpus is 2 on the backup", pair.Query().message.c_str());
}

TEST(Machines, ThatDifferProtectWhereTheConfigurationAllowsItAndStatusSaysSo) {
  pair.backup_options.other_machine = true;
  Start("cpus = 1\n", "cpus = 2\n");
  CHECK(pair.Protects());
  STRCMP_EQUAL("after a failover the guest runs on another machine: cpus is 2 on the backup and 1 on the primary",
               pair.backup->Query().message.c_str());
}

TEST(Machines, AreNotComparedIfOneSideCannotSay) {
  Start("", "cpus = 2\n");
  CHECK(pair.Protects());
  pair.EndPrimary();
  pair.EndBackup();
  pair.primary_options.life[0] = 2;
  Start("cpus = 1\n", "");
  CHECK(pair.Protects());
}

TEST(Machines, AreComparedBeforeAnythingOfAnEarlierCopyIsGivenUp) {
  pair.StartBackup();
  HandMadeSession first(pair.listener.port());
  CHECK(first.SendLayout().header.type == wire::Type::kLayoutReply);
  first.SendEpoch(1);
  CHECK(pair.BackupReaches(BackupState::kProtecting));
  (void)first.control.link.Send(wire::Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{})).ok();
  CHECK(pair.BackupReaches(BackupState::kWaiting));
  first.Close();
  AwaitNoSession();

  pair.activator.machine = "cpus = 2\n";
  HandMadeSession second(pair.listener.port());
  STRCMP_CONTAINS("another machine", Answer(second, "cpus = 1\n").c_str());
  second.Close();
  AwaitNoSession();
  CHECK_FALSE(second.backup.Has(wire::kIdentityPartial));
  HandMadeSession third(pair.listener.port());
  third.Identify();
  CHECK_FALSE(third.backup.Has(wire::kIdentityPartial));
  third.Close();
}

TEST(Machines, AreToldOnceAndAsLines) {
  pair.StartBackup();
  {
    HandMadeSession session(pair.listener.port());
    session.Identify();
    const Bytes body = wire::Encode(wire::Machine{"cpus = 1\n"});
    for (int i = 0; i < 2; i++) (void)session.control.link.Send(wire::Type::kMachine, 0, body).ok();
    STRCMP_EQUAL("1 a second MACHINE in one session, or one after LAYOUT", session.control.Error().c_str());
  }
  AwaitNoSession();
  {
    HandMade control(pair.listener.port(), wire::Connection::kControl);
    control.Token();
    (void)control.link.Send(wire::Type::kMachine, 0, wire::Encode(wire::Machine{})).ok();
    STRCMP_EQUAL("1 MACHINE before IDENTITY", control.Error().c_str());
  }
  AwaitNoSession();
  HandMadeSession session(pair.listener.port());
  STRCMP_EQUAL("MACHINE record: a line says nothing of anything", Answer(session, "cpus\n").c_str());
}

TEST(Machines, ThatCannotBeStartedAreRefusedUnlessThisRunOfTheGuestHadOne) {
  pair.activator.prepare_fails = {StatusCode::kRefused, "it says no"};
  pair.StartBackup();
  pair.StartPrimary();
  CHECK(pair.PrimaryReaches(PrimaryState::kRefused));
  STRCMP_EQUAL("the backup says: it says no", pair.Query().message.c_str());
  pair.EndPrimary();

  pair.activator.prepare_fails = Status::Ok();
  pair.primary_options.life[0] = 2;
  pair.StartPrimary();
  CHECK(pair.Protects());
  pair.activator.prepare_fails = {StatusCode::kRefused, "it says no"};
  pair.EndBackup();
  pair.StartBackup();
  CHECK(pair.PrimaryReaches(PrimaryState::kUnprotected));
  CHECK(Eventually([&] { return pair.Query().message == "the backup says: it says no"; }));
  pair.activator.prepare_fails = Status::Ok();
  CHECK(pair.Protects());
}
