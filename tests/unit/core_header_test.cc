// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/records.h"

#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::wire;
using namespace haven::test;

namespace {

// COMMITTED of epoch 7, sequence 5; its checksums computed by hand with the
// polynomial of RFC 3720.
const char kCommitted[] = "48564e31 0b00 0000 0700000000000000 05000000 00000000 00000000 b86401bc";
// An optional record of type 0x7ff0 with the body "abc".
const char kOptional[] = "48564e31 f0ff 0000 0000000000000000 00000000 03000000 b73f4b36 d3a91640";

Status Decode(Bytes octets) { return DecodeHeader(octets).status(); }

/// The golden header with one octet changed and the checksum mended.
Bytes Changed(size_t at, uint8_t octet) {
  Bytes out = FromHex(kCommitted);
  out[at] = octet;
  MendChecksums(out);
  return out;
}

}  // namespace

TEST_GROUP(Header){};

TEST(Header, HasTheDocumentsOctets) {
  Bytes out;
  EncodeHeader({Type::kCommitted, false, 7, 5, 0, 0}, out);
  STRCMP_EQUAL(ToHex(FromHex(kCommitted)).c_str(), ToHex(out).c_str());
  auto header = DecodeHeader(FromHex(kCommitted));
  HAVEN_CHECK_OK(header.status());
  CHECK(header.value().type == Type::kCommitted);
  CHECK_FALSE(header.value().optional);
  CHECK_EQUAL(7, header.value().epoch);
  CHECK_EQUAL(5, header.value().sequence);
  CHECK_EQUAL(0, header.value().body_bytes);
  CHECK_EQUAL(0, header.value().body_crc);
}

TEST(Header, OfAnUnknownOptionalRecordIsTaken) {
  auto header = DecodeHeader(FromHex(kOptional));
  HAVEN_CHECK_OK(header.status());
  CHECK(header.value().optional);
  CHECK_FALSE(IsKnownType(header.value().type));
  CHECK_EQUAL(3, header.value().body_bytes);
  Bytes again;
  EncodeHeader(header.value(), again);
  STRCMP_EQUAL(ToHex(FromHex(kOptional)).c_str(), ToHex(again).c_str());
  LONGLONGS_EQUAL(header.value().body_crc, Crc32c(Bytes{'a', 'b', 'c'}));
}

TEST(Header, OfAnyOtherLengthIsRefused) {
  Bytes golden = FromHex(kCommitted);
  for (size_t cut = 0; cut < golden.size(); cut++) {
    Bytes prefix(golden.begin(), golden.begin() + static_cast<ptrdiff_t>(cut));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record: header is cut off", Decode(prefix));
  }
  golden.push_back(0);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record: header is cut off", Decode(golden));
}

TEST(Header, WithAnyBitFlippedIsRefused) {
  const Bytes golden = FromHex(kCommitted);
  for (size_t bit = 0; bit < golden.size() * 8; bit++) {
    Bytes flipped = golden;
    flipped[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    HAVEN_CHECK_FAILS(
        StatusCode::kProtocol,
        bit < 32 ? "a record: wrong magic number; is the peer HAVEN?" : "a record: header checksum is wrong",
        Decode(flipped));
  }
}

TEST(Header, WithReservedBitsIsRefusedThoughTheChecksumIsRight) {
  for (size_t at : {6, 7}) {
    for (int bit = 0; bit < 8; bit++) {
      HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record: reserved header bits are set",
                        Decode(Changed(at, static_cast<uint8_t>(1 << bit))));
    }
  }
}

TEST(Header, OfAnUnknownMandatoryTypeIsRefusedThoughTheChecksumIsRight) {
  for (int type = 0; type < 256; type++) {
    Status status = Decode(Changed(4, static_cast<uint8_t>(type)));
    if (IsKnownType(static_cast<Type>(type))) {
      HAVEN_CHECK_OK(status);
      continue;
    }
    std::string expected = "a record: mandatory type " + std::to_string(type) + " is unknown";
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, expected.c_str(), status);
  }
}

TEST(Header, OfABodyOverTheLimitIsRefusedThoughTheChecksumIsRight) {
  Bytes largest = FromHex(kCommitted);
  largest[22] = 0x40;
  Bytes header = largest;
  MendChecksums(header);
  HAVEN_CHECK_OK(Decode(header));
  header[20] = 1;
  MendChecksums(header);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record: body of 4194305 octets is over the limit", Decode(header));
  header[23] = 0xFF;
  MendChecksums(header);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "a record: body of 4282384385 octets is over the limit", Decode(header));
}
