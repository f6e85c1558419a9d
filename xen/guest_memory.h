/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_GUEST_MEMORY_H
#define HAVEN_XEN_GUEST_MEMORY_H

#include <memory>
#include <vector>

#include "xen/hypervisor.h"

namespace haven::xen {

/// The memory of a domain, mapped once into one contiguous range in which page
/// i is guest frame i. Frames with nothing behind them are holes: they never
/// appear as written, and nobody may touch them. One thread; the range may be
/// read on any thread.
class GuestMemory {
 public:
  /// @param likely  where memory is expected; looked at first. The rest of the
  ///        space is searched only when that is not all that the domain owns,
  ///        for a search of some GiB of holes takes long.
  /// @param hypervisor  outlives this.
  static Result<std::unique_ptr<GuestMemory>> Map(Hypervisor& hypervisor, const std::vector<PageRun>& likely);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  uint8_t* host() const { return host_; }
  uint64_t frames() const { return frames_; }
  const std::vector<uint64_t>& populated() const { return populated_; }
  uint64_t populated_frames() const { return populated_frames_; }
  /// Changes when populated() does.
  uint64_t generation() const { return generation_; }

  /// Begins or ends the record of writes; every populated page counts as
  /// written once after it begins.
  Status SetLog(bool on);
  /// ORs the pages written since the record was last forgotten into `bitmap`, and forgets
  /// it unless it is to be kept. Frames that got memory since are mapped first.
  Status Harvest(std::span<uint64_t> bitmap, bool keep);

  /// The guest's memory map has changed there (a device's memory moved): the
  /// next harvest maps it anew and counts it as written. Not at once, for
  /// another thread may be reading; nobody reads during a harvest.
  void Moved(uint64_t first, uint64_t count);

 private:
  explicit GuestMemory(Hypervisor& hypervisor) : hypervisor_(hypervisor) {}
  Status Reserve();
  Status MapChunk(uint64_t chunk);
  Status Search(const std::vector<PageRun>& likely);
  Status FollowChanges();

  Hypervisor& hypervisor_;
  uint64_t frames_ = 0;
  uint8_t* host_ = nullptr;
  std::vector<uint64_t> populated_;
  std::vector<uint64_t> pending_;  ///< to be harvested
  std::vector<uint64_t> written_;  ///< as Xen says; here to keep its memory
  std::vector<PageRun> moved_;
  uint64_t populated_frames_ = 0;
  uint64_t generation_ = 0;
  bool logging_ = false;
  bool hole_in_record_ = false;  ///< it would be searched for memory at each harvest
};

}  // namespace haven::xen

#endif
