// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon reads its configuration again, while primaries come and go.

#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <unistd.h>

#include "havend/daemon.h"
#include "qmp/line_socket.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/free_port.h"
#include "tests/unit/session_pair.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using haven::blkrep::test::TempFolder;
using haven::havend::Daemon;
using haven::havend::LoadConfig;
using haven::qmp::Json;
using haven::qmp::LineSocket;
using haven::session::test::Eventually;
using haven::session::test::HandMade;
using haven::session::test::HandMadeSession;
using haven::test::CapturedLog;
using haven::test::FreePort;

namespace {

/// All sentences of "done" or "not_done", each with a line feed behind.
std::string Lines(const Json& sentences) {
  std::string text;
  for (const Json& one : sentences.Elements()) text += one.String() + "\n";
  return text;
}

}  // namespace

TEST_GROUP(HavendReload) {
  TempFolder folder;
  const std::string file = folder.File("havend.conf");
  const std::string port = FreePort();
  const std::string head = "[havend]\nlisten = 127.0.0.1:" + port +
                           "\ninsecure = yes\nstate-dir = " + folder.File("state") +
                           "\nrun-dir = " + folder.File("run") + "\n";
  std::unique_ptr<Daemon> daemon;

  void teardown() override { daemon.reset(); }
  void Write(const std::string& text) { std::ofstream(file) << text; }
  void Start(const std::string& guests) {
    Write(head + guests);
    auto config = LoadConfig(file);
    CHECK_TRUE_TEXT(config.ok(), config.status().message().c_str());
    auto started = Daemon::Start(config.value());
    CHECK_TRUE_TEXT(started.ok(), started.status().message().c_str());
    daemon = std::move(started.value());
  }
  /// A group whose device model says yes to all, as one that waits.
  std::string Guest(const std::string& name, const std::string& more = "", const std::string& disk = "") {
    return "[guest " + name +
           "]\ncommand = " + std::filesystem::canonical(getenv("srcdir") ? getenv("srcdir") : ".").string() +
           "/tests/unit/havend_fake_qemu.py -say /dev/null\ncreate = yes\ndeadline-ms = 60000\ndisk.vda = " +
           folder.File(disk.empty() ? name + "-vda" : disk) + "\n" + more;
  }
  Json Ask(const std::string& line) {
    auto socket = LineSocket::Connect(folder.File("run/havend.sock"));
    CHECK_TRUE_TEXT(socket.ok(), socket.status().message().c_str());
    CHECK_TRUE(socket.value().Write(line).ok());
    auto answer = socket.value().Read(milliseconds(60000));
    CHECK_TRUE_TEXT(answer.ok(), answer.status().message().c_str());
    return Json::Parse(answer.value()).value();
  }
  /// @return what was done, and behind "not:" what was not; or the error.
  std::string Reload() {
    const Json answer = Ask("{\"command\":\"reload\"}");
    if (!answer["ok"].Bool()) return answer["error"].String();
    const std::string not_done = Lines(answer["not_done"]);
    return Lines(answer["done"]) + (not_done.empty() ? "" : "not: " + not_done);
  }
  Json StatusOf(const std::string& name) {
    for (const Json& guest : Ask("{\"command\":\"status\"}")["guests"].Elements()) {
      if (guest["name"].String() == name) return guest;
    }
    return {};
  }
  bool Reaches(const std::string& name, const std::string& state) {
    return Eventually([&] { return StatusOf(name)["state"].String() == state; });
  }
  std::unique_ptr<HandMadeSession> Protect(const std::string& name) {
    auto session = std::make_unique<HandMadeSession>(port, name);
    CHECK(session->SendLayout().header.type == wire::Type::kLayoutReply);
    session->device_state = haven::test::FromHex("5145564d 00000003 04aa00");  // the head of a QEMU stream
    session->SendEpoch(1);
    CHECK(session->control.Next().header.type == wire::Type::kCommitted);
    CHECK_TRUE(Reaches(name, "protecting"));
    return session;
  }
};

