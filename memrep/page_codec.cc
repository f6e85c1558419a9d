// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/page_codec.h"

#include "core/assert.h"
#include "core/epoch.h"

namespace haven::memrep {
namespace {

constexpr int kCodeShift = 56;
constexpr uint64_t kIndexMask = (1ull << kCodeShift) - 1;

Status Malformed(const std::string& why) {
  return {StatusCode::kProtocol, "PAGES record: " + why};
}

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
  out.bytes = out.head.size() + out.payload.size() * kPageBytes;
}

Result<uint32_t> DecodePages(ByteSpan body, std::span<const uint64_t> region_pages,
                             std::vector<DecodedPage>& out) {
  out.clear();
  ByteReader r(body);
  uint32_t region = r.U32();
  uint32_t count = r.U32();
  if (!r.ok()) return Malformed("too short");
  if (region >= region_pages.size()) return Malformed("region " + std::to_string(region) + " does not exist");
  if (count == 0 || count > wire::kMaxPagesPerRecord) {
    return Malformed(std::to_string(count) + " pages are not between 1 and " +
                     std::to_string(wire::kMaxPagesPerRecord));
  }
  if (r.left() < count * sizeof(uint64_t)) return Malformed("too short for its list of pages");
  ByteReader payload(body.subspan(wire::kPagesHeadBytes + count * sizeof(uint64_t)));
  for (uint32_t i = 0; i < count; i++) {
    uint64_t entry = r.U64();
    uint64_t index = entry & kIndexMask;
    if (index >= region_pages[region]) {
      return Malformed("page " + std::to_string(index) + " lies outside of region " + std::to_string(region));
    }
    switch (static_cast<wire::PageCode>(entry >> kCodeShift)) {
      case wire::PageCode::kZero:
        out.push_back({index, nullptr});
        break;
      case wire::PageCode::kRaw: {
        ByteSpan data = payload.Raw(kPageBytes);
        if (!payload.ok()) return Malformed("too short for its pages");
        out.push_back({index, data.data()});
        break;
      }
      default:
        return Malformed("unknown code " + std::to_string(entry >> kCodeShift) + " of a page");
    }
  }
  if (payload.left() != 0) return Malformed(std::to_string(payload.left()) + " octets too long");
  return region;
}

}  // namespace haven::memrep
