// SPDX-License-Identifier: GPL-2.0-or-later
//
// The golden bytes of docs/wire-protocol.md, both ways, and each decoder on
// every prefix and on one octet more.

#include "core/records.h"

#include <algorithm>
#include <cstdio>

#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::wire;
using namespace haven::test;

namespace {

Token TokenFrom(uint8_t first) {
  Token token;
  for (size_t i = 0; i < token.size(); i++) token[i] = static_cast<uint8_t>(first + i);
  return token;
}

/// Decode succeeds on `golden` and on nothing that is shorter or longer.
template <typename Decode>
void CheckExact(const char* name, const Bytes& golden, Decode decode) {
  auto status = [&](ByteSpan in) {
    Bytes exact(in.begin(), in.end());  // an allocation of its own: the sanitizer sees a read beyond
    return decode(ByteSpan(exact)).status();
  };
  HAVEN_CHECK_OK(status(golden));
  for (size_t cut = 0; cut < golden.size(); cut++) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (std::string(name) + " record: too short").c_str(),
                      status(ByteSpan(golden).first(cut)));
  }
  Bytes longer = golden;
  longer.push_back(0);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, (std::string(name) + " record: 1 octets too long").c_str(), status(longer));
}

void CheckGolden(const char* hex, const Bytes& encoded) {
  STRCMP_EQUAL(ToHex(FromHex(hex)).c_str(), ToHex(encoded).c_str());
}

const char kHello[] =
    "0200 0200 01 00 0000  ffcf000000000000  e8030000"
    "00000000000000000000000000000000  0300 766d31";
const char kHelloReply[] = "0200 0000 f4010000 0100000000000000 101112131415161718191a1b1c1d1e1f";
const char kIdentity[] =
    "01 00 2200 00000000 505152535455565758595a5b5c5d5e5f 0e00000000000000 00f1536500000000 0200000000000000"
    "0807060504030201 00f1536500000000 0300000000000000"
    "1817161514131211 80e1536500000000 0100000000000000";
const char kError[] = "0500 0000 0700 68652077 6f6e21";
const char kMachine[] = "61203d20310a 612062203d203d0a";
const char kLayout[] =
    "202122232425262728292a2b2c2d2e2f"
    "02000000  0000100000000000 0600 70632e72616d  0010000000000000 0400 76676130"
    "01000000  0000400000000000 0300 766461";
const char kLayoutReply[] = "02000000 01 02";
const char kStore[] = "303132333435363738393a3b3c3d3e3f";
const char kStoreReply[] = "404142434445464748494a4b4c4d4e4f 00000100 00800000 00400000";
const char kHeartbeat[] = "0807060504030201 1817161514131211";
const char kLiveness[] = "04030201 0300";
const char kCommitted[] = "b004000000000000 2003000000000000";
const char kGoodbye[] = "0200";
const char kDiskWrite[] = "0900000000000000 01000000 01000000 0002000000000000 0400000000000000 deadbeef";
const char kDiskZero[] = "0900000000000000 01000000 02000000 0002000000000000 0000010000000000";
const char kDiskFlush[] = "0a00000000000000 03000000";
const char kDiskAck[] = "0a00000000000000";
const char kEpochEnd[] = "0500000000000000 0300000000000000 0001000000000000 02000000 0100 0300";

}  // namespace

TEST_GROUP(Records){};

TEST(Records, HelloHasTheDocumentsOctets) {
  Hello hello;
  hello.deadline_ms = 1000;
  hello.guest = "vm1";
  CheckGolden(kHello, Encode(hello));
  auto decoded = DecodeHello(FromHex(kHello));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(2, decoded.value().version_min);
  CHECK_EQUAL(2, decoded.value().version_max);
  CHECK(decoded.value().connection == Connection::kControl);
  CHECK_EQUAL(0xCFFF, decoded.value().features);
  CHECK_EQUAL(1000, decoded.value().deadline_ms);
  CHECK(decoded.value().token == Token{});
  STRCMP_EQUAL("vm1", decoded.value().guest.c_str());
  CheckExact("HELLO", FromHex(kHello), DecodeHello);
}

TEST(Records, HelloReplyHasTheDocumentsOctets) {
  HelloReply reply{2, 1, TokenFrom(0x10), 500};
  CheckGolden(kHelloReply, Encode(reply));
  auto decoded = DecodeHelloReply(FromHex(kHelloReply));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(2, decoded.value().version);
  CHECK_EQUAL(1, decoded.value().features);
  CHECK_EQUAL(500, decoded.value().deadline_ms);
  CHECK(decoded.value().token == TokenFrom(0x10));
  CheckExact("HELLO_REPLY", FromHex(kHelloReply), DecodeHelloReply);
}

