// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/traffic_control.h"

#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>

extern "C" {
#include <netlink/route/act/mirred.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/matchall.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/plug.h>
#include <netlink/route/tc.h>
}

namespace haven::xen {
namespace {

constexpr char kModules[] =
    " (dom0's kernel needs the modules ifb, sch_plug, sch_ingress, cls_matchall and act_mirred)";
constexpr uint32_t kPlugHandle = TC_HANDLE(1, 0);
constexpr uint32_t kIngressHandle = TC_HANDLE(0xffff, 0);

using Link = std::unique_ptr<rtnl_link, decltype(&rtnl_link_put)>;
using Qdisc = std::unique_ptr<rtnl_qdisc, decltype(&rtnl_qdisc_put)>;
using Cls = std::unique_ptr<rtnl_cls, decltype(&rtnl_cls_put)>;
using Act = std::unique_ptr<rtnl_act, decltype(&rtnl_act_put)>;
using Cache = std::unique_ptr<nl_cache, decltype(&nl_cache_put)>;

Link NewLink() { return {rtnl_link_alloc(), rtnl_link_put}; }

/// @param error  0, or libnl's negative code.
Status Check(int error, const std::string& what) {
  if (error >= 0) return Status::Ok();
  return {StatusCode::kEnvironment, what + ": " + nl_geterror(error)};
}

Status NoMemory() { return {StatusCode::kEnvironment, "no memory for a netlink message"}; }

class NetlinkTrafficControl : public TrafficControl {
 public:
  ~NetlinkTrafficControl() override { nl_socket_free(socket_); }
  Status Open();

  Status CreateIfb(const std::string& ifb) override;
  Status SetUp(const std::string& device, bool up) override;
  Status DeleteIfb(const std::string& ifb) override;
  Result<std::vector<std::string>> Ifbs() override;
  Status AddPlug(const std::string& device, uint32_t limit_bytes) override;
  Status RemovePlug(const std::string& device) override;
  Status Order(const std::string& device, PlugOrder order) override;
  Status Redirect(const std::string& vif, const std::string& ifb) override;
  Status RemoveRedirect(const std::string& vif) override;

 private:
  /// A message's worth of a queueing discipline; null without memory or such a device.
  static Qdisc NewQdisc(const std::string& device, const char* kind, uint32_t parent, uint32_t handle);
  Status AddFilter(const std::string& vif, const std::string& ifb);

