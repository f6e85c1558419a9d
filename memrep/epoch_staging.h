/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_EPOCH_STAGING_H
#define HAVEN_MEMREP_EPOCH_STAGING_H

#include <vector>

#include "memrep/guest_image.h"
#include "memrep/page_codec.h"
#include "memrep/page_store.h"
#include "memrep/worker_pool.h"

namespace haven::memrep {

/// Collects one epoch's pages and device state until they are known to be
/// complete; only then do they touch the image. Pages of the first
/// synchronisation (kSyncEpoch), which is no state to return to, go into the
/// image at once. Thread: one.
class EpochStaging {
 public:
  /// @param workers  outlives it; nullptr: nobody helps.
  explicit EpochStaging(GuestImage& image, WorkerPool* workers = nullptr);

  /// Before the first page: a store in which pages are kept and found. Outlives
  /// what is staged. nullptr: none.
  void Share(StoreLease* lease);

  /// @param body  a PAGES body; taken, and one that is not needed any more left
  ///              for its memory. @return kProtocol if it is malformed, or the
  ///              epoch holds more than twice what the guest has.
  Status AddPages(Epoch epoch, Bytes& body);
  /// @param body  a DEVICE_STATE body: the pieces come in order.
  Status AddDeviceState(Epoch epoch, ByteSpan body);
  /// Whether what is staged is the whole of `epoch`. @return kProtocol naming the count that differs.
  Status Check(Epoch epoch, const wire::EpochEnd& end) const;
  /// Copies the staged epoch, which Check() accepted, into the image.
  void Apply(Epoch epoch, const wire::EpochEnd& end);
  /// Drops what is staged.
  void Clear();

  /// What AddPages() took, of the epoch that is staged.
  uint64_t decode_ns() const { return decode_ns_; }

 private:
  struct StagedRecord {
    Bytes body;  ///< owns what `decoded` points into
    DecodedRecord decoded;
  };
  /// Entries of one record.
  struct Stretch {
    const DecodedRecord* record;
    size_t begin, end;
  };

  Status Enter(Epoch epoch);
  void WriteStaged();
  /// Writes stretches without references to other pages, in any order of pages.
  void WriteAlone(std::span<const Stretch> stretches, uint64_t pages);
  void Write(const Stretch& stretch);
  void Make(const DecodedPage& page, uint8_t* region);

  GuestImage& image_;
  WorkerPool* const workers_;
  PageDecoder decoder_;
  StoreLease* lease_ = nullptr;
  std::vector<uint8_t*> region_data_;
  uint64_t guest_pages_ = 0;
  Epoch epoch_ = kSyncEpoch;
  std::vector<StagedRecord> staged_;  ///< in the order of coming, which is that of applying ...
  size_t staged_count_ = 0;           ///< ... the first of them; the others' memory waits
  DecodedRecord sync_record_;
  Bytes device_state_;
  uint64_t device_state_total_ = 0;
  uint64_t pages_ = 0;
  uint32_t records_ = 0;
  uint64_t decode_ns_ = 0;
};

}  // namespace haven::memrep

#endif
