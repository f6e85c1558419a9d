/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_DOMAIN_STATE_H
#define HAVEN_XEN_DOMAIN_STATE_H

#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/status.h"

namespace haven::xen {

/// The one memory region of a Xen guest: its whole guest-physical space, with
/// holes. Page i is guest frame i.
constexpr char kPhysmapRegion[] = "xen.physmap";

/// `count` guest frames from `first` on.
struct PageRun {
  uint64_t first = 0;
  uint64_t count = 0;
  bool operator==(const PageRun&) const = default;
};

struct HvmParam {
  uint64_t index = 0;
  uint64_t value = 0;
  bool operator==(const HvmParam&) const = default;
};

struct TscInfo {
  uint32_t mode = 0;
  uint32_t khz = 0;
  uint64_t nsec = 0;
  uint32_t incarnation = 0;
  bool operator==(const TscInfo&) const = default;
};

/// All of a Xen HVM guest but its memory and disks. It travels as the engine's
/// "device state" of an epoch.
struct DomainState {
  uint32_t xen_major = 0, xen_minor = 0;  ///< of the primary's hypervisor
  Bytes device_model;                     ///< QEMU's device sections
  Bytes hvm_context;                      ///< xc_domain_hvm_getcontext()
  std::vector<HvmParam> hvm_params;       ///< those that are not zero
  TscInfo tsc;
  Bytes cpuid_policy;              ///< xen_cpuid_leaf_t[]
  Bytes msr_policy;                ///< xen_msr_entry_t[]
  std::vector<PageRun> populated;  ///< frames with memory behind them, ascending
  std::string config;              ///< libxl's JSON of the domain; may be empty
};

constexpr uint32_t kCpuidLeafBytes = 24;
constexpr uint32_t kMsrEntryBytes = 16;

/// The parameters that a migration stream may set. The hypervisor lets dom0 set
/// more: a peer may not.
bool IsSavedHvmParam(uint64_t index);
/// Their indices, in the order in which Xen's own tools save them.
const std::vector<uint32_t>& SavedHvmParams();

/// Appends the sections to `out`. Pure; any thread.
void Encode(const DomainState& state, Bytes& out);

/// @param in           untrusted.
/// @param guest_pages  how many frames the guest-physical space has.
/// @return kProtocol when a section is missing, twice there, out of order,
///         unknown, or holds what the stream may not contain.
/// Source: docs/xen.md, "The device state of a Xen guest".
Result<DomainState> DecodeDomainState(ByteSpan in, uint64_t guest_pages);

/// The set bits of `bitmap` (bit i of word i/64: page i) as runs.
std::vector<PageRun> RunsOf(const std::vector<uint64_t>& bitmap);

}  // namespace haven::xen

#endif