TEST(HavendReload, AddsRemovesAndReplacesGuestsThatNobodyUses) {
  Start(Guest("web1") + Guest("web2") + Guest("web3"));
  Write(head + Guest("web3") + Guest("web2", "promote = manual\ndisk-ack = durable\n") + Guest("web4"));
  STRCMP_EQUAL("guest web1: removed\nguest web2: replaced\nguest web4: added\n", Reload().c_str());
  STRCMP_EQUAL("", StatusOf("web1")["state"].String().c_str());
  STRCMP_EQUAL("waiting", StatusOf("web4")["state"].String().c_str());
  STRCMP_EQUAL("", Reload().c_str());
  Protect("web4");
  HandMade gone(port, wire::Connection::kControl, {}, "web1");
  STRCMP_CONTAINS("this backup's configuration has no guest named 'web1'", gone.Error().c_str());
}

TEST(HavendReload, KeepsAGuestThatHasASessionAndSaysSo) {
  Start(Guest("web1") + Guest("web2"));
  auto session = Protect("web1");
  Write(head + Guest("web1", "memory-limit-mb = 1\n") + Guest("web2", "memory-limit-mb = 1\n"));
  const std::string kept =
      "is another in " + file + ", and stays as it was: guest web1 has a session with its primary " +
      StatusOf("web1")["primary"].String() + ": run haven unprotect there first; then run haven reload";
  STRCMP_EQUAL(("guest web2: replaced\nnot: guest web1: " + kept + "\n").c_str(), Reload().c_str());
  STRCMP_EQUAL("protecting", StatusOf("web1")["state"].String().c_str());
  STRCMP_EQUAL(kept.c_str(), StatusOf("web1")["message"].String().c_str());
  session->SendEpoch(2);
  CHECK(session->control.Next().header.type == wire::Type::kCommitted);
  // As it was in the file before: there is nothing to be said of it any more.
  Write(head + Guest("web1") + Guest("web2", "memory-limit-mb = 1\n"));
  STRCMP_EQUAL("", Reload().c_str());
  STRCMP_EQUAL("", StatusOf("web1")["message"].String().c_str());
}

TEST(HavendReload, KeepsAGuestWhoseCheckpointWaitsUntilThatIsDecided) {
  Start(Guest("web1") + Guest("web2"));
  Protect("web1")->Close();
  CHECK_TRUE(Reaches("web1", "primary-lost"));
  Write(head + Guest("web2"));
  STRCMP_CONTAINS("not: guest web1: is not in ", Reload().c_str());
  STRCMP_CONTAINS("a checkpoint of guest web1 waits here: run haven failover web1 or haven discard web1 first",
                  StatusOf("web1")["message"].String().c_str());
  CHECK_TRUE(Ask("{\"command\":\"discard\",\"guest\":\"web1\"}")["ok"].Bool());
  STRCMP_EQUAL("guest web1: removed\n", Reload().c_str());
}

TEST(HavendReload, KeepsAGuestThatRunsHere) {
  Start(Guest("web1") + Guest("web2"));
  Protect("web1")->Close();
  CHECK_TRUE(Reaches("web1", "primary-lost"));
  const Json started = Ask("{\"command\":\"failover\",\"guest\":\"web1\",\"force\":true}");
  CHECK_TRUE_TEXT(started["ok"].Bool(), started["error"].String().c_str());
  Write(head + Guest("web2"));
  STRCMP_CONTAINS("guest web1 runs here: shut it down first", Reload().c_str());
  const pid_t pid = static_cast<pid_t>(StatusOf("web1")["pid"].Int());
  CHECK(pid > 0);
  kill(pid, SIGKILL);
  CHECK_TRUE(Eventually([&] { return StatusOf("web1")["pid"].Int() == 0; }));
  STRCMP_EQUAL("guest web1: removed\n", Reload().c_str());
}

TEST(HavendReload, ChangesNothingWhenTheFileIsWrongAndNamesTheLine) {
  CapturedLog log(folder.File("log"));
  Start(Guest("web1") + Guest("web2"));
  Write(head + Guest("web3") + "deadline-ms = soon\n");
  STRCMP_CONTAINS((file + ": line ").c_str(), Reload().c_str());
  Write(head + "[guest web3]\ncommand = /bin/false\npromote = perhaps\n");
  const std::string error = file + ": line 8: [guest web3] promote: must be manual or auto, not 'perhaps'";
  STRCMP_EQUAL(error.c_str(), Reload().c_str());
  CHECK_EQUAL(1u, log.Count("nothing has changed: " + error));
  STRCMP_EQUAL("waiting", StatusOf("web1")["state"].String().c_str());
  std::filesystem::remove(file);
  STRCMP_CONTAINS("cannot read the configuration ", Reload().c_str());
  STRCMP_EQUAL("waiting", StatusOf("web2")["state"].String().c_str());
}