TEST(Records, IdentityHasTheDocumentsOctets) {
  const Lineage lineage(
      {{0x0102030405060708, 1700000000, Origin::kAlone}, {0x1112131415161718, 1699996032, Origin::kProtected}});
  CheckGolden(kIdentity, Encode(Identity{Role::kPrimary, kIdentityLifeEnded | kIdentityStarting, TokenFrom(0x50), 14,
                                         1700000000, lineage}));
  auto decoded = DecodeIdentity(FromHex(kIdentity));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value().role == Role::kPrimary);
  CHECK(decoded.value().Has(kIdentityLifeEnded) && decoded.value().Has(kIdentityStarting));
  CHECK(!decoded.value().Has(kIdentityCheckpoint));
  CHECK(decoded.value().life == TokenFrom(0x50));
  CHECK_EQUAL(14, decoded.value().epoch);
  CHECK(decoded.value().lineage == lineage);
  CheckExact("IDENTITY", FromHex(kIdentity), DecodeIdentity);
}

TEST(Records, IdentityRefusesWhatNoWriterWrites) {
  struct {
    size_t at;
    uint8_t octet;
    const char* why;
  } const wrong[] = {{0, 3, "unknown role"},
                     {1, 1, "reserved bits are set"},
                     {2, 0x80, "reserved bits are set"},
                     {7, 1, "reserved bits are set"},
                     {40, 18, "too many generations, or reserved bits are set"},
                     {41, 1, "too many generations, or reserved bits are set"},
                     {64, 0, "a generation of unknown origin"},
                     {64, 6, "a generation of unknown origin"},
                     {65, 1, "a generation of unknown origin"},
                     {63, 1, "a generation of an impossible time"}};
  for (const auto& [at, octet, why] : wrong) {
    Bytes body = FromHex(kIdentity);
    body[at] = octet;
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (std::string("IDENTITY record: ") + why).c_str(),
                      DecodeIdentity(body).status());
  }
  Bytes twice = FromHex(kIdentity);
  std::copy(twice.begin() + 48, twice.begin() + 56, twice.begin() + 72);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "IDENTITY record: a generation occurs twice, or is 0",
                    DecodeIdentity(twice).status());
}

TEST(Records, ErrorHasTheDocumentsOctets) {
  CheckGolden(kError, Encode(ErrorBody{Error::kPromoted, "he won!"}));
  auto decoded = DecodeError(FromHex(kError));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value().code == Error::kPromoted);
  STRCMP_EQUAL("he won!", decoded.value().message.c_str());
  CheckExact("ERROR", FromHex(kError), DecodeError);
}

TEST(Records, MachineHasTheDocumentsOctets) {
  CheckGolden(kMachine, Encode(Machine{"a = 1\na b = =\n"}));
  auto decoded = DecodeMachine(FromHex(kMachine));
  HAVEN_CHECK_OK(decoded.status());
  STRCMP_EQUAL("a = 1\na b = =\n", decoded.value().description.c_str());
  HAVEN_CHECK_OK(DecodeMachine({}).status());
}

TEST(Records, MachineRefusesWhatIsNotLines) {
  const std::pair<std::string, const char*> wrong[] = {{"a = 1", "the last line has no end"},
                                                       {"a = 1\nb", "the last line has no end"},
                                                       {"\n", "a line says nothing of anything"},
                                                       {" = 1\n", "a line says nothing of anything"},
                                                       {"a=1\n", "a line says nothing of anything"},
                                                       {"a = \x1b[1m\n", "a character is not allowed"},
                                                       {std::string("a = \0\n", 6), "a character is not allowed"},
                                                       {"a = \xc3\xa4\n", "a character is not allowed"}};
  for (const auto& [text, why] : wrong) {
    const Bytes body(text.begin(), text.end());
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (std::string("MACHINE record: ") + why).c_str(),
                      DecodeMachine(body).status());
  }
  std::string most(kMaxMachineBytes - 1, 'x');
  most.replace(1, 3, " = ");
  most += '\n';
  HAVEN_CHECK_OK(DecodeMachine(Encode(Machine{most})).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "MACHINE record: too long",
                    DecodeMachine(Encode(Machine{"x" + most})).status());
}

