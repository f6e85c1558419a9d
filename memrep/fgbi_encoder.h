/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_FGBI_ENCODER_H
#define HAVEN_MEMREP_FGBI_ENCODER_H

#include "memrep/compression.h"
#include "memrep/encoder_options.h"
#include "memrep/page_cache.h"
#include "memrep/page_codec.h"

namespace haven::memrep {

/// Fine-grained block identification: sends of a dirty page what has changed
/// since the backup got it, or a reference to an equal page, or the page
/// compressed, whichever is worth its time. Decided by comparing octets with a
/// copy of what the backup has; hashes only find candidates.
///
/// Entries depend on those before them: the records have to be applied in the
/// order in which they were encoded. They need not be committed one by one:
/// what is encoded is counted as received, until Reset() says otherwise.
///
/// One thread. Octets per page do not depend on the guest's size.
class FgbiEncoder : public PageEncoder {
 public:
  explicit FgbiEncoder(const EncoderOptions& options);
  ~FgbiEncoder() override;

  void Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) override;
  void Committed() override { compression_.Tick(); }
  void Reset() override;

  void SetLinkRate(uint64_t bytes_per_second) override { compression_.SetLinkRate(bytes_per_second); }
  EncoderFigures TakeFigures() override;

 private:
  class Writer;

  void EncodePage(PageKey key, uint32_t slot, const PageRef& page, const Ahead& ahead, Writer& out);
  bool EncodeChange(uint32_t slot, const PageRef& page, const Ahead& ahead, Writer& out);
  void EmitChange(wire::PageCode code, uint64_t index, size_t bytes, Writer& out);
  void EncodeWhole(uint32_t slot, PageKey key, const PageRef& page, Writer& out);
  bool EncodeSparse(uint32_t slot, const PageRef& page, Writer& out);
  bool EncodeSame(PageKey key, const PageRef& page, uint64_t hash, Writer& out);
  void Store(uint32_t slot, const PageRef& page);
  void WidenBlocks(PageDiff& diff) const;
  const uint8_t* BaseOf(uint32_t slot);

  const EncoderOptions options_;
  const DeltaKernels& kernels_;
  uint64_t (*const hash_)(const uint8_t*);
  PageCache cache_;
  ContentIndex index_;
  CompressionChooser compression_;
  const Bytes zeros_;
  Bytes packed_;
  uint32_t fruitless_ = 0;  ///< searches for an equal page in a row
  EncoderFigures figures_;
};

}  // namespace haven::memrep

#endif