  nl_sock* socket_ = nullptr;
};

Status NetlinkTrafficControl::Open() {
  socket_ = nl_socket_alloc();
  if (socket_ == nullptr) return NoMemory();
  return Check(nl_connect(socket_, NETLINK_ROUTE), "cannot talk to the kernel's network");
}

Status NetlinkTrafficControl::CreateIfb(const std::string& ifb) {
  Link link = NewLink();
  if (!link) return NoMemory();
  int error = rtnl_link_set_type(link.get(), "ifb");
  if (error >= 0) {
    rtnl_link_set_name(link.get(), ifb.c_str());
    error = rtnl_link_add(socket_, link.get(), NLM_F_CREATE | NLM_F_EXCL);
  }
  return Check(error, "cannot make device " + ifb + kModules);
}

Status NetlinkTrafficControl::SetUp(const std::string& device, bool up) {
  Link old = NewLink(), changes = NewLink();
  if (!old || !changes) return NoMemory();
  rtnl_link_set_ifindex(old.get(), static_cast<int>(if_nametoindex(device.c_str())));
  (up ? rtnl_link_set_flags : rtnl_link_unset_flags)(changes.get(), IFF_UP);
  return Check(rtnl_link_change(socket_, old.get(), changes.get(), 0),
               std::string("cannot set device ") + device + (up ? " up" : " down"));
}

Status NetlinkTrafficControl::DeleteIfb(const std::string& ifb) {
  Link link = NewLink();
  if (!link) return NoMemory();
  const unsigned int index = if_nametoindex(ifb.c_str());
  if (index == 0) return Status::Ok();
  rtnl_link_set_ifindex(link.get(), static_cast<int>(index));
  return Check(rtnl_link_delete(socket_, link.get()), "cannot remove device " + ifb);
}

Result<std::vector<std::string>> NetlinkTrafficControl::Ifbs() {
  nl_cache* raw = nullptr;
  Status status = Check(rtnl_link_alloc_cache(socket_, AF_UNSPEC, &raw), "cannot list the network devices");
  if (!status.ok()) return status;
  Cache cache(raw, nl_cache_put);
  std::vector<std::string> names;
  for (nl_object* o = nl_cache_get_first(cache.get()); o != nullptr; o = nl_cache_get_next(o)) {
    auto* link = reinterpret_cast<rtnl_link*>(o);
    const char* type = rtnl_link_get_type(link);
    if (type != nullptr && std::string(type) == "ifb") names.emplace_back(rtnl_link_get_name(link));
  }
  return names;
}

Qdisc NetlinkTrafficControl::NewQdisc(const std::string& device, const char* kind, uint32_t parent, uint32_t handle) {
  Qdisc qdisc(rtnl_qdisc_alloc(), rtnl_qdisc_put);
  const unsigned int index = if_nametoindex(device.c_str());
  if (!qdisc || index == 0 || rtnl_tc_set_kind(TC_CAST(qdisc.get()), kind) < 0) return {nullptr, rtnl_qdisc_put};
  rtnl_tc_set_ifindex(TC_CAST(qdisc.get()), static_cast<int>(index));
  rtnl_tc_set_parent(TC_CAST(qdisc.get()), parent);
  rtnl_tc_set_handle(TC_CAST(qdisc.get()), handle);
  return qdisc;
}

Status NetlinkTrafficControl::AddPlug(const std::string& device, uint32_t limit_bytes) {
  Qdisc plug = NewQdisc(device, "plug", TC_H_ROOT, kPlugHandle);
  if (!plug) return Check(-NLE_NODEV, "cannot put a plug on " + device);
  rtnl_qdisc_plug_set_limit(plug.get(), static_cast<int>(limit_bytes));
  return Check(rtnl_qdisc_add(socket_, plug.get(), NLM_F_CREATE | NLM_F_REPLACE),
               "cannot put a plug on " + device + kModules);
}

Status NetlinkTrafficControl::RemovePlug(const std::string& device) {
  Qdisc plug = NewQdisc(device, "plug", TC_H_ROOT, kPlugHandle);
  return Check(plug ? rtnl_qdisc_delete(socket_, plug.get()) : -NLE_NODEV, "cannot remove the plug of " + device);
}

Status NetlinkTrafficControl::Order(const std::string& device, PlugOrder order) {
  Qdisc plug = NewQdisc(device, "plug", TC_H_ROOT, kPlugHandle);
  if (!plug) return Check(-NLE_NODEV, "the plug on " + device);
  switch (order) {
    case PlugOrder::kBuffer: rtnl_qdisc_plug_buffer(plug.get()); break;
    case PlugOrder::kReleaseOne: rtnl_qdisc_plug_release_one(plug.get()); break;
    case PlugOrder::kReleaseIndefinite: rtnl_qdisc_plug_release_indefinite(plug.get()); break;
  }
  return Check(rtnl_qdisc_add(socket_, plug.get(), 0), "the plug on " + device);
}

Status NetlinkTrafficControl::Redirect(const std::string& vif, const std::string& ifb) {
  Qdisc ingress = NewQdisc(vif, "ingress", TC_H_INGRESS, kIngressHandle);
  if (!ingress) return Check(-NLE_NODEV, "cannot redirect " + vif);
  int error = rtnl_qdisc_add(socket_, ingress.get(), NLM_F_CREATE | NLM_F_EXCL);
  if (error == -NLE_EXIST) {
    return {StatusCode::kRefused, "something else filters what comes from " + vif +
                                      ", which could let frames out before "
                                      "their checkpoint; tc qdisc del dev " +
                                      vif + " ingress"};
  }
  HAVEN_RETURN_IF_ERROR(Check(error, "cannot redirect " + vif + kModules));
  Status filtered = AddFilter(vif, ifb);
  if (!filtered.ok()) (void)RemoveRedirect(vif);
  return filtered;
}

Status NetlinkTrafficControl::AddFilter(const std::string& vif, const std::string& ifb) {
  Cls filter(rtnl_cls_alloc(), rtnl_cls_put);
  Act redirect(rtnl_act_alloc(), rtnl_act_put);
  if (!filter || !redirect) return NoMemory();
  rtnl_tc_set_ifindex(TC_CAST(filter.get()), static_cast<int>(if_nametoindex(vif.c_str())));
  rtnl_tc_set_parent(TC_CAST(filter.get()), kIngressHandle);
  rtnl_cls_set_protocol(filter.get(), ETH_P_ALL);
  rtnl_cls_set_prio(filter.get(), 1);
  int error = rtnl_tc_set_kind(TC_CAST(filter.get()), "matchall");
  if (error >= 0) error = rtnl_tc_set_kind(TC_CAST(redirect.get()), "mirred");
  if (error >= 0) error = rtnl_mirred_set_action(redirect.get(), TCA_EGRESS_REDIR);
  if (error >= 0) error = rtnl_mirred_set_policy(redirect.get(), TC_ACT_STOLEN);
  if (error >= 0) error = rtnl_mirred_set_ifindex(redirect.get(), if_nametoindex(ifb.c_str()));
  if (error >= 0) error = rtnl_mall_append_action(filter.get(), redirect.get());
  if (error >= 0) error = rtnl_cls_add(socket_, filter.get(), NLM_F_CREATE | NLM_F_EXCL);
  return Check(error, "cannot redirect " + vif + " to " + ifb + kModules);
}

Status NetlinkTrafficControl::RemoveRedirect(const std::string& vif) {
  Qdisc ingress = NewQdisc(vif, "ingress", TC_H_INGRESS, kIngressHandle);
  int error = ingress ? rtnl_qdisc_delete(socket_, ingress.get()) : 0;
  if (error == -NLE_OBJ_NOTFOUND || error == -NLE_INVAL || error == -NLE_NODEV) return Status::Ok();
  return Check(error, "cannot end the redirect of " + vif);
}

}  // namespace

Result<std::unique_ptr<TrafficControl>> OpenNetlink() {
  auto control = std::make_unique<NetlinkTrafficControl>();
  HAVEN_RETURN_IF_ERROR(control->Open());
  return std::unique_ptr<TrafficControl>(std::move(control));
}

}  // namespace haven::xen
