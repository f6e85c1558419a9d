/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_HYPERVISOR_H
#define HAVEN_XEN_HYPERVISOR_H

#include <span>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/status.h"
#include "xen/domain_state.h"

namespace haven::xen {

/// What the primary's side needs of Xen for one domain. Implemented over Xen's
/// libraries, and by a fake in the unit tests. One thread at a time.
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  /// One more than the highest guest frame.
  virtual Result<uint64_t> GuestFrames() = 0;
  /// How many pages of memory the domain owns.
  virtual Result<uint64_t> AllocatedPages() = 0;
  /// What its vCPUs have used of processors so far.
  virtual Result<uint64_t> CpuNanoseconds() = 0;

  /// Maps guest frames [first, first + failed.size()) over what is at `at`.
  /// @param failed  set to whether the frame could not be mapped: there is
  ///                nothing behind it, and it must not be touched.
  virtual Status MapFrames(uint8_t* at, uint64_t first, std::span<bool> failed) = 0;

  /// Every write to guest memory is recorded from now on, or no longer.
  virtual Status SetLogDirty(bool on) = 0;
  /// Copies the record into `bitmap`, which holds a bit for each guest frame. What is not kept is
  /// forgotten: Xen then traps the guest's next access to every page.
  virtual Status ReadLogDirty(std::span<uint64_t> bitmap, uint64_t frames, bool keep) = 0;

  /// No vCPU runs after Pause() has returned. Pauses count.
  virtual Status Pause() = 0;
  virtual Status Unpause() = 0;

  /// State of a paused domain.
  virtual Status GetHvmContext(Bytes& out) = 0;
  virtual Result<uint64_t> GetHvmParam(uint32_t index) = 0;
  virtual Result<TscInfo> GetTscInfo() = 0;

  /// What does not change while the domain lives.
  virtual Status GetCpuPolicy(Bytes& cpuid, Bytes& msr) = 0;
  virtual Status GetVersion(uint32_t& major, uint32_t& minor) = 0;
  /// libxl's JSON of the domain, empty when there is none.
  virtual std::string GetConfig() = 0;
};

/// Pauses the domain so often that an `xl unpause` or two do not run it again.
Status PauseForGood(Hypervisor& hypervisor);
/// Undoes that, as far as nobody else has.
Status TakePausesBack(Hypervisor& hypervisor);

}  // namespace haven::xen

#endif
