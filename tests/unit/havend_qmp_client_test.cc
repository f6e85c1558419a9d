// SPDX-License-Identifier: GPL-2.0-or-later
#include "qmp/client.h"

#include <cstring>
#include <memory>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <CppUTest/TestHarness.h>

using haven::milliseconds;
using haven::Result;
using haven::StatusCode;
using haven::qmp::Client;
using haven::qmp::Json;
using haven::qmp::LineSocket;

namespace {

constexpr char kGreeting[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";
constexpr char kReady[] = "{\"return\": {}, \"id\": 1}\r\n";

}  // namespace

/// The device model's answers are put into the socket before they are asked for.
TEST_GROUP(HavendQmpClient) {
  int ours = -1;
  int theirs = -1;
  void setup() override {
    int pair[2];
    CHECK_EQUAL(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    ours = pair[0];
    theirs = pair[1];
  }
  void teardown() override {
    if (theirs >= 0) close(theirs);
  }
  void Say(const std::string& text) {
    CHECK_EQUAL(static_cast<ssize_t>(text.size()), write(theirs, text.data(), text.size()));
  }
  void HangUp() {
    close(theirs);
    theirs = -1;
  }
  std::unique_ptr<Client> Started() {
    Say(kGreeting);
    Say(kReady);
    auto client = Client::Start(LineSocket(ours), milliseconds(5000));
    CHECK_TRUE(client.ok());
    return std::move(client.value());
  }
  std::string Heard() {
    char text[4096];
    ssize_t got = recv(theirs, text, sizeof(text), MSG_DONTWAIT);
    return std::string(text, got > 0 ? static_cast<size_t>(got) : 0);
  }
};

TEST(HavendQmpClient, NegotiatesAndReturnsTheValueOfAnAnswer) {
  auto client = Started();
  Say("{\"return\": {\"status\": \"running\"}, \"id\": 2}\n");
  Result<Json> answer = client->Execute("query-status");
  CHECK_TRUE(answer.ok());
  STRCMP_EQUAL("running", answer.value()["status"].String().c_str());
  STRCMP_EQUAL("{\"execute\":\"qmp_capabilities\",\"id\":1}\n{\"execute\":\"query-status\",\"id\":2}\n",
               Heard().c_str());
}

TEST(HavendQmpClient, KeepsEventsThatComeBeforeAnAnswer) {
  auto client = Started();
  Say("{\"event\": \"STOP\"}\n{\"event\": \"RESUME\"}\n{\"return\": 5, \"id\": 2}\n");
  CHECK_EQUAL(5, client->Execute("x").value().Int());
  STRCMP_EQUAL("STOP", client->NextEvent(milliseconds(0)).value()["event"].String().c_str());
  STRCMP_EQUAL("RESUME", client->NextEvent(milliseconds(0)).value()["event"].String().c_str());
  CHECK_FALSE(client->NextEvent(milliseconds(0)).ok());
  CHECK_TRUE(client->timed_out());
}

TEST(HavendQmpClient, PassesOnTheReasonOfARefusal) {
  auto client = Started();
  Say("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such\"}, \"id\": 2}\n");
  Result<Json> answer = client->Execute("haven-start");
  CHECK(answer.status().code() == StatusCode::kRefused);
  STRCMP_EQUAL("no such", answer.status().message().c_str());
  STRCMP_EQUAL("CommandNotFound", client->error_class().c_str());
}

TEST(HavendQmpClient, PassesOverTheAnswerToACommandThatWasGivenUp) {
  auto client = Started();
  CHECK_FALSE(client->Execute("slow", {}, milliseconds(0)).ok());
  Say("{\"return\": 1, \"id\": 2}\n{\"return\": 2, \"id\": 3}\n");
  CHECK_EQUAL(2, client->Execute("next").value().Int());
}

TEST(HavendQmpClient, NoticesThatTheDeviceModelIsGone) {
  auto client = Started();
  HangUp();
  Result<Json> answer = client->Execute("query-status");
  CHECK(answer.status().code() == StatusCode::kPeerLost);
  STRCMP_CONTAINS("query-status: ", answer.status().message().c_str());
}

TEST(HavendQmpClient, RefusesASocketThatSpeaksAnotherLanguage) {
  Say("220 mail ready\n");
  CHECK_FALSE(Client::Start(LineSocket(ours), milliseconds(5000)).ok());
}

TEST(HavendQmpClient, RefusesASocketThatSpeaksAnotherKindOfJson) {
  Say("{\"jsonrpc\": \"2.0\"}\n");
  auto client = Client::Start(LineSocket(ours), milliseconds(5000));
  CHECK(client.status().code() == StatusCode::kProtocol);
}

TEST(HavendQmpClient, PassesOverWhatWasMeantForTheLastClient) {
  Say("{\"event\": \"RESUME\"}\n{\"return\": {}, \"id\": 1}\n{\"error\": {}, \"id\": 2}\n");
  auto client = Started();
  Say("{\"return\": 7, \"id\": 2}\n");
  CHECK_EQUAL(7, client->Execute("x").value().Int());
}

TEST(HavendQmpClient, SendsADescriptorWithTheCommand) {
  auto client = Started();
  Heard();
  Say("{\"return\": {}, \"id\": 2}\n");
  int pipe_ends[2];
  CHECK_EQUAL(0, pipe(pipe_ends));
  CHECK_TRUE(client->Execute("getfd", {}, milliseconds(5000), pipe_ends[0]).ok());
  char text[256];
  iovec part{text, sizeof(text)};
  alignas(cmsghdr) char control[64];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  CHECK(recvmsg(theirs, &message, MSG_DONTWAIT) > 0);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  CHECK(header != nullptr);
  CHECK_EQUAL(SCM_RIGHTS, header->cmsg_type);
  int received;
  memcpy(&received, CMSG_DATA(header), sizeof(received));
  // It is the same pipe: what goes in at its other end comes out here.
  CHECK_EQUAL(1, write(pipe_ends[1], "x", 1));
  CHECK_EQUAL(1, read(received, text, 1));
  for (int fd : {received, pipe_ends[0], pipe_ends[1]}) close(fd);
}
