// SPDX-License-Identifier: GPL-2.0-or-later
// The codes of a changed page: their octets, the same from every kind of
// processor, and what a hostile body may not say.
#include <algorithm>

#include "tests/unit/core_support.h"
#include "tests/unit/memrep_fgbi_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;
using namespace haven::test;

namespace {

constexpr size_t kRoom = 2 * kPageBytes;

/// What a kernel makes of a change, as hexadecimal digits.
std::string Code(const DeltaKernels& kernels, const Bytes& base, const Bytes& page, Coded::Kind& kind, Bytes& coded) {
  PageDiff diff;
  kernels.compare(base.data(), page.data(), {base.data(), page.data()}, diff);
  coded.assign(kRoom, 0);
  Coded result = kernels.encode(page.data(), diff, {base.data(), page.data()}, coded.data(), kPageBytes);
  kind = result.kind;
  coded.resize(result.bytes);
  return ToHex(coded);
}

void CheckApplies(const Bytes& base, const Bytes& page, const Bytes& coded) {
  const char* why = nullptr;
  CHECK_EQUAL(coded.size(), MeasureDelta(coded, why));
  for (const DeltaKernels* kernels : AllKernels()) {
    Bytes image = base;
    kernels->apply(coded.data(), image.data());
    CHECK_TEXT(image == page, kernels->name);
  }
}

}  // namespace

TEST_GROUP(FgbiCodec) {
  Bytes base = Bytes(kPageBytes, 0);
  Bytes page = base;
  Coded::Kind kind{};
  Bytes coded;

  Status Decode(const std::string& hex) {
    PageDecoder decoder({4, 4});
    DecodedRecord record;
    return decoder.Decode(FromHex(hex), record);
  }
};

TEST(FgbiCodec, HasTheDocumentsOctets) {
  for (const DeltaKernels* kernels : AllKernels()) {
    page = base;
    page[0x102] = 0x77;
    STRCMP_EQUAL("0201010077", Code(*kernels, base, page, kind, coded).c_str());
    CHECK(kind == Coded::Kind::kRun);
    // A word of block 0, an octet of block 2, all of block 3.
    page = base;
    for (size_t i = 0; i < 8; i++) page[8 + i] = static_cast<uint8_t>(0x10 + i);
    page[2 * 64 + 25] = 0xaa;
    for (size_t i = 0; i < 64; i++) page[3 * 64 + i] = 0xcc;
    std::string whole;
    for (int i = 0; i < 64; i++) whole += "cc";
    STRCMP_EQUAL(("03"
                  "40"
                  "82"
                  "c3"
                  "02"
                  "08"
                  "02"
                  "1011121314151617"
                  "aa" +
                  whole)
                     .c_str(),
                 Code(*kernels, base, page, kind, coded).c_str());
    CHECK(kind == Coded::Kind::kDelta);
    CheckApplies(base, page, coded);
  }
}

TEST(FgbiCodec, HasAMapWhenMoreThan15BlocksChange) {
  for (const DeltaKernels* kernels : AllKernels()) {
    page = base;
    std::string masks, data;
    for (size_t block = 0; block < 64; block += 4) {
      for (size_t i = 0; i < 8; i++) page[block * 64 + i] = 0x31;
      masks += "01";
      data += "3131313131313131";
    }
    STRCMP_EQUAL(("00"
                  "1111111111111111"
                  "0000000000000000" +
                  masks + data)
                     .c_str(),
                 Code(*kernels, base, page, kind, coded).c_str());
    CheckApplies(base, page, coded);
  }
}

