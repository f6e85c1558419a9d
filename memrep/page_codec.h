/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_PAGE_CODEC_H
#define HAVEN_MEMREP_PAGE_CODEC_H

#include <vector>

#include "core/bytes.h"
#include "core/records.h"

namespace haven::memrep {

/// A page to send: its index in the region and its kPageBytes octets, which
/// nobody changes until the record is sent.
struct PageRef {
  uint64_t index;
  const uint8_t* data;
};

/// The body of one PAGES record: `head` first, then the parts of `payload`,
/// which may point into the pages themselves.
struct EncodedPages {
  Bytes head;
  std::vector<ByteSpan> payload;
  uint64_t bytes = 0;  ///< of the whole body
};

/// Turns pages into PAGES records. One thread; may keep state between epochs
/// (a cache of what the backup has), hence the two notifications.
class PageEncoder {
 public:
  virtual ~PageEncoder() = default;
  /// @param pages  1 .. wire::kMaxPagesPerRecord pages of one region.
  /// @param out    overwritten; its memory is used again.
  virtual void Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) = 0;
  /// The backup has committed everything encoded so far.
  virtual void Committed() = 0;
  /// The backup is gone, what it has is unknown: forget all.
  virtual void Reset() = 0;
};

/// Whole pages, as Remus sends them; pages of zeros travel without data.
class RawPageEncoder : public PageEncoder {
 public:
  void Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) override;
  void Committed() override {}
  void Reset() override {}
};

/// One decoded entry of a PAGES record.
struct DecodedPage {
  uint64_t index;
  const uint8_t* data;  ///< kPageBytes octets within the record's body; nullptr: zeros
};

/// Decodes a PAGES body. Pure; any thread.
/// @param body          untrusted.
/// @param region_pages  for each region of the layout, how many pages it has.
/// @param out           overwritten with the entries.
/// @return the region, or kProtocol when a count, index, code or length is
///         wrong. `out` points into `body`.
/// Source: docs/wire-protocol.md, PAGES.
Result<uint32_t> DecodePages(ByteSpan body, std::span<const uint64_t> region_pages,
                             std::vector<DecodedPage>& out);

/// Whether all of a page's octets are zero. Any alignment.
bool IsZeroPage(const uint8_t* page);

}  // namespace haven::memrep

#endif
