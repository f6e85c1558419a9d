// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal_format.h"

#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

std::string Hex(ByteSpan octets) {
  std::string out;
  char digits[3];
  for (uint8_t octet : octets) {
    snprintf(digits, sizeof digits, "%02x", octet);
    out += digits;
  }
  return out;
}

}  // namespace

// The octets that docs/journal.md shows.
TEST_GROUP(JournalFormat){};

TEST(JournalFormat, FileHeaderHasTheDocumentedOctets) {
  const Bytes octets = journal::Encode(journal::FileHeader{true, 2, 0x1122334455667788, 7, 5});
  STRCMP_EQUAL(
      "48564e4a"
      "28db22ba"
      "0100"
      "0100"
      "00000000"
      "0200000000000000"
      "8877665544332211"
      "0700000000000000"
      "0500000000000000"
      "0000000000000000"
      "0000000000000000",
      Hex(octets).c_str());
  const auto decoded = journal::DecodeFileHeader(octets);
  CHECK(decoded.ok());
  CHECK(decoded.value().needs_previous);
  CHECK_EQUAL(2, decoded.value().generation);
  CHECK_EQUAL(0x1122334455667788, decoded.value().first_sequence);
  CHECK_EQUAL(7, decoded.value().open_epoch);
  CHECK_EQUAL(5, decoded.value().unapplied_epoch);
}

TEST(JournalFormat, RecordHeaderHasTheDocumentedOctets) {
  journal::RecordHeader record = journal::RecordHeader::Of(3, WriteOf(0x10000, 4096, 1));
  record.sequence = 9;
  record.data_crc = 0xAABBCCDD;
  const Bytes octets = journal::Encode(record);
  STRCMP_EQUAL(
      "48564a72"
      "f299639a"
      "0900000000000000"
      "0300000000000000"
      "01"
      "00"
      "0000"
      "01000000"
      "0000010000000000"
      "0010000000000000"
      "ddccbbaa"
      "00000000",
      Hex(octets).c_str());
  CHECK(journal::RecordChecks(octets));
  const auto decoded = journal::DecodeRecordHeader(octets);
  CHECK(decoded.ok());
  CHECK(decoded.value().ToRequest() == WriteOf(0x10000, 4096, 1));
  CHECK_EQUAL(9, decoded.value().sequence);
  CHECK_EQUAL(3, decoded.value().epoch);
  CHECK_EQUAL(0xAABBCCDD, decoded.value().data_crc);
}

TEST(JournalFormat, KeepsUnmapOfAZeroRequestOnly) {
  Request zero{Request::Kind::kZero, true, 0, 0, 4096};
  const auto decoded = journal::DecodeRecordHeader(journal::Encode(journal::RecordHeader::Of(1, zero)));
  CHECK(decoded.value().ToRequest() == zero);
  Request discard{Request::Kind::kDiscard, true, 0, 0, 4096};
  CHECK_FALSE(journal::RecordHeader::Of(1, discard).may_unmap);
}

TEST(JournalFormat, ChecksumCoversEveryOctetOfBothHeaders) {
  const Bytes file = journal::Encode(journal::FileHeader{false, 1, 1, 0, 0});
  for (size_t i = 0; i < file.size(); i++) {
    Bytes flipped = file;
    flipped[i] ^= 0x80;
    CHECK_FALSE(journal::DecodeFileHeader(flipped).ok());
  }
  const Bytes record = journal::Encode(journal::RecordHeader::Of(1, WriteOf(0, 1)));
  for (size_t i = 0; i < record.size(); i++) {
    Bytes flipped = record;
    flipped[i] ^= 0x80;
    CHECK_FALSE(journal::RecordChecks(flipped));
  }
}
