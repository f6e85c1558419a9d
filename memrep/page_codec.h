/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_PAGE_CODEC_H
#define HAVEN_MEMREP_PAGE_CODEC_H

#include <memory>
#include <vector>

#include "core/bytes.h"
#include "core/records.h"
#include "core/room.h"
#include "memrep/encoder_options.h"

namespace haven::memrep {

/// A page to send: its index in the region and its kPageBytes octets, which
/// nobody changes until the record is sent.
struct PageRef {
  uint64_t index;
  const uint8_t* data;
};

/// The body of one PAGES record: `head` first, then the parts of `payload`,
/// which point into `coded` or into the pages themselves.
struct EncodedPages {
  Bytes head;
  std::vector<ByteSpan> payload;
  uint32_t pages = 0;  ///< entries; 0: none of the pages has changed, send nothing
  uint64_t bytes = 0;  ///< of the whole body
  Room coded;          ///< the encoder's
};

/// Turns pages into PAGES records. One thread; may keep state between epochs
/// (a cache of what the backup has), hence the notifications.
class PageEncoder {
 public:
  virtual ~PageEncoder() = default;
  /// @param pages  1 .. wire::kMaxPagesPerRecord pages of one region, by index.
  /// @param out    overwritten; its memory is used again.
  virtual void Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) = 0;
  /// What was encoded since the last call, or before the first, is one epoch.
  virtual void EndEpoch() = 0;
  /// The backup has committed the oldest epoch that has ended and of which this was not said.
  virtual void Committed() = 0;
  /// The backup is gone, what it has is unknown: forget all.
  virtual void Reset() = 0;
  /// What the link was measured to carry.
  virtual void SetLinkRate(uint64_t /*bytes_per_second*/) {}
  /// What happened since the last call.
  virtual EncoderFigures TakeFigures() { return {}; }
};

/// Whole pages, as Remus sends them; pages of zeros travel without data.
class RawPageEncoder : public PageEncoder {
 public:
  void Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) override;
  void EndEpoch() override {}
  void Committed() override {}
  void Reset() override {}
};

constexpr uint32_t kNoStoreSlot = ~0u;
/// What is in front of a kept page's payload: slot and code.
constexpr size_t kKeptHeadBytes = 5;

/// One decoded entry of a PAGES record: a change that ApplyPage() makes and
/// that cannot fail.
struct DecodedPage {
  uint64_t index;
  const uint8_t* data;           ///< as `code` says; nullptr: zeros
  wire::PageCode code;           ///< any but kCompressed, kKept and kStored
  uint32_t keep = kNoStoreSlot;  ///< of the store, for what the page is then
};

/// The entries of a PAGES record, in the order in which they apply.
struct DecodedRecord {
  uint32_t region = 0;
  std::vector<DecodedPage> pages;
  Bytes inflated;  ///< room for what was compressed; `pages` may point into it, and into the store
};

/// Decodes PAGES records. One thread, with workers to decompress.
class PageDecoder {
 public:
  /// @param region_pages  for each region of the layout, how many pages it has.
  /// @param workers       outlives it; nullptr: nobody helps.
  explicit PageDecoder(std::vector<uint64_t> region_pages, class WorkerPool* workers = nullptr);
  ~PageDecoder();

  /// The pages that this session shares with others; outlives what is decoded. nullptr: none.
  void Share(class StoreLease* lease) { lease_ = lease; }

  /// @param body  untrusted; `out` points into it.
  /// @param out   overwritten.
  /// @return kProtocol when a count, index, code or length is wrong, or
  ///         compressed octets are not what they should be.
  /// Source: docs/wire-protocol.md, PAGES.
  Status Decode(ByteSpan body, DecodedRecord& out);

 private:
  /// A compressed page of the record that is decoded.
  struct Compressed {
    wire::Compression method;
    wire::PageCode code;  ///< of the content
    ByteSpan in;
    uint8_t* content;  ///< where it goes
    size_t content_bytes;
  };

  Result<const uint8_t*> DecodePayload(wire::PageCode code, ByteSpan& payload) const;
  Status DecodeEntry(DecodedPage& page, ByteSpan& payload, uint8_t*& inflated);
  /// The slot in front of what a page becomes is taken; `code` is that of the rest.
  Status ReadKept(wire::PageCode& code, ByteSpan& payload, uint32_t& slot);
  Result<const uint8_t*> ReadStored(ByteSpan& payload) const;
  /// Decompressing is left for later; `at` moves behind where it will go.
  Result<const uint8_t*> ReadCompressed(wire::PageCode& code, ByteSpan& payload, uint8_t*& at);
  Status Inflate(const Compressed& page, class Inflater& inflater) const;
  Status InflateAll();
  bool Exists(uint64_t page_key) const;

  const std::vector<uint64_t> region_pages_;
  WorkerPool* const workers_;
  StoreLease* lease_ = nullptr;
  std::vector<std::unique_ptr<Inflater>> inflaters_;  ///< by worker
  std::vector<Compressed> compressed_;
};

/// The same for records without compressed pages, which it refuses.
/// @return the region.
Result<uint32_t> DecodePages(ByteSpan body, std::span<const uint64_t> region_pages, std::vector<DecodedPage>& out);

/// Makes one change. Pure.
/// @param regions  memory of the guest's regions, for references between pages.
/// @param to       the page's octets in it.
void ApplyPage(const DecodedPage& page, std::span<uint8_t* const> regions, uint8_t* to);

/// Whether all of a page's octets are zero. Any alignment.
bool IsZeroPage(const uint8_t* page);

}  // namespace haven::memrep

#endif
