/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_FGBI_ENCODER_H
#define HAVEN_MEMREP_FGBI_ENCODER_H

#include <deque>
#include <functional>

#include "memrep/block_references.h"
#include "memrep/compression.h"
#include "memrep/encoder_options.h"
#include "memrep/page_cache.h"
#include "memrep/page_codec.h"
#include "memrep/search_pace.h"

namespace haven::memrep {

/// Fine-grained block identification: sends of a dirty page what has changed
/// since the backup got it, or a reference to an equal page, or the page
/// compressed, whichever is worth its time. Decided by comparing octets with a
/// copy of what the backup has; hashes only find candidates.
///
/// A record is made in three steps: every page is looked at by itself, by all
/// workers; what needs the other pages (references, places in the cache) is
/// decided in the order of the pages, by one; what is left whole is
/// compressed, by all. So what is sent does not depend on the workers.
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
  void EndEpoch() override;
  void Committed() override;
  void Reset() override;

  void SetLinkRate(uint64_t bytes_per_second) override { compression_.SetLinkRate(bytes_per_second); }
  EncoderFigures TakeFigures() override;

 private:
  class Writer;

  /// What a worker needs for itself.
  struct Worker {
    Deflater deflater;
    Bytes packed = Bytes(kPageBytes + kCompressedHeadBytes);
  };

  /// What looking at a page by itself has shown.
  struct Look {
    enum class Kind : uint8_t {
      kUnchanged,  ///< nothing travels
      kAlone,      ///< `code` and `coded` travel; no other page matters
      kWhole,      ///< the page, or a reference, or the page compressed
      kLeftAlone,  ///< the page: it was like random the last times
    };
    Kind kind = Kind::kWhole;
    wire::PageCode code = wire::PageCode::kRaw;  ///< kAlone: kZero, kRun, kDelta, kSparse, maybe in kCompressed
    bool packed = false;                         ///< kAlone: it is compressed
    bool found = false;                          ///< the page was in the cache
    uint32_t slot = PageCache::kNoSlot;
    uint32_t changed_blocks = 0;
    uint32_t change_bytes = 0;  ///< before compression
    ByteSpan coded;
    uint64_t hash = 0;           ///< kWhole, when a page like it is searched
    bool blocks_hashed = false;  ///< kWhole, when blocks like its are searched
  };

  /// A page that does not travel alone, in the order of the pages.
  struct Whole {
    uint32_t page;                               ///< index among those of the record
    uint32_t slot = PageCache::kNoSlot;          ///< in the cache, from now on
    wire::PageCode code = wire::PageCode::kRaw;  ///< what stands for it
    uint32_t coded_bytes = 0;                    ///< in its room in the record, unless kRaw
    uint32_t keep = kNoStoreSlot;                ///< where the backup keeps it for others
  };
  /// A page that is put aside for others.
  struct Published {
    uint32_t slot;
    uint64_t hash;
  };

  void ForParts(size_t parts, const std::function<void(unsigned worker, size_t part)>& work);
  void LookUp(uint32_t region, std::span<const PageRef> pages, size_t begin, size_t end);
  void LookAtPart(uint32_t region, std::span<const PageRef> pages, size_t part, Worker& worker, uint8_t* to);
  /// What is compared after page i, of which there is one.
  Ahead AheadOf(std::span<const PageRef> pages, size_t i);
  void LookAt(const PageRef& page, const Ahead& ahead, Worker& worker, uint8_t*& to, Look& look);
  bool LookAtChange(const PageRef& page, const Ahead& ahead, uint8_t* to, Look& look);
  bool LookWhetherSparse(const PageRef& page, uint8_t* to, Look& look);
  void CodeAlone(wire::PageCode code, size_t bytes, Worker& worker, uint8_t*& to, Look& look);

  void EmitAlone(uint32_t region, std::span<const PageRef> pages, Writer& out);
  uint32_t SlotFor(PageKey key, const Look& look);

  /// Fills wholes_ and, where another thing stands for the page, its room in the record.
  void DecideWhole(uint32_t region, std::span<const PageRef> pages, EncodedPages& record);
  Whole LeaveAlone(PageKey key, uint32_t number);
  /// @param to  the page's room.
  Whole Decide(PageKey key, const PageRef& page, uint32_t number, uint8_t* to);
  /// @return whether the page is a reference now.
  bool ReferToEqual(PageKey key, const PageRef& page, uint64_t hash, uint8_t* to, Whole& whole);
  PageKey FindEqual(PageKey key, const PageRef& page, uint64_t hash);
  /// The same, to another guest's. A page that none knows, others may learn of.
  bool ReferToOthers(const PageRef& page, uint64_t hash, uint8_t* to, Whole& whole);
  void Assemble(PageKey key, const PageRef& page, const uint32_t* hashes, uint8_t* to, Whole& whole);
  /// Fills runs_. @return how many blocks are in them.
  size_t FindBlocks(PageKey key, const PageRef& page, const uint32_t* hashes);
  /// From now on the backup has it: it can be compared with, and be found.
  /// @param hashes  of its blocks; nullptr: they are not to be found.
  void Remember(const PageRef& page, const Whole& whole, uint64_t hash, const uint32_t* hashes);
  void CompressWhole(std::span<const PageRef> pages, EncodedPages& record);
  void EmitWhole(std::span<const PageRef> pages, EncodedPages& record, Writer& out);
  void CountWhole(wire::PageCode code);

  void Store(uint32_t slot, const PageRef& page);
  void WidenBlocks(PageDiff& diff) const;
  const uint8_t* BaseOf(uint32_t slot);

  const EncoderOptions options_;
  const DeltaKernels& kernels_;
  uint64_t (*const hash_)(const uint8_t*);
  PageCache cache_;
  ContentIndex index_;
  BlockIndex block_index_;
  CompressionChooser compression_;
  const Bytes zeros_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Look> looks_;             ///< of the record that is made
  std::vector<Whole> wholes_;           ///< of the record that is made
  std::vector<uint32_t> block_hashes_;  ///< of the record that is made, by page
  std::vector<BlockRun> runs_;          ///< of one page
  SearchPace equal_pace_{256, 16};      ///< of searches for an equal page
  SearchPace others_pace_{256, 16};     ///< the same among other guests' pages
  SearchPace block_pace_{128, 64};      ///< of searches for a page's blocks
  /// In the epoch that is encoded; in each that has ended; in the last that was committed: those the backup has
  /// for certain at the next commit, since it applies an epoch before it looks at another.
  std::vector<Published> published_;
  std::deque<std::vector<Published>> ended_;
  std::vector<Published> committed_;
  EncoderFigures figures_;
};

}  // namespace haven::memrep

#endif