TEST(HavendReload, NamesWhatNeedsARestart) {
  Start(Guest("web1"));
  Write("[havend]\nlisten = 127.0.0.1:1\ninsecure = yes\nstate-dir = /elsewhere\nrun-dir = " + folder.File("run") +
        "\nshare-memory-mb = 7\nhalf-open-limit = 9\n" + Guest("web1") + Guest("web2"));
  STRCMP_EQUAL(
      "guest web2: added\n"
      "not: [havend] listen: is as before until havend is restarted\n"
      "[havend] state-dir: is as before until havend is restarted\n"
      "[havend] share-memory-mb: is as before until havend is restarted\n"
      "[havend] half-open-limit: is as before until havend is restarted\n",
      Reload().c_str());
  CHECK_TRUE(std::filesystem::exists(folder.File("state/web2")));
}

TEST(HavendReload, GivesNoGuestTheDiskOfOneThatStays) {
  Start(Guest("web1"));
  auto session = Protect("web1");
  Write(head + Guest("web1", "", "other") + Guest("web2", "", "web1-vda"));
  const std::string said = Reload();
  STRCMP_CONTAINS("guest web1: is another in ", said.c_str());
  STRCMP_CONTAINS(("guest web2: cannot be used: " + folder.File("web1-vda") +
                   " is a disk of guest web1, which stays as it was; mend it, then run haven reload")
                      .c_str(),
                  said.c_str());
  STRCMP_EQUAL("failed", StatusOf("web2")["state"].String().c_str());
  session->Close();
  CHECK_TRUE(Reaches("web1", "primary-lost"));
  CHECK_TRUE(Ask("{\"command\":\"discard\",\"guest\":\"web1\"}")["ok"].Bool());
  STRCMP_EQUAL("guest web1: replaced\nguest web2: replaced\n", Reload().c_str());
  STRCMP_EQUAL("waiting", StatusOf("web2")["state"].String().c_str());
}

TEST(HavendReload, TakesAGuestThatWasMended) {
  std::filesystem::create_directories(folder.File("state"));
  std::ofstream(folder.File("state/web1")) << "where its folder should be";
  Start(Guest("web1"));
  STRCMP_CONTAINS("mend it, then run haven reload", StatusOf("web1")["message"].String().c_str());
  STRCMP_CONTAINS("not: guest web1: cannot be used: cannot make ", Reload().c_str());
  std::filesystem::remove(folder.File("state/web1"));
  STRCMP_EQUAL("guest web1: replaced\n", Reload().c_str());
  Protect("web1");
}

TEST(HavendReload, PrimariesThatComeMeanwhileAreTakenOrToldWhyAndNothingIsLost) {
  Start(Guest("web0") + Guest("web1") + Guest("web2") + Guest("web3"));
  auto steady = Protect("web0");
  std::atomic<bool> over{false};
  std::atomic<int> taken{0}, refused{0};
  std::vector<std::thread> primaries;
  for (int number = 1; number <= 3; number++) {
    primaries.emplace_back([&, name = "web" + std::to_string(number)] {
      while (!over) {
        HandMade primary(port, wire::Connection::kControl, {}, name);
        const Record answer = primary.Next();
        (answer.header.type == wire::Type::kHelloReply ? taken : refused)++;
      }
    });
  }
  primaries.emplace_back([&] {
    while (!over) (void)Ask("{\"command\":\"status\"}");
  });
  for (int round = 0; round < 40; round++) {
    const std::string odd = "memory-limit-mb = " + std::to_string(round + 1) + "\n";
    Write(head + Guest("web0") + Guest("web1", odd) + (round % 2 == 0 ? "" : Guest("web2")) + Guest("web3", odd));
    (void)Reload();
  }
  CHECK_TRUE(Eventually([&] { return taken > 20; }));
  over = true;
  for (auto& thread : primaries) thread.join();
  steady->SendEpoch(2);
  CHECK(steady->control.Next().header.type == wire::Type::kCommitted);
  Write(head + Guest("web0") + Guest("web1") + Guest("web2") + Guest("web3"));
  // Sessions of which only the beginning came have to end first.
  CHECK_TRUE(Eventually([&] { return Reload().find("not:") == std::string::npos; }));
  for (const char* name : {"web1", "web2", "web3"}) Protect(name);
}
