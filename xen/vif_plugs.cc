// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/vif_plugs.h"

#include <algorithm>
#include <cstdio>

namespace haven::xen {
namespace {

using PlugOrder = TrafficControl::PlugOrder;

/// Of held frames for each vif. netback ends the guest's sending long before, at
/// 256 frames: it does not copy them, and its ring has no more places.
constexpr uint32_t kLimitBytes = 64u << 20;

/// @return false if `ifb` is not the name of one of ours.
bool ParseIfbName(const std::string& ifb, uint32_t& domid) {
  uint32_t number = 0;
  return sscanf(ifb.c_str(), "haven%u.%u", &domid, &number) == 2 && VifPlugs::IfbName(domid, number) == ifb;
}

}  // namespace

std::string VifPlugs::IfbName(uint32_t domid, uint32_t number) {
  return "haven" + std::to_string(domid) + "." + std::to_string(number);
}

Result<std::unique_ptr<VifPlugs>> VifPlugs::Create(TrafficControl& control, uint32_t domid,
                                                   const std::vector<Vif>& vifs,
                                                   const std::function<bool(uint32_t)>& domain_exists) {
  auto plugs = std::unique_ptr<VifPlugs>(new VifPlugs(control));
  if (vifs.empty()) return plugs;
  HAVEN_RETURN_IF_ERROR(plugs->RemoveLeftOvers(domid, vifs, domain_exists));
  for (const Vif& vif : vifs) {
    Plug plug{vif.device, IfbName(domid, vif.number)};
    HAVEN_RETURN_IF_ERROR(plugs->Insert(plug).With("cannot hold the output of " + vif.device));
    plugs->plugs_.push_back(plug);
  }
  return plugs;
}

VifPlugs::~VifPlugs() {
  if (holding_) return;
  for (const Plug& plug : plugs_) Remove(plug);
}

Status VifPlugs::RemoveLeftOvers(uint32_t domid, const std::vector<Vif>& vifs,
                                 const std::function<bool(uint32_t)>& domain_exists) {
  auto ifbs = control_.Ifbs();
  if (!ifbs.ok()) return ifbs.status();
  for (const std::string& ifb : ifbs.value()) {
    uint32_t owner = 0;
    if (!ParseIfbName(ifb, owner)) continue;
    for (const Vif& vif : vifs) {
      if (ifb == IfbName(domid, vif.number)) HAVEN_RETURN_IF_ERROR(control_.RemoveRedirect(vif.device));
    }
    if (owner == domid || !domain_exists(owner)) HAVEN_RETURN_IF_ERROR(control_.DeleteIfb(ifb));
  }
  return Status::Ok();
}

/// Until the last step the frames go the way that they always go.
Status VifPlugs::Insert(const Plug& plug) {
  Status made = control_.CreateIfb(plug.ifb);
  if (made.ok()) made = Fill(plug);
  if (made.ok()) made = control_.Redirect(plug.vif, plug.ifb);
  if (!made.ok()) (void)control_.DeleteIfb(plug.ifb);
  return made;
}

/// The device is down: nothing gets past it that has no plug yet.
Status VifPlugs::Fill(const Plug& plug) {
  HAVEN_RETURN_IF_ERROR(control_.AddPlug(plug.ifb, kLimitBytes));
  if (!holding_) HAVEN_RETURN_IF_ERROR(control_.Order(plug.ifb, PlugOrder::kReleaseIndefinite));
  return control_.SetUp(plug.ifb, true);
}

void VifPlugs::Remove(const Plug& plug) {
  (void)control_.RemoveRedirect(plug.vif);
  (void)control_.DeleteIfb(plug.ifb);
}

Status VifPlugs::OrderAll(PlugOrder order) {
  Status failed;
  for (const Plug& plug : plugs_) {
    Status status = control_.Order(plug.ifb, order).With(plug.vif);
    if (failed.ok()) failed = status;
  }
  return failed;
}

Status VifPlugs::Cut() {
  HAVEN_RETURN_IF_ERROR(release_failed_);
  holding_ = true;
  return OrderAll(PlugOrder::kBuffer);
}

void VifPlugs::Release() {
  Status status = OrderAll(PlugOrder::kReleaseOne);
  if (release_failed_.ok()) release_failed_ = status;
}

Status VifPlugs::ReleaseAll() {
  release_failed_ = Status::Ok();
  holding_ = false;
  return OrderAll(PlugOrder::kReleaseIndefinite);
}

/// A plug counts frames by its last two marks only: those from before cannot be
/// told from the next epoch's any more, so that a new plug takes the old one's place.
Status VifPlugs::Drop() {
  for (const Plug& plug : plugs_) {
    HAVEN_RETURN_IF_ERROR(control_.SetUp(plug.ifb, false));
    HAVEN_RETURN_IF_ERROR(control_.RemovePlug(plug.ifb));
    HAVEN_RETURN_IF_ERROR(Fill(plug));
  }
  return Status::Ok();
}

bool VifPlugs::Covers(const std::string& device) const {
  return std::any_of(plugs_.begin(), plugs_.end(), [&](const Plug& plug) { return plug.vif == device; });
}

}  // namespace haven::xen
