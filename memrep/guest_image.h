/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_GUEST_IMAGE_H
#define HAVEN_MEMREP_GUEST_IMAGE_H

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/threads.h"
#include "core/bytes.h"
#include "core/epoch.h"
#include "core/records.h"
#include "core/status.h"

namespace haven::memrep {

/// The backup's copy of a guest: memory and device state of the last
/// committed epoch. Filled by EpochStaging, read by whoever activates the guest.
/// Thread: one at a time, except as mutex() says.
class GuestImage {
 public:
  struct Region {
    std::string name;
    uint8_t* data = nullptr;  ///< `bytes` octets, zero at first
    uint64_t bytes = 0;
    int fd = -1;  ///< the memfd behind a shared region, else -1
  };

  /// Allocates the regions of `layout`.
  /// @param shared_region  lives in a memfd, so that a waiting QEMU can map it.
  /// @param limit_bytes    kRefused if the regions are larger in all.
  static Result<std::unique_ptr<GuestImage>> Create(const wire::Layout& layout, const std::string& shared_region,
                                                    uint64_t limit_bytes);
  ~GuestImage();
  GuestImage(const GuestImage&) = delete;
  GuestImage& operator=(const GuestImage&) = delete;

  const std::vector<Region>& regions() const { return regions_; }
  /// As the device model saved it (QEMU: a qemu_save_device_state() stream).
  const Bytes& device_state() const { return device_state_; }
  /// The epoch that this is the state of; kSyncEpoch: none yet, not usable.
  Epoch epoch() const { return epoch_; }
  /// It did not run, and stays as it was: see guest_run().
  bool guest_paused() const { return guest_paused_; }
  /// What it did, as its primary said.
  wire::GuestRun guest_run() const { return guest_run_; }

  /// Held while an epoch is written into the image. Whoever reads the image
  /// while a primary may be connected takes it: what it sees under one hold is
  /// one epoch.
  Mutex& mutex() const { return mutex_; }
  /// From now on TakeChanges() knows which pages the epochs change.
  void TrackChanges() const;
  /// Under mutex(), after TrackChanges(): ORs the pages of `region` that epochs
  /// have changed since the last call into `bitmap` (bit i of word i/64: page
  /// i), and forgets them. Pages of the first synchronisation are not among them.
  void TakeChanges(size_t region, std::span<uint64_t> bitmap) const;

 private:
  friend class EpochStaging;
  GuestImage() = default;

  std::vector<Region> regions_;
  Bytes device_state_;
  Epoch epoch_ = kSyncEpoch;
  bool guest_paused_ = false;
  wire::GuestRun guest_run_ = wire::GuestRun::kUnknown;
  mutable Mutex mutex_;
  mutable std::vector<std::vector<uint64_t>> changes_;  ///< by region; empty: not tracked
};

}  // namespace haven::memrep

#endif
