/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_ENCODER_OPTIONS_H
#define HAVEN_MEMREP_ENCODER_OPTIONS_H

#include <cstdint>

#include "core/wire.h"
#include "memrep/delta.h"

namespace haven::memrep {

/// Which parts of the encoder work, for comparisons; kAll otherwise.
enum class EncoderStages : uint8_t {
  kNone = 0,         ///< whole pages, as Remus sends them
  kBlocks = 1,       ///< what has changed of a page
  kSharing = 2,      ///< whole pages, references to equal ones
  kCompression = 3,  ///< whole pages, compressed
  kAll = 4,
};

enum class CompressionChoice : uint8_t { kAdaptive = 0, kZlibOnly = 1, kLz4Only = 2, kZstdOnly = 3 };

struct EncoderOptions {
  EncoderStages stages = EncoderStages::kAll;
  CompressionChoice compression = CompressionChoice::kAdaptive;
  /// 64: blocks, and of each the words or octets that changed. 128, 256:
  /// whole blocks of that size, as FGBI sends them.
  uint32_t block_bytes = 64;
  /// Of 64-octet blocks too, send all.
  bool whole_blocks = false;
  /// For copies of what the backup has.
  uint64_t cache_bytes = 128ull << 20;
  /// What compression may take of one processor's time.
  uint32_t cpu_percent = 100;
  /// What the link carries; compression that takes longer than the octets it
  /// saves is left out. 0: as measured while sending.
  uint64_t link_bytes_per_second = 0;

  /// Who helps the thread that encodes; outlives the encoder. nullptr: nobody.
  class WorkerPool* workers = nullptr;

  /// Pages of other guests that the backup has; outlives the encoder. nullptr: none.
  class SharedPages* shared = nullptr;

  /// What the backup understands: wire::kFeature...
  uint64_t features = wire::kFeaturesKnown;

  // For tests.
  const DeltaKernels* kernels = nullptr;            ///< nullptr: BestKernels()
  uint64_t (*page_hash)(const uint8_t*) = nullptr;  ///< nullptr: SampleHash()
  uint64_t (*now_ns)() = nullptr;                   ///< nullptr: the steady clock

  bool blocks() const { return Has(EncoderStages::kBlocks, wire::kFeaturePageDeltas); }
  bool sharing() const { return Has(EncoderStages::kSharing, wire::kFeatureSamePages); }
  bool sharing_blocks() const { return sharing() && (features & wire::kFeatureAssembledPages) != 0; }
  bool sharing_with_others() const {
    return shared != nullptr && Has(EncoderStages::kSharing, wire::kFeatureSharedPages);
  }
  bool compressing() const { return Has(EncoderStages::kCompression, wire::kFeatureCompressedPages); }
  bool caching() const { return blocks() || sharing(); }

 private:
  bool Has(EncoderStages stage, uint64_t feature) const {
    return (stages == stage || stages == EncoderStages::kAll) && (features & feature) != 0;
  }
};

/// What became of the pages given to an encoder, since it was last asked.
struct EncoderFigures {
  uint64_t pages = 0;      ///< dirty, as the hardware says
  uint64_t unchanged = 0;  ///< of them: equal to what the backup has; not sent
  uint64_t zero = 0, run = 0, delta = 0, sparse = 0, same = 0, assembled = 0, compressed = 0, raw = 0;
  uint64_t shared = 0;  ///< as references to pages of other guests
  uint64_t cache_hits = 0, cache_misses = 0;
  uint64_t changed_blocks = 0;       ///< 64-octet blocks of pages found in the cache
  uint64_t bytes_after_blocks = 0;   ///< what travels if only blocks() worked after the cache
  uint64_t bytes_after_sharing = 0;  ///< ... and sharing()
  uint64_t bytes = 0;                ///< what travels
  uint64_t encode_ns = 0;            ///< of all threads
  uint64_t compress_ns = 0;          ///< of it

  void Add(const EncoderFigures& other);
};

}  // namespace haven::memrep

#endif
