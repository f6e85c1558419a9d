// SPDX-License-Identifier: GPL-2.0-or-later
// Which pages the cache keeps, and which the encoder compresses.
#include <algorithm>

#include "tests/unit/memrep_fgbi_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

namespace {

constexpr uint64_t kFreeStepNs = 1000;
uint64_t clock_ns = 0, clock_step_ns = kFreeStepNs;
/// Each look at the clock takes a microsecond, more when the processor is busy.
uint64_t FakeClock() { return clock_ns += clock_step_ns; }

Bytes TextPage() {
  static constexpr char kText[] = "all happy families are alike; each unhappy family is unhappy in its own way. ";
  Bytes page(kPageBytes);
  for (size_t i = 0; i < kPageBytes; i++) page[i] = static_cast<uint8_t>(kText[i % (sizeof(kText) - 1)]);
  return page;
}

Bytes RandomPage(uint32_t seed) {
  std::mt19937 random(seed);
  Bytes page(kPageBytes);
  for (uint8_t& octet : page) octet = static_cast<uint8_t>(random());
  return page;
}

/// Encodes one page. @return the octets of its record.
uint64_t EncodeOne(FgbiEncoder& encoder, uint64_t index, const Bytes& page) {
  static EncodedPages out;  // megabytes, which a sanitizer is long in allocating
  PageRef ref{index, page.data()};
  encoder.Encode(0, {&ref, 1}, out);
  return out.pages == 0 ? 0 : out.bytes;
}

}  // namespace

TEST_GROUP(FgbiCache){void setup() override{clock_ns = 0, clock_step_ns = kFreeStepNs;
}
}
;

TEST(FgbiCache, FindsWhatItAdmitted) {
  PageCache cache(1000 * kPageBytes);
  std::vector<uint32_t> slots;
  for (uint64_t i = 0; i < 700; i++) slots.push_back(cache.Admit(MakePageKey(i % 3, i * 7)));
  for (uint64_t i = 0; i < 700; i++) {
    CHECK(slots[i] != PageCache::kNoSlot);
    CHECK_EQUAL(slots[i], cache.Find(MakePageKey(i % 3, i * 7)));
    CHECK(cache.KeyOf(slots[i]) == MakePageKey(i % 3, i * 7));
  }
  CHECK_EQUAL(PageCache::kNoSlot, cache.Find(MakePageKey(0, 1)));
  std::sort(slots.begin(), slots.end());
  CHECK(std::unique(slots.begin(), slots.end()) == slots.end());
  cache.Clear();
  CHECK_EQUAL(PageCache::kNoSlot, cache.Find(MakePageKey(0, 0)));
}

TEST(FgbiCache, KeepsAPageThatPaysWhilePagesPassByOnce) {
  PageCache cache(8 * kPageBytes);
  uint32_t good = cache.Admit(1);
  cache.StateOf(good).worth = 10;
  for (uint64_t i = 100; i < 200; i++) (void)cache.Admit(i);
  CHECK_EQUAL(good, cache.Find(1));
}

TEST(FgbiCache, GivesUpAPageThatDoesNotPayAnyMore) {
  PageCache cache(1 * kPageBytes);
  uint32_t old = cache.Admit(1);
  cache.StateOf(old).worth = 2;
  CHECK_EQUAL(PageCache::kNoSlot, cache.Admit(2));
  CHECK_EQUAL(PageCache::kNoSlot, cache.Admit(2));
  CHECK(cache.Admit(2) != PageCache::kNoSlot);
  CHECK_EQUAL(PageCache::kNoSlot, cache.Find(1));
}

TEST(FgbiCache, SendsNothingOfAPageThatIsAsBefore) {
  FgbiEncoder encoder({});
  Bytes page = RandomPage(1);
  CHECK(EncodeOne(encoder, 5, page) > kPageBytes);
  CHECK_EQUAL(0, EncodeOne(encoder, 5, page));
  encoder.Reset();
  CHECK(EncodeOne(encoder, 5, page) > kPageBytes);
}

