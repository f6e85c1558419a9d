// SPDX-License-Identifier: GPL-2.0-or-later
// The backup's pages that guests share, and which session may fill which.
#include "memrep/page_stores.h"

#include "core/bytes.h"
#include "core/epoch.h"
#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

TEST_GROUP(PageStore) {
  std::shared_ptr<PageStore> store = PageStore::Create(64).value();
  Bytes ones = Bytes(kPageBytes, 1);
};

TEST(PageStore, KeepsWhatASessionHasFilled) {
  auto lease = store->Lease();
  uint32_t slot = lease->first();
  POINTERS_EQUAL(nullptr, store->Find(slot));
  CHECK(lease->Take(slot));
  POINTERS_EQUAL(nullptr, store->Find(slot));
  lease->Keep(slot, ones.data());
  MEMCMP_EQUAL(ones.data(), store->Find(slot), kPageBytes);
  POINTERS_EQUAL(nullptr, store->Find(slot + 1));
  POINTERS_EQUAL(nullptr, store->Find(64));
  POINTERS_EQUAL(nullptr, store->Find(UINT32_MAX));
}

TEST(PageStore, GivesASlotToOneSessionAndOnce) {
  auto a = store->Lease(), b = store->Lease();
  CHECK_EQUAL(32, a->count());
  CHECK_EQUAL(16, b->count());
  for (uint32_t slot = 0; slot < 70; slot++) {
    bool of_a = a->Take(slot), of_b = b->Take(slot);
    CHECK_FALSE(of_a && of_b);
    CHECK_EQUAL(slot < 32, of_a);
    CHECK_EQUAL(slot >= 32 && slot < 48, of_b);
    CHECK_FALSE(a->Take(slot));
    CHECK_FALSE(b->Take(slot));
  }
  CHECK_FALSE(a->Take(UINT32_MAX));
}

TEST(PageStore, FreesTheSlotsThatASessionLeavesEmpty) {
  {
    auto lease = store->Lease();
    for (uint32_t slot = 0; slot < 3; slot++) {
      CHECK(lease->Take(slot));
      if (slot < 2) lease->Keep(slot, ones.data());  // the third is of an epoch that never came
    }
  }
  auto lease = store->Lease();
  CHECK_EQUAL(2, lease->first());
  CHECK_EQUAL(31, lease->count());
  CHECK(lease->Take(2));
  CHECK_FALSE(lease->Take(1));
  CHECK(store->Find(1) != nullptr);
}

TEST(PageStore, IsUsedUpInTheEnd) {
  for (uint32_t round = 0; round < 64; round++) {
    auto lease = store->Lease();
    for (uint32_t slot = lease->first(); slot < lease->first() + lease->count(); slot++) {
      CHECK(lease->Take(slot));
      lease->Keep(slot, ones.data());
    }
  }
  for (uint32_t slot = 0; slot < 64; slot++) CHECK(store->Find(slot) != nullptr);
  CHECK_EQUAL(0, store->Lease()->count());
}

TEST_GROUP(PageStores){};

TEST(PageStores, AreOneForEachGroupAndHostAndVanishWithTheirLastSession) {
  PageStores stores(16);
  wire::Token here{1}, there{2};
  auto lease = [&](const char* group, const wire::Token& host) { return std::move(stores.Lease(group, host).value()); };
  auto a = lease("web", here);
  wire::Token first = a->store().instance();
  auto b = lease("web", here);
  CHECK(b->store().instance() == first);
  CHECK_FALSE(lease("db", here)->store().instance() == first);
  CHECK_FALSE(lease("web", there)->store().instance() == first);
  a.reset();
  CHECK(lease("web", here)->store().instance() == first);
  b.reset();
  CHECK_FALSE(lease("web", here)->store().instance() == first);
}
