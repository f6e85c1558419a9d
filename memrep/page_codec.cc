// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_codec.h"

#include "core/assert.h"
#include "core/epoch.h"

namespace haven::memrep {
namespace {

constexpr int kCodeShift = 56;

}  // namespace

bool IsZeroPage(const uint8_t* page) {
  // A page compared with itself shifted by one is equal throughout exactly if
  // all octets equal the first; memcmp is the fastest loop there is for it.
  return page[0] == 0 && memcmp(page, page + 1, kPageBytes - 1) == 0;
}

void RawPageEncoder::Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) {
  HAVEN_ASSERT(!pages.empty() && pages.size() <= wire::kMaxPagesPerRecord);
  out.head.clear();
  out.payload.clear();
  ByteWriter w(out.head);
  w.U32(region);
  w.U32(static_cast<uint32_t>(pages.size()));
  for (const PageRef& page : pages) {
    bool zero = IsZeroPage(page.data);
    auto code = static_cast<uint64_t>(zero ? wire::PageCode::kZero : wire::PageCode::kRaw);
    w.U64(code << kCodeShift | page.index);
    if (!zero) out.payload.push_back({page.data, kPageBytes});
  }
  out.pages = static_cast<uint32_t>(pages.size());
  out.bytes = out.head.size() + out.payload.size() * kPageBytes;
}

}  // namespace haven::memrep
