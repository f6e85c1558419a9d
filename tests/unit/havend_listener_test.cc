// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/listener.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/fake_clock.h"
#include "tests/unit/session_fakes.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using haven::havend::Listener;
using haven::havend::ListenTcp;
using haven::session::test::Eventually;

namespace {

constexpr milliseconds kLong{10000};

uint16_t PortOf(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

}  // namespace

TEST_GROUP(HavendListener) {
  haven::test::FakeClock clock;
  std::string port;
  std::mutex mutex;
  std::vector<std::string> attached;  // under mutex
  std::unique_ptr<Listener> listener;

  void teardown() override { listener.reset(); }

  void Listen(milliseconds hello_timeout, size_t half_open_limit = 64) {
    Result<int> fd = ListenTcp("127.0.0.1", "0");
    CHECK_TRUE(fd.ok());
    port = std::to_string(PortOf(fd.value()));
    listener = std::make_unique<Listener>(
        fd.value(), hello_timeout, half_open_limit,
        [this](std::unique_ptr<Link>& link, const wire::Hello& hello) {
          if (hello.guest == "broken") return Status(StatusCode::kEnvironment, "its folder is no folder");
          if (hello.guest != "web1") return Status(StatusCode::kInvalid, "no guest named '" + hello.guest + "'");
          std::lock_guard<std::mutex> lock(mutex);
          attached.push_back(hello.guest);
          [[maybe_unused]] Status sent = link->Send(wire::Type::kHelloReply, 0, wire::Encode(wire::HelloReply{}));
          link.reset();
          return Status::Ok();
        },
        clock);
  }
  std::unique_ptr<Link> Connect() {
    auto link = Link::Connect("127.0.0.1", port, kLong);
    CHECK_TRUE(link.ok());
    return std::move(link.value());
  }
  /// Has said HELLO.
  std::unique_ptr<Link> ConnectFor(const std::string& guest) {
    auto link = Connect();
    wire::Hello hello;
    hello.guest = guest;
    CHECK_TRUE(link->Send(wire::Type::kHello, 0, wire::Encode(hello)).ok());
    return link;
  }
  wire::ErrorBody ErrorAfter(Link & link) {
    Record record;
    Status received = link.Receive(record, kLong);
    CHECK_TRUE_TEXT(received.ok(), received.message().c_str());
    CHECK(record.header.type == wire::Type::kError);
    auto error = wire::DecodeError(record.body);
    CHECK_TRUE(error.ok());
    return error.value();
  }
};

TEST(HavendListener, PassesOnAConnectionForAGuestItKnows) {
  Listen(kLong);
  auto link = ConnectFor("web1");
  Record record;
  CHECK_TRUE(link->Receive(record, kLong).ok());
  CHECK(record.header.type == wire::Type::kHelloReply);
  std::lock_guard<std::mutex> lock(mutex);
  CHECK_EQUAL(1u, attached.size());
}

TEST(HavendListener, NamesTheGuestThatItDoesNotKnow) {
  Listen(kLong);
  auto link = ConnectFor("mail");
  wire::ErrorBody error = ErrorAfter(*link);
  CHECK(error.code == wire::Error::kUnknownGuest);
  STRCMP_CONTAINS("no guest named 'mail'", error.message.c_str());
}

TEST(HavendListener, SaysWhyAGuestCannotBeProtected) {
  Listen(kLong);
  auto link = ConnectFor("broken");
  wire::ErrorBody error = ErrorAfter(*link);
  CHECK(error.code == wire::Error::kEnvironment);
  STRCMP_EQUAL("its folder is no folder", error.message.c_str());
}

TEST(HavendListener, RefusesAFirstRecordThatIsNoHello) {
  Listen(kLong);
  auto link = Connect();
  CHECK_TRUE(link->Send(wire::Type::kHeartbeat, 0, wire::Encode(wire::Heartbeat{})).ok());
  wire::ErrorBody error = ErrorAfter(*link);
  CHECK(error.code == wire::Error::kProtocol);
  STRCMP_CONTAINS("the first record must be HELLO", error.message.c_str());
}

TEST(HavendListener, RefusesAMalformedHello) {
  Listen(kLong);
  auto link = Connect();
  const Bytes garbage(3, 0xff);
  CHECK_TRUE(link->Send(wire::Type::kHello, 0, ByteSpan(garbage)).ok());
  CHECK(ErrorAfter(*link).code == wire::Error::kProtocol);
}

TEST(HavendListener, SurvivesOctetsThatAreNoProtocolAtAll) {
  Listen(kLong);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(port)));
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQUAL(0, connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)));
  const std::string text = "GET / HTTP/1.1\r\nHost: backup\r\nUser-Agent: x\r\n\r\n";
  CHECK_EQUAL(static_cast<ssize_t>(text.size()), send(fd, text.data(), text.size(), MSG_NOSIGNAL));
  char answer[4096];
  while (recv(fd, answer, sizeof(answer), 0) > 0) {
  }
  close(fd);
  auto link = ConnectFor("web1");
  Record record;
  CHECK_TRUE(link->Receive(record, kLong).ok());
}

TEST(HavendListener, ClosesAConnectionThatSaysNothing) {
  Listen(milliseconds(5000));
  auto link = Connect();
  Record record;
  CHECK(clock.IsAwaited(milliseconds(5000)));
  clock.Pass(milliseconds(4999));
  CHECK(clock.IsAwaited(milliseconds(1)));
  CHECK_FALSE(link->Receive(record, milliseconds(0)).ok());
  clock.Pass(milliseconds(1));
  CHECK_FALSE(link->Receive(record, kLong).ok());
}

TEST(HavendListener, HasRoomForAPrimaryWhenManySayNothing) {
  Listen(milliseconds(600000));
  std::vector<std::unique_ptr<Link>> silent;
  for (int i = 0; i < 200; i++) silent.push_back(Connect());
  auto link = ConnectFor("web1");
  Record record;
  const Status received = link->Receive(record, kLong);
  CHECK_TRUE_TEXT(received.ok(), received.message().c_str());
  CHECK(record.header.type == wire::Type::kHelloReply);
  // Those that came first made way.
  CHECK(silent.front()->Receive(record, kLong).code() == StatusCode::kPeerLost);
}

TEST(HavendListener, ClosesWhoHasSaidNothingForLongestAtItsLimitAndCountsDownAgain) {
  Listen(milliseconds(600000), 8);
  std::vector<std::unique_ptr<Link>> silent;
  for (size_t i = 1; i <= 8; i++) {
    silent.push_back(Connect());
    CHECK(Eventually([&] { return listener->half_open() == i; }));
  }
  silent.push_back(Connect());
  Record record;
  CHECK(silent[0]->Receive(record, kLong).code() == StatusCode::kPeerLost);
  CHECK_EQUAL(8, listener->half_open());
  for (auto& link : silent) link->Close();
  CHECK(Eventually([&] { return listener->half_open() == 0; }));
}

TEST(HavendListener, EndsWhileConnectionsSayNothing) {
  Listen(milliseconds(600000));
  auto first = Connect();
  auto second = Connect();
  listener.reset();
  Record record;
  CHECK_FALSE(first->Receive(record, kLong).ok());
  CHECK_FALSE(second->Receive(record, kLong).ok());
}

TEST(HavendListener, NamesAnAddressThatItCannotListenOn) {
  Result<int> fd = ListenTcp("192.0.2.1", "7789");
  CHECK_FALSE(fd.ok());
  STRCMP_CONTAINS("listen = 192.0.2.1:7789: cannot listen: ", fd.status().message().c_str());
}