TEST(Records, LayoutHasTheDocumentsOctets) {
  Layout layout{TokenFrom(0x20), {{"pc.ram", 1 << 20}, {"vga0", 4096}}, {{"vda", 4 << 20}}};
  CheckGolden(kLayout, Encode(layout));
  auto decoded = DecodeLayout(FromHex(kLayout));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(layout == decoded.value());
  CheckExact("LAYOUT", FromHex(kLayout), DecodeLayout);
}

TEST(Records, LayoutReplyHasTheDocumentsOctets) {
  LayoutReply reply{{LayoutReply::Copy::kAll, LayoutReply::Copy::kChanged}};
  CheckGolden(kLayoutReply, Encode(reply));
  auto decoded = DecodeLayoutReply(FromHex(kLayoutReply));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(reply.disks == decoded.value().disks);
  CheckExact("LAYOUT_REPLY", FromHex(kLayoutReply), DecodeLayoutReply);
}

TEST(Records, StoreHasTheDocumentsOctets) {
  CheckGolden(kStore, Encode(Store{TokenFrom(0x30)}));
  auto decoded = DecodeStore(FromHex(kStore));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value().host == TokenFrom(0x30));
  CheckExact("STORE", FromHex(kStore), DecodeStore);
}

TEST(Records, StoreReplyHasTheDocumentsOctets) {
  CheckGolden(kStoreReply, Encode(StoreReply{TokenFrom(0x40), 65536, 32768, 16384}));
  auto decoded = DecodeStoreReply(FromHex(kStoreReply));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value().instance == TokenFrom(0x40));
  CHECK_EQUAL(65536, decoded.value().slots);
  CHECK_EQUAL(32768, decoded.value().first);
  CHECK_EQUAL(16384, decoded.value().count);
  CheckExact("STORE_REPLY", FromHex(kStoreReply), DecodeStoreReply);
}

TEST(Records, HeartbeatHasTheDocumentsOctets) {
  CheckGolden(kHeartbeat, Encode(Heartbeat{0x0102030405060708, 0x1112131415161718}));
  auto decoded = DecodeHeartbeat(FromHex(kHeartbeat));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value().sent_us == 0x0102030405060708);
  CHECK(decoded.value().echo_us == 0x1112131415161718);
  CheckExact("HEARTBEAT", FromHex(kHeartbeat), DecodeHeartbeat);
}

TEST(Records, LivenessHasTheDocumentsOctets) {
  CheckGolden(kLiveness, Encode(Liveness{0x01020304, GuestRun::kIoError}));
  auto decoded = DecodeLiveness(FromHex(kLiveness));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(0x01020304, decoded.value().stalled_ms);
  CHECK(decoded.value().run == GuestRun::kIoError);
  CheckExact("LIVENESS", FromHex(kLiveness), DecodeLiveness);
  CHECK(DecodeLiveness(FromHex("04030201 0700")).value().run == GuestRun::kOther);
}

TEST(Records, CommittedHasTheDocumentsOctets) {
  CheckGolden(kCommitted, Encode(Committed{1200, 800}));
  auto decoded = DecodeCommitted(FromHex(kCommitted));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(1200, decoded.value().decode_us);
  CHECK_EQUAL(800, decoded.value().apply_us);
  CheckExact("COMMITTED", FromHex(kCommitted), DecodeCommitted);
}

TEST(Records, GoodbyeHasTheDocumentsOctets) {
  CheckGolden(kGoodbye, Encode(GoodbyeBody{Goodbye::kGuestPoweredOff}));
  auto decoded = DecodeGoodbye(FromHex(kGoodbye));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value().reason == Goodbye::kGuestPoweredOff);
  CheckExact("GOODBYE", FromHex(kGoodbye), DecodeGoodbye);
}

TEST(Records, DiskWriteHasTheDocumentsOctets) {
  Bytes encoded = Encode(DiskRequest{9, 1, kDiskSync, 512, 4});
  CHECK_EQUAL(kDiskRequestBytes, encoded.size());
  for (uint8_t octet : {0xde, 0xad, 0xbe, 0xef}) encoded.push_back(octet);
  CheckGolden(kDiskWrite, encoded);
  auto decoded = DecodeDiskRequest(Type::kDiskWrite, FromHex(kDiskWrite));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(9, decoded.value().request);
  CHECK_EQUAL(1, decoded.value().disk);
  CHECK_EQUAL(kDiskSync, decoded.value().flags);
  CHECK_EQUAL(512, decoded.value().offset);
  CHECK_EQUAL(4, decoded.value().bytes);
}

