/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_PV_DOMAIN_H
#define HAVEN_XEN_PV_DOMAIN_H

#include <cstdint>
#include <memory>

#include "core/status.h"

namespace haven::xen {

/// What PvSuspend needs of Xen and of xenstore for one domain. Implemented over
/// Xen's libraries, and by a fake in the unit tests. One thread.
class PvDomain {
 public:
  enum class Run {
    kRuns,
    kPaused,     ///< by the toolstack: it can do nothing
    kSuspended,  ///< it has shut itself down for the reason "suspend"
    kEnded,      ///< it has shut itself down for good, or is dying
  };
  struct State {
    Run run = Run::kRuns;
    uint64_t pages = 0;  ///< of memory that it owns
  };

  virtual ~PvDomain() = default;

  /// Whether its kernel has told Xen how it wants events delivered, and is
  /// awake: then what it shares with Xen has to be set up anew on another host.
  virtual Result<bool> HasPvDrivers() = 0;
  virtual Result<State> GetState() = 0;

  /// While on, Xen tells suspends of the domain to us, instead of to everybody
  /// by VIRQ_DOM_EXC. Its other ends are told to everybody always.
  virtual Status Subscribe(bool on) = 0;
  /// Readable when Xen has told something that TakeEvent() has not taken.
  virtual int event_fd() const = 0;
  virtual void TakeEvent() = 0;

  /// Writes `suspend` to the domain's control/shutdown.
  /// @return false if another request is there.
  virtual Result<bool> WriteRequest() = 0;
  /// Takes it back. @return false if the domain has taken it.
  virtual Result<bool> WithdrawRequest() = 0;

  /// Lets a suspended domain go on; it sees a suspend that was cancelled.
  virtual Status Resume() = 0;
};

/// The PvDomain over libxenctrl, libxenguest, libxenevtchn and libxenstore.
/// @return kEnvironment with errno.
Result<std::unique_ptr<PvDomain>> OpenPvDomain(uint32_t domid);

}  // namespace haven::xen

#endif
