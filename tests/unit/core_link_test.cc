// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/link.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "core/assert.h"
#include "tests/unit/core_support.h"
#include "tests/unit/fake_clock.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::test;

namespace {

constexpr milliseconds kLong{20000};

/// A socket with a port of loopback.
std::pair<int, std::string> BoundSocket() {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  HAVEN_ASSERT(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  socklen_t size = sizeof(address);
  HAVEN_ASSERT(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return {fd, std::to_string(ntohs(address.sin_port))};
}

/// A call that waits, on a thread of its own. A test that fails ends it, too.
class Waiting {
 public:
  /// @param link  nullptr: the call ends with its time at the latest.
  Waiting(FakeClock& clock, Link* link, std::function<Status()> call)
      : clock_(clock), link_(link), thread_([this, call] { status_ = call(); }) {}
  ~Waiting() {
    if (!thread_.joinable()) return;
    if (link_ != nullptr) link_->Close();
    clock_.Pass(std::chrono::hours(1000));
    thread_.join();
  }
  /// What the call has returned.
  Status Join() {
    thread_.join();
    return status_;
  }

 private:
  FakeClock& clock_;
  Link* link_;
  Status status_;
  std::thread thread_;
};

}  // namespace

TEST_GROUP(LinkOverTcp){};

TEST(LinkOverTcp, SaysWhatTheConnectionDelivers) {
  auto [listener, port] = BoundSocket();
  HAVEN_ASSERT(listen(listener, 1) == 0);
  auto sender = std::move(Link::Connect("127.0.0.1", port, kLong).value());
  Link receiver(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  close(listener);
  Record record;
  for (int i = 0; i < 8; i++) {
    HAVEN_CHECK_OK(sender->Send(wire::Type::kPages, 1, Bytes(256 * 1024)));
    HAVEN_CHECK_OK(receiver.Receive(record, kLong));
  }
  CHECK(sender->DeliveryRate() > 0);
}

TEST_GROUP(Link) {
  FakeClock clock;
  int raw = -1;  ///< the other end, without a Link
  std::unique_ptr<Link> link;
  Record record;

  void setup() override {
    int ends[2];
    HAVEN_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    link = std::make_unique<Link>(ends[0], clock);
    raw = ends[1];
  }
  void teardown() override { CloseRaw(); }
  void CloseRaw() {
    if (raw >= 0) close(raw);
    raw = -1;
  }
  void Write(const Bytes& octets) {
    CHECK_EQUAL(static_cast<ssize_t>(octets.size()), write(raw, octets.data(), octets.size()));
  }
  Bytes Read(size_t bytes) {
    Bytes out(bytes);
    size_t at = 0;
    while (at < bytes) {
      ssize_t n = read(raw, out.data() + at, bytes - at);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    out.resize(at);
    return out;
  }
};

TEST(Link, DoesNotKnowTheRateWithoutTcp) { CHECK_EQUAL(0, link->DeliveryRate()); }

TEST(Link, SendsRecordsWithTheirNumbers) {
  Bytes one{1, 2}, two{3};
  ByteSpan parts[] = {one, {}, two};
  HAVEN_CHECK_OK(link->Send(wire::Type::kPages, 7, parts));
  HAVEN_CHECK_OK(link->Send(wire::Type::kCommitted, 8, ByteSpan{}));
  Bytes expected = RecordOctets(wire::Type::kPages, 7, 0, Bytes{1, 2, 3});
  Bytes second = RecordOctets(wire::Type::kCommitted, 8, 1, {});
  expected.insert(expected.end(), second.begin(), second.end());
  CHECK(expected == Read(expected.size()));
}

TEST(Link, ReceivesRecordsWhateverPiecesTheyComeIn) {
  Bytes octets = RecordOctets(wire::Type::kDiskAck, 3, 0, FromHex("0100000000000000"));
  Bytes second = RecordOctets(wire::Type::kCommitted, 4, 1, {});
  octets.insert(octets.end(), second.begin(), second.end());
  std::thread writer([&] {
    for (uint8_t octet : octets) HAVEN_ASSERT(write(raw, &octet, 1) == 1);
  });
  HAVEN_CHECK_OK(link->Receive(record, kLong));
  CHECK(record.header.type == wire::Type::kDiskAck);
  CHECK_EQUAL(3, record.header.epoch);
  CHECK(record.body == FromHex("0100000000000000"));
  HAVEN_CHECK_OK(link->Receive(record, kLong));
  CHECK(record.header.type == wire::Type::kCommitted);
  CHECK(record.body.empty());
  writer.join();
}

TEST(Link, SendsMoreThanTheSocketHoldsWhileThePeerReadsSlowly) {
  Bytes body(wire::kMaxBodyBytes);
  for (size_t i = 0; i < body.size(); i++) body[i] = static_cast<uint8_t>(i * 13 >> 3);
  std::vector<ByteSpan> parts;  // more pieces than one call to the system takes
  for (size_t at = 0; at < body.size(); at += 4000)
    parts.push_back(ByteSpan(body).subspan(at, std::min<size_t>(4000, body.size() - at)));
  Status sent;
  std::thread sender([&] { sent = link->Send(wire::Type::kPages, 1, parts); });
  Bytes octets = Read(wire::kHeaderBytes + body.size());
  sender.join();
  HAVEN_CHECK_OK(sent);
  CHECK(octets == RecordOctets(wire::Type::kPages, 1, 0, body));
}

TEST(Link, KeepsRecordsOfSeveralSendersWhole) {
  constexpr int kEach = 200;
  std::vector<std::thread> senders;
  for (int s = 0; s < 4; s++) {
    senders.emplace_back([&, s] {
      Bytes body(1000, static_cast<uint8_t>(s));
      for (int i = 0; i < kEach; i++) HAVEN_ASSERT(link->Send(wire::Type::kPages, 1, body).ok());
    });
  }
  Link receiver(dup(raw));
  for (int i = 0; i < 4 * kEach; i++) {
    Status status = receiver.Receive(record, kLong);
    if (!status.ok()) break;
    CHECK(record.body == Bytes(1000, record.body[0]));
    CHECK_EQUAL(static_cast<uint32_t>(i), record.header.sequence);
  }
  for (auto& sender : senders) sender.join();
}

TEST(Link, SaysThatThePeerHasClosedWhereverTheStreamEnds) {
  Bytes octets = RecordOctets(wire::Type::kDiskAck, 3, 0, FromHex("0100000000000000"));
  for (size_t cut = 0; cut < octets.size(); cut++) {
    teardown();
    setup();
    Write(Bytes(octets.begin(), octets.begin() + static_cast<ptrdiff_t>(cut)));
    CloseRaw();
    HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the peer closed the connection", link->Receive(record, kLong));
  }
}

TEST(Link, SaysThatNothingCameInTime) {
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the peer did not answer in time", link->Receive(record, milliseconds(0)));
  Waiting receiver(clock, link.get(), [&] { return link->Receive(record, milliseconds(1000)); });
  CHECK(clock.IsAwaited(milliseconds(1000)));
  clock.Pass(milliseconds(999));
  CHECK(clock.IsAwaited(milliseconds(1)));
  clock.Pass(milliseconds(1));
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the peer did not answer in time", receiver.Join());
}

TEST(Link, TakesARecordThatIsNotWholeInTimeForNone) {
  Bytes octets = RecordOctets(wire::Type::kCommitted, 1, 0, {});
  Waiting receiver(clock, link.get(), [&] { return link->Receive(record, milliseconds(1000)); });
  CHECK(clock.IsAwaited(milliseconds(1000)));
  for (size_t i = 0; i < 4; i++) {  // each octet does not buy a new deadline
    Write({octets[i]});
    CHECK(clock.IsAwaited(milliseconds(1000 - 250 * static_cast<int>(i))));
    clock.Pass(milliseconds(250));
  }
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the peer did not answer in time", receiver.Join());
}

TEST(Link, TakesWhatHasComeEvenIfItLooksLate) {
  Write(RecordOctets(wire::Type::kCommitted, 1, 0, {}));
  clock.Pass(milliseconds(5000));
  HAVEN_CHECK_OK(link->Receive(record, milliseconds(0)));
}

TEST(Link, WaitsForEverWithoutADeadline) {
  Waiting receiver(clock, link.get(), [&] { return link->Receive(record); });
  clock.Pass(std::chrono::hours(1000));
  Write(RecordOctets(wire::Type::kCommitted, 1, 0, {}));
  HAVEN_CHECK_OK(receiver.Join());
}

TEST(Link, RefusesASequenceWithAGapOrARepetition) {
  for (uint32_t second : {0u, 2u, UINT32_MAX}) {
    teardown();
    setup();
    Write(RecordOctets(wire::Type::kCommitted, 1, 0, {}));
    Write(RecordOctets(wire::Type::kCommitted, 2, second, {}));
    HAVEN_CHECK_OK(link->Receive(record, kLong));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record is missing or was sent twice", link->Receive(record, kLong));
  }
}

TEST(Link, RefusesABodyWithAnyBitFlipped) {
  const Bytes octets = RecordOctets(wire::Type::kDiskAck, 3, 0, FromHex("0100000000000000"));
  for (size_t bit = wire::kHeaderBytes * 8; bit < octets.size() * 8; bit++) {
    teardown();
    setup();
    Bytes flipped = octets;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    Write(flipped);
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "the checksum of a record's body is wrong", link->Receive(record, kLong));
  }
}

TEST(Link, PassesOverRecordsOfAnUnknownOptionalType) {
  Write(RecordOctets(static_cast<wire::Type>(0x7FF0), 0, 0, Bytes(3000, 1), true));
  Write(RecordOctets(static_cast<wire::Type>(0x0055), 0, 1, {}, true));
  Write(RecordOctets(wire::Type::kCommitted, 1, 2, {}));
  HAVEN_CHECK_OK(link->Receive(record, kLong));
  CHECK(record.header.type == wire::Type::kCommitted);
  CHECK_EQUAL(2, record.header.sequence);
}

TEST(Link, ChecksTheBodyOfRecordsThatItPassesOver) {
  Bytes octets = RecordOctets(static_cast<wire::Type>(0x7FF0), 0, 0, Bytes(3, 1), true);
  octets.back() ^= 1;
  Write(octets);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "the checksum of a record's body is wrong", link->Receive(record, kLong));
}

TEST(Link, RefusesAnUnknownMandatoryType) {
  Bytes octets = RecordOctets(wire::Type::kCommitted, 1, 0, {});
  octets[4] = 0x70;
  MendChecksums(octets);
  Write(octets);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record: mandatory type 112 is unknown", link->Receive(record, kLong));
}

TEST(Link, CloseEndsAReceiveAndASendThatWait) {
  Status received, sent;
  std::thread receiver([&] {
    Record other;
    received = link->Receive(other);
  });
  std::thread sender([&] {
    Bytes body(1 << 20);
    while (sent.ok()) sent = link->Send(wire::Type::kPages, 1, body);
  });
  uint8_t octet;
  CHECK_EQUAL(1, read(raw, &octet, 1));  // the sender is at work
  link->Close();
  receiver.join();
  sender.join();
  CHECK(received.code() == StatusCode::kPeerLost);
  CHECK(sent.code() == StatusCode::kPeerLost);
  link->Close();
  CHECK(link->Send(wire::Type::kCommitted, 1, ByteSpan{}).code() == StatusCode::kPeerLost);
}

TEST(Link, GivesUpOnAPeerThatStopsReading) {
  link->SetSendTimeout(milliseconds(1000));
  Waiting sender(clock, link.get(), [&] { return link->Send(wire::Type::kPages, 1, Bytes(wire::kMaxBodyBytes)); });
  CHECK(clock.IsAwaited(milliseconds(1000)));
  clock.Pass(milliseconds(999));
  CHECK(clock.IsAwaited(milliseconds(1)));
  CHECK_EQUAL(1 << 18, Read(1 << 18).size());  // who takes something has its time again
  CHECK(clock.IsAwaited(milliseconds(1000)));
  clock.Pass(milliseconds(1000));
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the peer has stopped to take what is sent", sender.Join());
  // Half a record is out: nothing may follow it.
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, "the connection was closed",
                    link->Send(wire::Type::kCommitted, 1, ByteSpan{}));
}

TEST(Link, ConnectSaysWhereNobodyListens) {
  auto [fd, port] = BoundSocket();  // but not listen()
  std::string expected = "cannot connect to 127.0.0.1:" + port + ": Connection refused";
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, expected.c_str(), Link::Connect("127.0.0.1", port, kLong).status());
  HAVEN_ASSERT(listen(fd, 1) == 0);
  auto connected = Link::Connect("127.0.0.1", port, kLong);
  HAVEN_CHECK_OK(connected.status());
  STRCMP_EQUAL(("127.0.0.1:" + port).c_str(), connected.value()->PeerName().c_str());
  close(fd);
}

TEST(Link, ConnectGivesUpOnAHostThatDoesNotAnswer) {
  auto [fd, port] = BoundSocket();
  HAVEN_ASSERT(listen(fd, 0) == 0);
  auto first = Link::Connect("127.0.0.1", port, kLong);  // fills the queue: the next one gets no answer
  HAVEN_CHECK_OK(first.status());
  Waiting connecter(clock, nullptr,
                    [&, port = port] { return Link::Connect("127.0.0.1", port, milliseconds(1000), clock).status(); });
  CHECK(clock.IsAwaited(milliseconds(1000)));
  clock.Pass(milliseconds(999));
  CHECK(clock.IsAwaited(milliseconds(1)));
  clock.Pass(milliseconds(1));
  std::string expected = "cannot connect to 127.0.0.1:" + port + ": Connection timed out";
  HAVEN_CHECK_FAILS(StatusCode::kPeerLost, expected.c_str(), connecter.Join());
  close(fd);
}