TEST(Records, DiskWriteHasExactlyItsData) {
  Bytes golden = FromHex(kDiskWrite);
  auto status = [](ByteSpan in) {
    Bytes exact(in.begin(), in.end());
    return DecodeDiskRequest(Type::kDiskWrite, exact).status();
  };
  for (size_t cut = 0; cut < kDiskRequestBytes; cut++) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_WRITE record: too short", status(ByteSpan(golden).first(cut)));
  }
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_WRITE record: 3 octets of data instead of 4",
                    status(ByteSpan(golden).first(golden.size() - 1)));
  golden.push_back(0);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_WRITE record: 5 octets of data instead of 4", status(golden));
}

TEST(Records, DiskZeroAndDiscardHaveNoData) {
  CheckGolden(kDiskZero, Encode(DiskRequest{9, 1, kDiskMayUnmap, 512, 65536}));
  auto decoded = DecodeDiskRequest(Type::kDiskZero, FromHex(kDiskZero));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(kDiskMayUnmap, decoded.value().flags);
  CHECK_EQUAL(65536, decoded.value().bytes);
  Bytes longer = FromHex(kDiskZero);
  longer.push_back(0);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_ZERO record: 1 octets of data instead of 0",
                    DecodeDiskRequest(Type::kDiskZero, longer).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_DISCARD record: reserved flags are set",
                    DecodeDiskRequest(Type::kDiskDiscard, FromHex(kDiskZero)).status());
}

TEST(Records, DiskFlushHasTheDocumentsOctets) {
  CheckGolden(kDiskFlush, Encode(DiskFlush{10, 3}));
  auto decoded = DecodeDiskFlush(FromHex(kDiskFlush));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(10, decoded.value().request);
  CHECK_EQUAL(3, decoded.value().disk);
  CheckExact("DISK_FLUSH", FromHex(kDiskFlush), DecodeDiskFlush);
}

TEST(Records, DiskAckHasTheDocumentsOctets) {
  CheckGolden(kDiskAck, Encode(DiskAck{10}));
  auto decoded = DecodeDiskAck(FromHex(kDiskAck));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(10, decoded.value().request);
  CheckExact("DISK_ACK", FromHex(kDiskAck), DecodeDiskAck);
}

TEST(Records, EpochEndHasTheDocumentsOctets) {
  CheckGolden(kEpochEnd, Encode(EpochEnd{5, 3, 256, 2, kGuestPaused, GuestRun::kIoError}));
  auto decoded = DecodeEpochEnd(FromHex(kEpochEnd));
  HAVEN_CHECK_OK(decoded.status());
  CHECK_EQUAL(5, decoded.value().pages);
  CHECK_EQUAL(3, decoded.value().disk_records);
  CHECK_EQUAL(256, decoded.value().device_state_bytes);
  CHECK_EQUAL(2, decoded.value().memory_records);
  CHECK_EQUAL(kGuestPaused, decoded.value().flags);
  CHECK(decoded.value().run == GuestRun::kIoError);
  CheckExact("EPOCH_END", FromHex(kEpochEnd), DecodeEpochEnd);
}

TEST(Records, EpochEndOfAGuestThatRunsIsNotOfOneThatIsPaused) {
  const auto with = [](uint16_t flags, GuestRun run) {
    return DecodeEpochEnd(Encode(EpochEnd{1, 0, 1, 1, flags, run}));
  };
  HAVEN_CHECK_OK(with(0, GuestRun::kUnknown).status());
  HAVEN_CHECK_OK(with(kGuestPaused, GuestRun::kUnknown).status());
  HAVEN_CHECK_OK(with(0, GuestRun::kRunning).status());
  for (uint16_t run = 2; run < 300; run++) {
    auto end = with(kGuestPaused, static_cast<GuestRun>(run));
    HAVEN_CHECK_OK(end.status());
    CHECK(end.value().run == (run > kMostGuestRun ? GuestRun::kOther : static_cast<GuestRun>(run)));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END record: the guest cannot run and be paused",
                      with(0, static_cast<GuestRun>(run)).status());
  }
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END record: the guest cannot run and be paused",
                    with(kGuestPaused, GuestRun::kRunning).status());
}

// --- what a body may not say -------------------------------------------------

namespace {

Bytes With(const char* hex, size_t at, uint8_t octet) {
  Bytes out = FromHex(hex);
  out.at(at) = octet;
  return out;
}

}  // namespace

