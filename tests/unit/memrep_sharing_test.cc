// SPDX-License-Identifier: GPL-2.0-or-later
// Two guests that share pages: whatever they write, and however their
// connections end, each image equals its guest.
#include <algorithm>

#include "memrep/page_stores.h"
#include "memrep/shared_pages.h"
#include "memrep/worker_pool.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"
#include "tests/unit/memrep_fgbi_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

namespace {

constexpr uint64_t kPages = 200;

uint64_t SameHash(const uint8_t*) { return 42; }

/// One guest with its encoder and its backup.
struct SharingGuest {
  SharingGuest(PageStores& in, std::string folder_in, uint32_t seed, const EncoderOptions& options_in)
      : stores(in), folder(std::move(folder_in)), options(options_in), guest(seed, {kPages, 3}) {}

  /// A new connection, with everything that belongs to one.
  void Connect() {
    encoder.reset();
    shared.reset();
    auto next = stores.Lease("group", {}).value().release();
    guest.lease = next;
    wire::StoreReply reply{next->store().instance(), next->store().slots(), next->first(), next->count()};
    auto opened = SharedPages::Open(folder, reply);
    HAVEN_CHECK_OK(opened.status());
    shared = std::move(opened.value());
    options.shared = shared.get();
    encoder = std::make_unique<FgbiEncoder>(options);
    HAVEN_CHECK_OK(guest.Synchronise(*encoder));
    lease.reset(next);
    Check();
  }
  void Epoch(unsigned writes) {
    guest.Run(writes);
    Checkpoint();
  }
  void Checkpoint() {
    HAVEN_CHECK_OK(guest.Checkpoint(*encoder));
    Check();
  }
  void Check() { STRCMP_EQUAL("", guest.Difference().c_str()); }

  PageStores& stores;
  const std::string folder;
  EncoderOptions options;
  std::unique_ptr<StoreLease> lease;
  RandomGuest guest;
  std::unique_ptr<SharedPages> shared;
  std::unique_ptr<FgbiEncoder> encoder;
};

}  // namespace

TEST_GROUP(Sharing) {
  blkrep::test::TempFolder folder;

  std::unique_ptr<SharingGuest> NewGuest(PageStores & stores, uint32_t seed, const EncoderOptions& options = {}) {
    return std::make_unique<SharingGuest>(stores, folder.File(""), seed, options);
  }
  /// Histories of two guests that copy from each other. @return the pages that were shared.
  uint64_t Follow(uint32_t slots, const EncoderOptions& options, uint32_t seed, int epochs) {
    PageStores stores(slots);
    auto a = NewGuest(stores, seed, options), b = NewGuest(stores, seed, options);
    SharingGuest* both[] = {a.get(), b.get()};
    std::mt19937 random(seed);
    uint64_t shared = 0;
    for (SharingGuest* one : both) one->guest.Run(150);
    for (SharingGuest* one : both) one->Connect();
    for (int epoch = 0; epoch < epochs; epoch++) {
      auto& one = *both[random() % 2];
      auto& other = &one == both[0] ? *both[1] : *both[0];
      one.guest.Run(20);
      for (int i = 0; i < 10; i++) {
        uint64_t to = random() % kPages;
        memcpy(one.guest.page(0, to), other.guest.page(0, random() % kPages), kPageBytes);
        one.guest.MarkDirty(0, to);
      }
      if (random() % 8 == 0) {
        HAVEN_CHECK_OK(one.guest.Abandon(*one.encoder));
        shared += one.encoder->TakeFigures().shared;
        one.Connect();
      } else {
        one.Checkpoint();
      }
    }
    for (SharingGuest* one : both) shared += one->encoder->TakeFigures().shared;
    return shared;
  }
};

TEST(Sharing, BothImagesEqualTheirGuests) {
  for (uint32_t seed = 1; seed <= 6; seed++) CHECK(Follow(4096, {}, seed, 60) > 20);
}

TEST(Sharing, BothImagesEqualTheirGuestsWhenTheStoreIsFull) {
  for (uint32_t slots : {1u, 7u, 60u}) Follow(slots, {}, slots, 60);
}

