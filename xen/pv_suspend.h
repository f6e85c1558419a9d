/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_PV_SUSPEND_H
#define HAVEN_XEN_PV_SUSPEND_H

#include "xen/pv_domain.h"

namespace haven::xen {

/// Stops a domain whose kernel has PV drivers by its own doing: the kernel is
/// asked to suspend; what it has then in memory can go on here, as after a
/// cancelled suspend, or on another host, where it connects its drivers anew.
/// One thread. Keeps no time: the owner decides how long it waits.
///
/// No watcher of the domain learns of these suspends, see PvDomain::Subscribe():
/// a stock xl that sees one takes its guest for gone, and acts on its poweroff
/// no longer.
class PvSuspend {
 public:
  enum class Answer {
    kNoDrivers,  ///< nothing to ask: pausing the domain is enough
    kAsked,      ///< event_fd() will tell, see Arrived()
    kPaused,     ///< an administrator has paused it
    kBusy,       ///< it has another request to answer, or is ending
  };

  /// @param domain  outlives this.
  explicit PvSuspend(PvDomain& domain) : domain_(domain) {}

  /// Before the first Ask() of a session: notes the size of its memory.
  Status Begin();
  /// Asks it to suspend.
  /// @return kRefused when the size of its memory is another than at Begin(): the
  ///         balloon driver takes pages away behind a mapping that is kept.
  Result<Answer> Ask();
  /// To be called when event_fd() is readable, or at any time.
  /// @return whether the domain is suspended because of Ask(). Resume() follows,
  ///         also when nobody wants the checkpoint any more.
  Result<bool> Arrived();
  Status Resume() { return domain_.Resume(); }
  /// Takes Ask() back. @return false when the domain may still follow it:
  ///         Arrived() tells, as long as nobody calls Forget().
  Result<bool> Withdraw();
  /// The domain has not followed for so long that it never will.
  void Forget();

  bool asked() const { return asked_; }

 private:
  PvDomain& domain_;
  uint64_t pages_ = 0;
  bool asked_ = false;
  bool asked_twice_ = false;  ///< the domain may still come to the second request
};

}  // namespace haven::xen

#endif