TEST(Records, ReservedBitsAreRefusedInEveryRecordThatHasThem) {
  for (size_t at : {5, 6, 7}) {
    for (int bit = 0; bit < 8; bit++) {
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO record: reserved bits are set",
                        DecodeHello(With(kHello, at, static_cast<uint8_t>(1 << bit))).status());
    }
  }
  for (size_t at : {2, 3}) {
    for (int bit = 0; bit < 8; bit++) {
      auto octet = static_cast<uint8_t>(1 << bit);
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO_REPLY record: reserved bits are set",
                        DecodeHelloReply(With(kHelloReply, at, octet)).status());
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "ERROR record: reserved bits are set",
                        DecodeError(With(kError, at, octet)).status());
    }
  }
  for (int bit = 0; bit < 32; bit++) {
    auto octet = static_cast<uint8_t>(1 << bit % 8);
    const size_t flags = 12 + bit / 8;
    if (bit > 0) {
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_WRITE record: reserved flags are set",
                        DecodeDiskRequest(Type::kDiskWrite, With(kDiskWrite, flags, octet)).status());
    }
    if (bit > 0 && bit < 16) {
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "EPOCH_END record: reserved flags are set",
                        DecodeEpochEnd(With(kEpochEnd, 28 + bit / 8, octet)).status());
    }
    if (bit > 1) {
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_ZERO record: reserved flags are set",
                        DecodeDiskRequest(Type::kDiskZero, With(kDiskZero, flags, octet)).status());
    }
  }
}

TEST(Records, HelloRefusesUnknownConnectionsWrongVersionsAndBadNames) {
  for (uint8_t connection : {0, 5, 255}) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO record: unknown kind of connection",
                      DecodeHello(With(kHello, 4, connection)).status());
  }
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO record: versions are in the wrong order",
                    DecodeHello(With(kHello, 0, 3)).status());
  for (uint8_t octet : {0x00, 0x0A, 0x20, 0x7F}) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO record: the guest's name is not allowed",
                      DecodeHello(With(kHello, 38, octet)).status());
  }
  Hello hello;
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO record: the guest's name is not allowed",
                    DecodeHello(Encode(hello)).status());
  hello.guest = std::string(kMaxNameBytes, 'n');
  HAVEN_CHECK_OK(DecodeHello(Encode(hello)).status());
  hello.guest += 'n';
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO record: the guest's name is not allowed",
                    DecodeHello(Encode(hello)).status());
}

TEST(Records, HelloTakesFeaturesThatItDoesNotKnow) {
  Hello hello;
  hello.guest = "g";
  hello.features = ~0ull;
  CHECK(DecodeHello(Encode(hello)).value().features == ~0ull);
}

TEST(Records, HelloReplyRefusesWhatWasNotOffered) {
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO_REPLY record: version 3 was not offered",
                    DecodeHelloReply(With(kHelloReply, 0, 3)).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO_REPLY record: version 0 was not offered",
                    DecodeHelloReply(With(kHelloReply, 0, 0)).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "HELLO_REPLY record: features that were not offered",
                    DecodeHelloReply(With(kHelloReply, 15, 0x80)).status());
}

TEST(Records, ErrorRefusesUnknownCodesAndLongMessagesAndHidesControlCharacters) {
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "ERROR record: unknown code", DecodeError(With(kError, 0, 0)).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "ERROR record: unknown code", DecodeError(With(kError, 0, 8)).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "ERROR record: unknown code", DecodeError(With(kError, 1, 1)).status());
  Bytes longest = Encode(ErrorBody{Error::kBusy, std::string(5000, 'x')});
  CHECK_EQUAL(kMaxMessageBytes, DecodeError(longest).value().message.size());
  longest[4]++;  // the length's low octet
  longest.push_back('x');
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "ERROR record: message is too long", DecodeError(longest).status());
  auto decoded = DecodeError(Encode(ErrorBody{Error::kBusy, "a\x1b[2J\nb\x7f"}));
  STRCMP_EQUAL("a?[2J?b?", decoded.value().message.c_str());
}

TEST(Records, LayoutRefusesTooManyEntriesBeforeItReadsThem) {
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT record: 257 memory regions are more than 256",
                    DecodeLayout(FromHex("00000000000000000000000000000000 01010000")).status());
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT record: 4294967295 disks are more than 64",
                    DecodeLayout(FromHex("00000000000000000000000000000000 00000000 ffffffff")).status());
  Layout layout;
  for (uint32_t i = 0; i < kMaxRegions; i++) layout.regions.push_back({"r" + std::to_string(i), 4096});
  for (uint32_t i = 0; i < kMaxDisks; i++) layout.disks.push_back({"d" + std::to_string(i), 512});
  CHECK(layout == DecodeLayout(Encode(layout)).value());
}

