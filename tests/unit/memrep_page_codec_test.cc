// SPDX-License-Identifier: GPL-2.0-or-later
//
// Raw and zero pages: what RawPageEncoder sends and what a hostile body may
// not say. The other codes: memrep_fgbi_*.

#include "memrep/page_codec.h"

#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;
using namespace haven::test;

TEST_GROUP(PageCodec) {
  Bytes ones = Bytes(kPageBytes, 0x11);
  Bytes zeros = Bytes(kPageBytes, 0x00);
  std::vector<uint64_t> region_pages{2, 10};
  std::vector<DecodedPage> decoded;

  Bytes Encode(uint32_t region, const std::vector<PageRef>& pages) {
    RawPageEncoder encoder;
    EncodedPages out;
    encoder.Encode(region, pages, out);
    Bytes body = out.head;
    for (ByteSpan part : out.payload) body.insert(body.end(), part.begin(), part.end());
    CHECK_EQUAL(body.size(), out.bytes);
    return body;
  }
  Status Decode(const Bytes& body) { return DecodePages(body, region_pages, decoded).status(); }
};

TEST(PageCodec, HasTheDocumentsOctets) {
  Bytes body = Encode(1, {{3, ones.data()}, {9, zeros.data()}});
  STRCMP_EQUAL(
      "01000000020000000300000000000000"
      "0900000000000001",
      ToHex(ByteSpan(body).first(24)).c_str());
  CHECK(Bytes(body.begin() + 24, body.end()) == ones);
  auto region = DecodePages(body, region_pages, decoded);
  HAVEN_CHECK_OK(region.status());
  CHECK_EQUAL(1, region.value());
  CHECK_EQUAL(2, decoded.size());
  CHECK_EQUAL(3, decoded[0].index);
  MEMCMP_EQUAL(ones.data(), decoded[0].data, kPageBytes);
  CHECK_EQUAL(9, decoded[1].index);
  POINTERS_EQUAL(nullptr, decoded[1].data);
}

TEST(PageCodec, RefusesEveryPrefixAndAnythingLonger) {
  Bytes body = Encode(1, {{3, ones.data()}, {9, zeros.data()}});
  for (size_t cut = 0; cut < body.size(); cut++) {
    Bytes prefix(body.begin(), body.begin() + static_cast<ptrdiff_t>(cut));
    HAVEN_CHECK_FAILS(StatusCode::kProtocol,
                      cut < 8    ? "PAGES record: too short"
                      : cut < 24 ? "PAGES record: too short for its list of pages"
                                 : "PAGES record: too short for its pages",
                      Decode(prefix));
  }
  body.push_back(0);
  HAVEN_CHECK_FAILS(StatusCode::kProtocol, "PAGES record: 1 octets too long", Decode(body));
}

TEST(PageCodec, RefusesRegionsCountsIndexesAndCodesThatCannotBe) {
  struct Case {
    const char* body;
    const char* message;
  };
  const Case cases[] = {
      {"02000000 01000000 0000000000000001", "PAGES record: region 2 does not exist"},
      {"ffffffff 01000000 0000000000000001", "PAGES record: region 4294967295 does not exist"},
      {"00000000 00000000", "PAGES record: 0 pages are not between 1 and 512"},
      {"00000000 01020000", "PAGES record: 513 pages are not between 1 and 512"},
      {"00000000 ffffffff", "PAGES record: 4294967295 pages are not between 1 and 512"},
      {"00000000 01000000 0200000000000001", "PAGES record: page 2 lies outside of region 0"},
      {"00000000 01000000 ffffffffffffff01", "PAGES record: page 72057594037927935 lies outside of region 0"},
      {"00000000 01000000 00000000000000ff", "PAGES record: unknown code 255 of a page"},
      {"00000000 01000000 000000000000000a", "PAGES record: unknown code 10 of a page"},
      {"00000000 01000000 0000000000000008 00000000 01",
       "PAGES record: a page is shared, but this session shares none"},
      {"00000000 01000000 0000000000000009 00000000", "PAGES record: a page is shared, but this session shares none"},
  };
  for (const Case& c : cases) HAVEN_CHECK_FAILS(StatusCode::kProtocol, c.message, Decode(FromHex(c.body)));
}

TEST(PageCodec, TakesAFullRecord) {
  region_pages = {wire::kMaxPagesPerRecord};
  std::vector<PageRef> pages;
  for (uint64_t i = 0; i < wire::kMaxPagesPerRecord; i++) pages.push_back({i, ones.data()});
  Bytes body = Encode(0, pages);
  CHECK(body.size() <= wire::kMaxBodyBytes);
  HAVEN_CHECK_OK(Decode(body));
  CHECK_EQUAL(512, decoded.size());
}

TEST(PageCodec, KnowsAPageOfZerosByEveryOctet) {
  CHECK(IsZeroPage(zeros.data()));
  for (size_t i = 0; i < kPageBytes; i++) {
    zeros[i] = 1;
    CHECK_FALSE(IsZeroPage(zeros.data()));
    zeros[i] = 0;
  }
  CHECK_FALSE(IsZeroPage(ones.data()));  // all octets equal, but not zero
}
