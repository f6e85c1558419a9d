// SPDX-License-Identifier: GPL-2.0-or-later
// Whatever the guest writes, whatever the encoder is told to use: the backup's
// image equals the guest's memory after every epoch.
#include <algorithm>

#include "memrep/worker_pool.h"
#include "tests/unit/memrep_fgbi_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

namespace {

constexpr uint64_t kManyPages = 700;
constexpr uint64_t kFewPages = 40;

uint64_t SameHash(const uint8_t*) { return 42; }

/// @return the figures of all epochs.
EncoderFigures Follow(const EncoderOptions& options, uint32_t seed, unsigned epochs) {
  FgbiEncoder encoder(options);
  RandomGuest guest(seed, {kManyPages, 1, kFewPages});
  guest.Run(300);
  Status sent = guest.Synchronise(encoder);
  CHECK_TEXT(sent.ok(), sent.message().c_str());
  STRCMP_EQUAL("", guest.Difference().c_str());
  for (unsigned i = 0; i < epochs; i++) {
    guest.Run(60);
    sent = guest.Checkpoint(encoder);
    CHECK_TEXT(sent.ok(), sent.message().c_str());
    STRCMP_EQUAL("", guest.Difference().c_str());
  }
  return encoder.TakeFigures();
}

EncoderOptions SlowLink() {
  EncoderOptions options;
  options.link_bytes_per_second = 1'000'000;  // everything that is shorter pays
  return options;
}

}  // namespace

TEST_GROUP(FgbiProperty){};

TEST(FgbiProperty, FollowsTheGuestOnEveryProcessorPath) {
  for (const DeltaKernels* kernels : AllKernels()) {
    EncoderOptions options = SlowLink();
    options.kernels = kernels;
    EncoderFigures figures = Follow(options, 1, 120);
    CHECK(figures.run > 0);
    CHECK(figures.delta > 0);
    CHECK(figures.sparse > 0);
    CHECK(figures.same > 0);
    CHECK(figures.assembled > 0);
    CHECK(figures.zero > 0);
    CHECK(figures.raw > 0);
    CHECK(figures.compressed > 0);
    CHECK(figures.unchanged > 0);
  }
}

TEST(FgbiProperty, FollowsTheGuestInEveryStage) {
  for (auto stages : {EncoderStages::kNone, EncoderStages::kBlocks, EncoderStages::kSharing,
                      EncoderStages::kCompression, EncoderStages::kAll}) {
    EncoderOptions options = SlowLink();
    options.stages = stages;
    EncoderFigures figures = Follow(options, 2, 60);
    CHECK_EQUAL(options.blocks(), figures.run + figures.delta > 0);
    CHECK_EQUAL(options.sharing(), figures.same > 0);
    CHECK_EQUAL(options.sharing(), figures.assembled > 0);
    CHECK_EQUAL(options.compressing(), figures.compressed > 0);
  }
}

TEST(FgbiProperty, FollowsTheGuestWithEveryBlockSize) {
  for (uint32_t block_bytes : {64u, 128u, 256u}) {
    for (bool whole : {false, true}) {
      EncoderOptions options;
      options.block_bytes = block_bytes;
      options.whole_blocks = whole;
      CHECK(Follow(options, 3, 60).delta > 0);
    }
  }
}

TEST(FgbiProperty, FollowsTheGuestWithEveryCompressor) {
  for (auto choice : {CompressionChoice::kZlibOnly, CompressionChoice::kLz4Only, CompressionChoice::kZstdOnly}) {
    EncoderOptions options;
    options.compression = choice;
    CHECK(Follow(options, 4, 40).compressed > 0);
  }
}

TEST(FgbiProperty, FollowsTheGuestUnderCachePressure) {
  for (uint64_t pages : {1u, 3u, 16u, 100u}) {
    EncoderOptions options = SlowLink();
    options.cache_bytes = pages * kPageBytes;
    EncoderFigures figures = Follow(options, static_cast<uint32_t>(pages), 60);
    CHECK(figures.cache_misses > 0);
  }
}

TEST(FgbiProperty, FollowsTheGuestWhenAllHashesCollide) {
  EncoderOptions options;
  options.page_hash = SameHash;
  Follow(options, 5, 100);
}

TEST(FgbiProperty, FollowsTheGuestAcrossAbandonedEpochs) {
  for (uint32_t seed = 10; seed < 16; seed++) {
    FgbiEncoder encoder(SlowLink());
    RandomGuest guest(seed, {kFewPages, kFewPages});
    for (int connection = 0; connection < 8; connection++) {
      Status sent = guest.Synchronise(encoder);
      CHECK_TEXT(sent.ok(), sent.message().c_str());
      for (uint32_t i = 0; i < seed % 5 + 1; i++) {
        guest.Run(30);
        sent = guest.Checkpoint(encoder);
        CHECK_TEXT(sent.ok(), sent.message().c_str());
        STRCMP_EQUAL("", guest.Difference().c_str());
      }
      guest.Run(30);
      sent = guest.Abandon(encoder);
      CHECK_TEXT(sent.ok(), sent.message().c_str());
      guest.Run(5);  // without a backup
    }
  }
}

TEST(FgbiProperty, SendsTheSameOctetsWithAnyNumberOfWorkers) {
  auto record = [](unsigned threads, bool compress) {
    EncoderOptions options;
    if (compress) options.compression = CompressionChoice::kLz4Only;  // by content alone, not by time
    WorkerPool workers(threads);
    options.workers = &workers;
    FgbiEncoder encoder(options);
    RandomGuest guest(6, {kManyPages, kFewPages});
    guest.Run(300);
    CHECK(guest.Synchronise(encoder).ok());
    for (int i = 0; i < 30; i++) {
      guest.Run(400);
      CHECK(guest.Checkpoint(encoder).ok());
      STRCMP_EQUAL("", guest.Difference().c_str());
    }
    return guest.wire_crc();
  };
  for (bool compress : {false, true}) {
    uint32_t alone = record(1, compress);
    for (unsigned threads : {2u, 3u, 7u}) CHECK_EQUAL(alone, record(threads, compress));
  }
}

TEST(FgbiProperty, FollowsTheGuestWhenWorkersMeasureTheLink) {
  WorkerPool workers(4);
  EncoderOptions options = SlowLink();
  options.workers = &workers;
  EncoderFigures figures = Follow(options, 7, 100);
  CHECK(figures.compressed > 0);
  CHECK(figures.same > 0);
}

TEST(FgbiProperty, FollowsManyShortRandomHistories) {
  for (uint32_t seed = 100; seed < 130; seed++) {
    EncoderOptions options = SlowLink();
    options.cache_bytes = (seed % 7 + 1) * 20 * kPageBytes;
    Follow(options, seed, 12);
  }
}