TEST(Records, LayoutRefusesSizesThatCannotBe) {
  for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{4095}, uint64_t{4097}, uint64_t{1} << 56}) {
    Layout layout{{}, {{"ram", bytes}}, {}};
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT record: region ram is not a whole number of pages",
                      DecodeLayout(Encode(layout)).status());
  }
  Layout layout{{}, {}, {{"vda", uint64_t{1} << 63}}};
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT record: disk vda is too large",
                    DecodeLayout(Encode(layout)).status());
}

TEST(Records, LayoutRefusesNamesThatAreBadOrOccurTwice) {
  Layout twice{{}, {{"ram", 4096}, {"ram", 8192}}, {}};
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT record: the name ram occurs twice",
                    DecodeLayout(Encode(twice)).status());
  Layout bad{{}, {{"ram", 4096}}, {{"a b", 512}}};
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT record: a name among the disks is not allowed",
                    DecodeLayout(Encode(bad)).status());
  Layout same{{}, {{"x", 4096}}, {{"x", 512}}};  // two lists, two name spaces
  HAVEN_CHECK_OK(DecodeLayout(Encode(same)).status());
}

TEST(Records, LayoutReplyRefusesTooManyDisksAndUnknownCopies) {
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT_REPLY record: too many disks",
                    DecodeLayoutReply(FromHex("41000000")).status());
  for (uint8_t copy : {0, 3}) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "LAYOUT_REPLY record: unknown kind of copy",
                      DecodeLayoutReply(With(kLayoutReply, 5, copy)).status());
  }
}

TEST(Records, StoreReplyRefusesSlotsThatCannotBe) {
  for (uint32_t slots : {0u, (1u << 28) + 1, UINT32_MAX}) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "STORE_REPLY record: its number of slots cannot be",
                      DecodeStoreReply(Encode(StoreReply{{}, slots, 0, 0})).status());
  }
  for (StoreReply reply : {StoreReply{{}, 8, 9, 0}, StoreReply{{}, 8, 4, 5}, StoreReply{{}, 8, 1, UINT32_MAX}}) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "STORE_REPLY record: slots outside of the store",
                      DecodeStoreReply(Encode(reply)).status());
  }
  HAVEN_CHECK_OK(DecodeStoreReply(Encode(StoreReply{{}, 8, 8, 0})).status());
}

TEST(Records, GoodbyeRefusesUnknownReasons) {
  for (const char* reason : {"0000", "0400", "0001"}) {
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "GOODBYE record: unknown reason", DecodeGoodbye(FromHex(reason)).status());
  }
}

TEST(Records, DiskRecordsRefuseDisksAndRangesOverTheLimit) {
  for (Type type : {Type::kDiskZero, Type::kDiskDiscard}) {
    std::string name = TypeName(type);
    auto status = [&](const DiskRequest& request) { return DecodeDiskRequest(type, Encode(request)).status(); };
    HAVEN_CHECK_OK(status({1, 63, 0, 0, INT64_MAX}));
    HAVEN_CHECK_OK(status({1, 63, 0, INT64_MAX, 0}));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (name + " record: disk index is over the limit").c_str(),
                      status({1, 64, 0, 0, 0}));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (name + " record: range is too large").c_str(),
                      status({1, 0, 0, 1, INT64_MAX}));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (name + " record: range is too large").c_str(),
                      status({1, 0, 0, uint64_t{1} << 63, 0}));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (name + " record: range is too large").c_str(),
                      status({1, 0, 0, UINT64_MAX, UINT64_MAX}));
  }
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_FLUSH record: disk index is over the limit",
                    DecodeDiskFlush(Encode(DiskFlush{1, 64})).status());
}

TEST(Records, DiskWriteOverTheLimitIsRefused) {
  for (uint64_t bytes : {uint64_t{kMaxDiskDataBytes}, uint64_t{kMaxDiskDataBytes} + 1}) {
    Bytes body = Encode(DiskRequest{1, 0, 0, 0, bytes});
    body.resize(body.size() + bytes);
    Status status = DecodeDiskRequest(Type::kDiskWrite, body).status();
    if (bytes <= kMaxDiskDataBytes) {
      HAVEN_CHECK_OK(status);
    } else {
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "DISK_WRITE record: 2097153 octets of data are over the limit", status);
    }
  }
}