TEST(FgbiCodec, IsTheSameFromEveryProcessorPath) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; round++) {
    for (uint8_t& octet : base) octet = static_cast<uint8_t>(random() % 3);
    page = base;
    unsigned changes = 1 + random() % (round % 3 == 0 ? 4 : 200);
    for (unsigned i = 0; i < changes; i++) {
      size_t at = random() % kPageBytes;
      size_t bytes = std::min<size_t>(1 + random() % (round % 2 == 0 ? 10 : 100), kPageBytes - at);
      for (size_t j = 0; j < bytes; j++) page[at + j] = static_cast<uint8_t>(random());
    }
    if (page == base) continue;
    std::string first = Code(PortableKernels(), base, page, kind, coded);
    Coded::Kind other_kind{};
    Bytes other;
    for (const DeltaKernels* kernels : AllKernels()) {
      CHECK_TEXT(first == Code(*kernels, base, page, other_kind, other), kernels->name);
      CHECK(kind == other_kind);
    }
    if (kind == Coded::Kind::kDelta) CheckApplies(base, page, coded);
  }
}

TEST(FgbiCodec, RefusesEveryPrefixOfADelta) {
  for (size_t i = 0; i < kPageBytes; i += 200) page[i] = 1;
  for (size_t i = 0; i < 8; i++) page[1032 + i] = 2;
  (void)Code(PortableKernels(), base, page, kind, coded);
  CHECK(kind == Coded::Kind::kDelta);
  const char* why = nullptr;
  for (size_t cut = 0; cut < coded.size(); cut++) {
    CHECK_EQUAL(0, MeasureDelta(ByteSpan(coded).first(cut), why));
    STRCMP_EQUAL("too short for its blocks", why);
  }
  CHECK_EQUAL(coded.size(), MeasureDelta(coded, why));
}

TEST(FgbiCodec, AnAssembledPageHasTheDocumentsOctets) {
  for (size_t i = 0; i < kPageBytes; i++) page[i] = static_cast<uint8_t>(i / 64);
  // Blocks 1 and 2 are those at 7 and 8 of page 5 of region 1, block 4 to the end those of page 3.
  const BlockRun runs[] = {{1, 2, uint64_t{1} << 56 | (5 * 64 + 7)}, {4, 60, 3 * 64 + 4}};
  Bytes out(kPageBytes);
  size_t bytes = EncodeAssembled(page.data(), runs, out.data());
  out.resize(bytes);
  std::string data;
  for (int i = 0; i < 128; i++) data += i < 64 ? "00" : "03";
  STRCMP_EQUAL(("02"
                "0102"
                "4701000000000001"
                "043c"
                "c400000000000000" +
                data)
                   .c_str(),
               ToHex(out).c_str());
  const char* why = nullptr;
  for (size_t cut = 0; cut < out.size(); cut++) {
    CHECK_EQUAL(0, MeasureAssembled(ByteSpan(out).first(cut), why));
    STRCMP_EQUAL("too short for its blocks", why);
  }
  CHECK_EQUAL(out.size(), MeasureAssembled(out, why));

  Bytes first(6 * kPageBytes), second(6 * kPageBytes);
  memcpy(&second[5 * kPageBytes + 7 * 64], &page[64], 128);
  memcpy(&first[3 * kPageBytes + 4 * 64], &page[4 * 64], 60 * 64);
  uint8_t* regions[] = {first.data(), second.data()};
  Bytes made(kPageBytes, 0xEE);
  ApplyAssembled(out.data(), regions, made.data());
  CHECK(made == page);
}