TEST(FgbiCache, StopsComparingPagesThatChangeWhollyAndTriesAgain) {
  FgbiEncoder encoder({});
  for (uint32_t i = 0; i < 40; i++) (void)EncodeOne(encoder, 5, RandomPage(i));
  EncoderFigures figures = encoder.TakeFigures();
  CHECK_EQUAL(40, figures.raw);
  CHECK(figures.changed_blocks < 15 * 64);
  // It finds out when the page becomes one that changes little.
  Bytes page = RandomPage(99);
  for (uint32_t i = 0; i < 20; i++) {
    page[i * 100]++;
    (void)EncodeOne(encoder, 5, page);
  }
  CHECK(encoder.TakeFigures().run > 0);
}

TEST(FgbiCache, CompressesOnASlowLinkAndNotOnAFastOne) {
  for (auto [rate, compressed] : {std::pair<uint64_t, bool>{10'000'000, true}, {100'000'000'000, false}}) {
    EncoderOptions options;
    options.link_bytes_per_second = rate;
    options.now_ns = FakeClock;
    options.stages = EncoderStages::kCompression;
    FgbiEncoder encoder(options);
    for (uint64_t i = 0; i < 100; i++) (void)EncodeOne(encoder, i, TextPage());
    CHECK_EQUAL(compressed, encoder.TakeFigures().compressed > 90);
  }
}

TEST(FgbiCache, CompressesAsTheMeasuredLinkNeedsIt) {
  EncoderOptions options;
  options.now_ns = FakeClock;
  options.stages = EncoderStages::kCompression;
  FgbiEncoder encoder(options);
  CHECK(EncodeOne(encoder, 1, TextPage()) > kPageBytes);  // nothing is known of the link
  encoder.SetLinkRate(10'000'000);
  CHECK(EncodeOne(encoder, 1, TextPage()) < kPageBytes);
}

TEST(FgbiCache, CompressesAgainSoonAfterTheProcessorWasBusy) {
  EncoderOptions options;
  options.link_bytes_per_second = 250'000'000;  // compression pays for such text only
  options.now_ns = FakeClock;
  options.stages = EncoderStages::kCompression;
  FgbiEncoder encoder(options);
  auto compressed = [&](uint64_t epochs) {
    for (uint64_t i = 0; i < epochs * 100; i++) {
      (void)EncodeOne(encoder, i, TextPage());
      if (i % 100 != 99) continue;
      encoder.EndEpoch();
      encoder.Committed();
    }
    return encoder.TakeFigures().compressed;
  };
  CHECK_EQUAL(500, compressed(5));
  clock_step_ns = 1'000'000;
  (void)compressed(5);
  CHECK(compressed(24) < 50);
  clock_step_ns = kFreeStepNs;
  (void)compressed(24);
  CHECK_EQUAL(500, compressed(5));
}

TEST(FgbiCache, HardlyEverCompressesRandomPages) {
  EncoderOptions options;
  options.link_bytes_per_second = 1'000'000;
  options.now_ns = FakeClock;
  FgbiEncoder encoder(options);
  for (uint32_t i = 0; i < 200; i++) (void)EncodeOne(encoder, i, RandomPage(i));
  EncoderFigures figures = encoder.TakeFigures();
  CHECK_EQUAL(200, figures.raw);
  CHECK_EQUAL(0, figures.compress_ns);
}

TEST(FgbiCache, KeepsCompressionInItsBudget) {
  EncoderOptions options;
  options.link_bytes_per_second = 1'000'000;
  options.now_ns = FakeClock;
  options.cpu_percent = 1;
  options.stages = EncoderStages::kCompression;
  FgbiEncoder encoder(options);
  // A page takes a microsecond of this clock, and 2 ms may be saved up.
  for (uint64_t i = 0; i < 5000; i++) (void)EncodeOne(encoder, i, TextPage());
  uint64_t compressed = encoder.TakeFigures().compressed;
  CHECK(compressed > 1900 && compressed < 2100);
}

TEST(FgbiCache, RefersToAnEqualPageAfterComparingIt) {
  EncoderOptions options;
  options.page_hash = [](const uint8_t*) -> uint64_t { return 1; };
  FgbiEncoder encoder(options);
  (void)EncodeOne(encoder, 1, RandomPage(1));
  CHECK(EncodeOne(encoder, 2, RandomPage(2)) > kPageBytes);  // the same hash
  CHECK(EncodeOne(encoder, 3, RandomPage(2)) < 50);
  CHECK_EQUAL(1, encoder.TakeFigures().same);
}