TEST(Sharing, BothImagesEqualTheirGuestsWhenAllHashesCollide) {
  EncoderOptions options;
  options.page_hash = SameHash;
  Follow(4096, options, 3, 80);
}

TEST(Sharing, BothImagesEqualTheirGuestsWithWorkersAndCompression) {
  WorkerPool workers(3);
  EncoderOptions options;
  options.workers = &workers;
  options.compression = CompressionChoice::kLz4Only;
  options.link_bytes_per_second = 1'000'000;
  CHECK(Follow(4096, options, 4, 60) > 50);
}

TEST(Sharing, APageIsSharedOnlyAfterItsEpochWasApplied) {
  PageStores stores(4096);
  auto a = NewGuest(stores, 1), b = NewGuest(stores, 2);
  for (SharingGuest* one : {a.get(), b.get()}) {
    one->Connect();
    one->Epoch(0);
    one->Epoch(0);
  }
  Bytes page(kPageBytes);
  std::mt19937 random(9);
  for (uint8_t& octet : page) octet = static_cast<uint8_t>(random());
  auto write = [&page](SharingGuest& one, uint64_t index) {
    one.guest.Run(0);
    memcpy(one.guest.page(0, index), page.data(), kPageBytes);
    one.guest.MarkDirty(0, index);
    one.Checkpoint();
    return one.encoder->TakeFigures().shared;
  };
  CHECK_EQUAL(0, write(*a, 5));
  CHECK_EQUAL(0, write(*b, 6));  // committed at the backup, and maybe not applied
  a->Epoch(0);
  page[0]++;
  CHECK_EQUAL(0, write(*a, 5));
  a->Epoch(0);  // both have been applied by now
  page[0]--;
  b->guest.Run(0);
  memcpy(b->guest.page(0, 9), page.data(), kPageBytes);
  b->encoder->Reset();  // it has forgotten that it has such a page
  b->guest.MarkDirty(0, 9);
  b->Checkpoint();
  CHECK_EQUAL(1, b->encoder->TakeFigures().shared);
}

TEST(Sharing, AGuestLikeAnotherTravelsAsReferences) {
  PageStores stores(4096);
  auto a = NewGuest(stores, 1), b = NewGuest(stores, 1);
  a->guest.Run(300);
  b->guest.Run(300);
  a->Connect();
  a->Epoch(0);
  a->Epoch(0);
  b->Connect();
  uint64_t first = a->guest.wire_bytes(), second = b->guest.wire_bytes();
  CHECK(second * 4 < first);
  CHECK(b->encoder->TakeFigures().shared > 20);
}

TEST(Sharing, CostsNoOctetWhenItIsOff) {
  auto sent = [](const EncoderOptions& options) {
    FgbiEncoder encoder(options);
    RandomGuest guest(5, {kPages, 3});
    guest.Run(200);
    HAVEN_CHECK_OK(guest.Synchronise(encoder));
    for (int i = 0; i < 10; i++) {
      guest.Run(50);
      HAVEN_CHECK_OK(guest.Checkpoint(encoder));
    }
    return guest.wire_crc();
  };
  EncoderOptions without;
  without.features &= ~wire::kFeatureSharedPages;
  CHECK_EQUAL(sent(without), sent({}));
}

TEST(Sharing, IsLeftOutWhenTheBackupOrTheStagesHaveItNot) {
  PageStores stores(64);
  auto lease = std::move(stores.Lease("group", {}).value());
  auto shared = SharedPages::Open(folder.File(""), {lease->store().instance(), 64, 0, 32});
  HAVEN_CHECK_OK(shared.status());
  EncoderOptions options;
  options.shared = shared.value().get();
  CHECK(options.sharing_with_others());
  options.stages = EncoderStages::kBlocks;
  CHECK_FALSE(options.sharing_with_others());
  options.stages = EncoderStages::kSharing;
  options.features &= ~wire::kFeatureSharedPages;
  CHECK_FALSE(options.sharing_with_others());
}