TEST(FgbiCodec, RefusesMalformedChanges) {
  struct Case {
    const char* payload;
    const char* code;
    const char* message;
  };
  const Case cases[] = {
      {"0000 0000", "02", "a run of 0 octets at 0 does not fit a page"},
      {"ffff 0100 00", "02", "a run of 1 octets at 65535 does not fit a page"},
      {"ff0f 0200 0000", "02", "a run of 2 octets at 4095 does not fit a page"},
      {"0000 0200 00", "02", "too short for its pages"},
      {"0000", "02", "too short for its pages"},
      {"00", "07", "assembled page: the number of its runs is not between 1 and 64"},
      {"41", "07", "assembled page: the number of its runs is not between 1 and 64"},
      {"01 0000 0000000000000000", "07", "assembled page: runs of blocks do not ascend within the page"},
      {"01 013f 0000000000000000", "07", "assembled page: too short for its blocks"},
      {"01 0140 0000000000000000", "07", "assembled page: runs of blocks do not ascend within the page"},
      {"02 0002 0000000000000000 0101 0000000000000000", "07",
       "assembled page: runs of blocks do not ascend within the page"},
      {"01 0040 0100000000000000", "07", "assembled page: a run of blocks passes the end of the page that it names"},
      {"01 0040 0001000000000000", "07", "assembled page: it names a page that does not exist"},
      {"01 0040 0000000000000002", "07", "assembled page: it names a page that does not exist"},
      {"", "03", "delta: too short for its blocks"},
      {"10", "03", "delta: too many blocks in a list"},
      {"01 00", "03", "delta: a listed block has no mode"},
      {"02 41 40 0101", "03", "delta: blocks are not in ascending order"},
      {"02 41 41 0101", "04", "delta: blocks are not in ascending order"},
      {"00 0000000000000000 0000000000000000", "03", "delta: no block has changed"},
      {"01 40 ff 1111111111111111", "03", "delta: too short for its blocks"},
      {"01 80 01 ff 11", "03", "delta: too short for its blocks"},
      {"01 c0 11", "04", "delta: too short for its blocks"},
      {"01 40 00 11", "03", "1 octets too long"},
      {"00000000000000", "05", "too short for its pages"},
      {"0400000000000000", "05", "a page is to be the same as one that does not exist"},
      {"0000000000000002", "05", "a page is to be the same as one that does not exist"},
      {"01", "06", "too short for its compressed pages"},
      {"01 00 0010 0500 00", "06", "too short for its compressed pages"},
      {"01 02 0010 0100 00", "06", "code 2 may not be compressed"},
      {"01 06 0010 0100 00", "06", "code 6 may not be compressed"},
      {"01 00 0000 0100 00", "06", "0 octets of a compressed page are not between 1 and 4096"},
      {"01 00 0110 0100 00", "06", "4097 octets of a compressed page are not between 1 and 4096"},
      {"01 00 0010 0100 00", "06", "a page does not decompress to its 4096 octets"},
      {"02 00 0010 0100 00", "06", "a page does not decompress to its 4096 octets"},
      {"03 00 0010 0100 00", "06", "a page does not decompress to its 4096 octets"},
      {"04 00 0010 0100 00", "06", "a page does not decompress to its 4096 octets"},
      {"02 00 0100 0200 10aa", "06", "too short for its pages"},
      {"02 03 0400 0500 40 014000bb", "06", "a compressed page is too long"},
  };
  for (const Case& c : cases) {
    Status status = Decode(std::string("00000000 01000000 00000000000000") + c.code + c.payload);
    HAVEN_CHECK_FAILS(StatusCode::kProtocol, (std::string("PAGES record: ") + c.message).c_str(), status);
  }
}

TEST(FgbiCodec, DecompressesWhatEachMethodCompressed) {
  Deflater deflater;
  Inflater inflater;
  for (size_t i = 0; i < kPageBytes; i++) page[i] = static_cast<uint8_t>(i % 50);
  for (auto method : {wire::Compression::kZlib, wire::Compression::kLz4, wire::Compression::kZstd}) {
    Bytes packed(kPageBytes);
    packed.resize(deflater.Compress(method, page, packed.data(), packed.size()));
    CHECK(packed.size() > 0 && packed.size() < 1000);
    Bytes out(kPageBytes);
    CHECK(inflater.Decompress(method, packed, out.data(), out.size()));
    CHECK(out == page);
    CHECK_FALSE(inflater.Decompress(method, packed, out.data(), out.size() - 1));
    CHECK_FALSE(inflater.Decompress(method, ByteSpan(packed).first(packed.size() - 1), out.data(), out.size()));
  }
}

TEST(FgbiCodec, LeavesRandomPagesAlone) {
  std::mt19937 random(3);
  Deflater deflater;
  for (uint8_t& octet : page) octet = static_cast<uint8_t>(random());
  Bytes packed(kPageBytes);
  for (auto method : {wire::Compression::kZlib, wire::Compression::kLz4, wire::Compression::kZstd}) {
    CHECK_EQUAL(0, deflater.Compress(method, page, packed.data(), kPageBytes - 300));
  }
}
