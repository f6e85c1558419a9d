// SPDX-License-Identifier: GPL-2.0-or-later
//
// PAGES bodies for a guest of three small regions, which shares pages: decoded,
// and what decodes is applied, with the sanitizer watching the edges of every page.

#include <algorithm>
#include <array>
#include <vector>

#include "core/assert.h"
#include "memrep/page_codec.h"
#include "memrep/page_store.h"

using namespace haven;
using namespace haven::memrep;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  const std::vector<uint64_t> region_pages{5, 1, 70};
  std::vector<Bytes> memory;
  std::vector<uint8_t*> regions;
  for (uint64_t pages : region_pages) memory.emplace_back(pages * kPageBytes, 0xA5);
  for (Bytes& region : memory) regions.push_back(region.data());

  auto store = PageStore::Create(8).value();
  auto other = store->Lease(), lease = store->Lease();  // slots 0 to 3, 4 and 5
  HAVEN_ASSERT(other->Take(0));
  other->Keep(0, regions[0]);
  PageDecoder decoder(region_pages);
  decoder.Share(lease.get());
  DecodedRecord record;
  // Twice: a decoder and a record are used again.
  for (int round = 0; round < 2; round++) {
    Status status = decoder.Decode({octets, size}, record);
    if (!status.ok()) {
      HAVEN_ASSERT(status.code() == StatusCode::kProtocol && !status.message().empty());
      return 0;
    }
    HAVEN_ASSERT(record.region < regions.size());
    HAVEN_ASSERT(!record.pages.empty() && record.pages.size() <= wire::kMaxPagesPerRecord);
    for (const DecodedPage& page : record.pages) {
      HAVEN_ASSERT(page.index < region_pages[record.region]);
      uint8_t* to = regions[record.region] + page.index * kPageBytes;
      ApplyPage(page, regions, to);
      if (page.keep != kNoStoreSlot) lease->Keep(page.keep, to);
    }
  }
  return 0;
}
