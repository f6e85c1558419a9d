// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/crc32c.h"

#include <random>

#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::test;

namespace {

void CheckBoth(uint32_t expected, const Bytes& octets) {
  LONGLONGS_EQUAL(expected, Crc32c(octets));
  LONGLONGS_EQUAL(expected, Crc32cPortable(octets));
}

}  // namespace

TEST_GROUP(Crc32c){};

TEST(Crc32c, AgreesWithTheVectorsOfRfc3720) {
  CheckBoth(0x00000000, {});
  CheckBoth(0xE3069283, {'1', '2', '3', '4', '5', '6', '7', '8', '9'});
  CheckBoth(0x8A9136AA, Bytes(32, 0x00));
  CheckBoth(0x62A8AB43, Bytes(32, 0xFF));
  Bytes rising(32), falling(32);
  for (size_t i = 0; i < 32; i++) {
    rising[i] = static_cast<uint8_t>(i);
    falling[i] = static_cast<uint8_t>(31 - i);
  }
  CheckBoth(0x46DD794E, rising);
  CheckBoth(0x113FDB5C, falling);
  CheckBoth(0xD9963A56, FromHex("01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018"
                                "28000000 00000000 02000000 00000000"));
}

TEST(Crc32c, GivesTheSameWithAndWithoutTheInstructionAtEveryLengthAndAlignment) {
  std::mt19937 random(1);
  Bytes octets(300);
  for (uint8_t& octet : octets) octet = static_cast<uint8_t>(random());
  for (size_t start = 0; start < 16; start++) {
    for (size_t length = 0; length + start <= octets.size(); length += 7) {
      ByteSpan part = ByteSpan(octets).subspan(start, length);
      LONGLONGS_EQUAL(Crc32cPortable(part), Crc32c(part));
    }
  }
}

TEST(Crc32c, GivesTheSameAroundTheLengthsOfItsStreams) {
  std::mt19937 random(2);
  Bytes octets(13000);
  for (uint8_t& octet : octets) octet = static_cast<uint8_t>(random());
  for (size_t length : {503u, 504u, 505u, 1008u, 4031u, 4032u, 4033u, 4096u, 4536u, 8064u, 12096u, 13000u}) {
    for (uint32_t seed : {0u, 1u, 0xFFFFFFFFu}) {
      ByteSpan part = ByteSpan(octets).first(length);
      LONGLONGS_EQUAL(Crc32cPortable(part, seed), Crc32c(part, seed));
    }
  }
}

TEST(Crc32c, OfPiecesIsThatOfTheWhole) {
  Bytes octets(100);
  for (size_t i = 0; i < octets.size(); i++) octets[i] = static_cast<uint8_t>(i * 37);
  for (size_t cut = 0; cut <= octets.size(); cut++) {
    ByteSpan all(octets);
    LONGLONGS_EQUAL(Crc32c(all), Crc32c(all.subspan(cut), Crc32c(all.first(cut))));
    LONGLONGS_EQUAL(Crc32c(all), Crc32cPortable(all.subspan(cut), Crc32cPortable(all.first(cut))));
  }
}
