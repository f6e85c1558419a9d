/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_VIF_PLUGS_H
#define HAVEN_XEN_VIF_PLUGS_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "xen/traffic_control.h"

namespace haven::xen {

/// A PV NIC of a domain, as its host sees it.
struct Vif {
  std::string device;   ///< e.g. vif5.0
  uint32_t number = 0;  ///< of the domain's NICs
};

/// Holds what a domain sends through netback, whose frames never pass this
/// process, in the kernel: the ingress of each vif is redirected to an ifb
/// device of its own, and on that a sch_plug waits for the epochs. One thread.
///
/// Nothing is held before the first Cut(). Who dies while output is held leaves
/// it held, for the backup may run the guest by now; the vif, and with it the
/// redirect, goes when its domain is destroyed, and the ifb with the next Create().
class VifPlugs {
 public:
  /// @param domain_exists  whether a domain of that number is there.
  /// @param control  outlives this.
  static Result<std::unique_ptr<VifPlugs>> Create(TrafficControl& control, uint32_t domid, const std::vector<Vif>& vifs,
                                                  const std::function<bool(uint32_t)>& domain_exists);
  /// Removes the plugs, unless output is held.
  ~VifPlugs();
  VifPlugs(const VifPlugs&) = delete;
  VifPlugs& operator=(const VifPlugs&) = delete;

  /// The domain stands still: an epoch ends here.
  /// @return also the failure of a Release() since the last call.
  Status Cut();
  /// The epoch that was cut last is committed.
  void Release();
  /// The domain is not protected any more.
  Status ReleaseAll();
  /// Throws away what is held, and goes on holding.
  Status Drop();

  bool Covers(const std::string& device) const;
  size_t count() const { return plugs_.size(); }

  /// The ifb of a vif: "haven5.0" for number 0 of domain 5.
  static std::string IfbName(uint32_t domid, uint32_t number);

 private:
  struct Plug {
    std::string vif, ifb;
  };
  explicit VifPlugs(TrafficControl& control) : control_(control) {}
  Status RemoveLeftOvers(uint32_t domid, const std::vector<Vif>& vifs,
                         const std::function<bool(uint32_t)>& domain_exists);
  Status Insert(const Plug& plug);
  Status Fill(const Plug& plug);
  void Remove(const Plug& plug);
  Status OrderAll(TrafficControl::PlugOrder order);

  TrafficControl& control_;
  std::vector<Plug> plugs_;
  bool holding_ = false;
  Status release_failed_;
};

}  // namespace haven::xen

#endif
