/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_TRAFFIC_CONTROL_H
#define HAVEN_XEN_TRAFFIC_CONTROL_H

#include <memory>
#include <string>
#include <vector>

#include "core/status.h"

namespace haven::xen {

/// What VifPlugs needs of the kernel's traffic control. Implemented over
/// libnl-route, and by a fake in the unit tests. One thread.
class TrafficControl {
 public:
  enum class PlugOrder {
    kBuffer,             ///< a mark: what comes from now on is of the next epoch; begins to hold
    kReleaseOne,         ///< what came before the last mark may leave
    kReleaseIndefinite,  ///< everything may leave, now and later
  };

  virtual ~TrafficControl() = default;

  /// Makes the intermediate functional block `ifb`, which sends what comes to it
  /// on as if it had come in where it came from.
  virtual Status CreateIfb(const std::string& ifb) = 0;
  virtual Status SetUp(const std::string& device, bool up) = 0;
  /// Removes it, and what waits in it. Ok if there is none.
  virtual Status DeleteIfb(const std::string& ifb) = 0;
  /// Names of all blocks.
  virtual Result<std::vector<std::string>> Ifbs() = 0;

  /// Puts a sch_plug that holds at most `limit_bytes` in front of the device's output.
  virtual Status AddPlug(const std::string& device, uint32_t limit_bytes) = 0;
  virtual Status RemovePlug(const std::string& device) = 0;
  virtual Status Order(const std::string& device, PlugOrder order) = 0;

  /// Everything that comes in at `vif`, of any protocol, goes to `ifb` instead.
  /// @return kRefused if somebody else has a queueing discipline at the ingress of `vif`.
  virtual Status Redirect(const std::string& vif, const std::string& ifb) = 0;
  /// Ok if there is none.
  virtual Status RemoveRedirect(const std::string& vif) = 0;
};

/// The TrafficControl over rtnetlink. @return kEnvironment with the reason.
Result<std::unique_ptr<TrafficControl>> OpenNetlink();

}  // namespace haven::xen

#endif
