// SPDX-License-Identifier: GPL-2.0-or-later
// haven-vif-bridge: a hotplug program for guests' NICs. The guest waits for it at a failover, twice, and it
// does by itself what Xen's vif-bridge has some thirty programs for: it puts the NIC into its bridge and no
// more. No filter rules for ip=, no Open vSwitch, no default bridge. In xl.cfg:
//     vif = [ "bridge=xenbr0,...,script=haven-vif-bridge" ]
// libxl calls it with online or offline (netback's device, $vif), add or remove (the device model's,
// $INTERFACE), then type_if=vif or tap, and XENBUS_PATH, the device's folder in xenstore.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <net/if.h>
#include <string>
#include <unistd.h>
#include <utility>

extern "C" {
#include <netlink/route/link.h>
#include <xenstore.h>
}

namespace {

/// As Xen's script: an address that no bridge takes for its own.
constexpr uint8_t kAddress[] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};

std::string Environment(const char* name) {
  const char* value = getenv(name);
  return value != nullptr ? value : "";
}

/// What libxl asks for, and where its answer goes.
class Hotplug {
 public:
  Hotplug(std::string action, const std::string& kind) : action_(std::move(action)), path_(Environment("XENBUS_PATH")) {
    if (kind == "type_if=vif") device_ = Environment("vif");
    if (kind == "type_if=tap") device_ = Environment("INTERFACE");
    xenstore_ = xs_open(0);
  }
  ~Hotplug() {
    if (xenstore_ != nullptr) xs_close(xenstore_);
  }
  Hotplug(const Hotplug&) = delete;
  Hotplug& operator=(const Hotplug&) = delete;

  int Run() {
    if (xenstore_ == nullptr) return Fail("cannot talk to xenstored");
    if (path_.empty()) return Fail("XENBUS_PATH is not set: libxl calls this program");
    if (device_.empty()) return Fail("libxl did not say which device it means");
    if (action_ == "online" || action_ == "add") return Attach();
    if (action_ == "offline" || action_ == "remove") return Detach();
    return Fail("called with '" + action_ + "', which is not known");
  }

 private:
  int Fail(const std::string& why) {
    fprintf(stderr, "haven-vif-bridge: %s\n", why.c_str());
    if (xenstore_ != nullptr && !path_.empty()) {
      Write("hotplug-error", why);
      Write("hotplug-status", "error");
    }
    return 1;
  }

  int Attach() {
    const std::string bridge = Read("bridge");
    const std::string folder = "/sys/class/net/" + bridge;
    unsigned mtu = 0;
    if (bridge.empty()) return Fail("the vif line in xl.cfg names no bridge");
    if (bridge.find('/') != std::string::npos || access((folder + "/bridge").c_str(), F_OK) != 0 ||
        !(std::ifstream(folder + "/mtu") >> mtu)) {
      return Fail("there is no bridge " + bridge + " on this host");
    }
    rtnl_link* changes = rtnl_link_alloc();
    nl_addr* address = nl_addr_build(AF_LLC, kAddress, sizeof(kAddress));
    if (changes == nullptr || address == nullptr) return Fail("no memory for a netlink message");
    rtnl_link_set_mtu(changes, mtu);
    rtnl_link_set_addr(changes, address);
    rtnl_link_set_master(changes, static_cast<int>(if_nametoindex(bridge.c_str())));
    rtnl_link_set_flags(changes, IFF_UP);
    const int error = Change(changes);
    nl_addr_put(address);
    if (error < 0) return Fail("cannot put " + device_ + " into the bridge " + bridge + ": " + nl_geterror(error));
    if (action_ == "online" && !Write("hotplug-status", "connected")) return Fail("cannot write to xenstore");
    return 0;
  }

  /// The device may be gone already.
  int Detach() {
    rtnl_link* changes = rtnl_link_alloc();
    if (changes == nullptr) return Fail("no memory for a netlink message");
    rtnl_link_set_master(changes, 0);
    rtnl_link_unset_flags(changes, IFF_UP);
    Change(changes);
    return 0;
  }

  /// Consumes `changes`. @return 0, or libnl's negative code.
  int Change(rtnl_link* changes) {
    rtnl_link* old = rtnl_link_alloc();
    nl_sock* socket = nl_socket_alloc();
    int error = -NLE_NODEV;
    const unsigned index = if_nametoindex(device_.c_str());
    if (index != 0 && old != nullptr && socket != nullptr) {
      rtnl_link_set_ifindex(old, static_cast<int>(index));
      error = nl_connect(socket, NETLINK_ROUTE);
      if (error >= 0) error = rtnl_link_change(socket, old, changes, 0);
    }
    nl_socket_free(socket);
    rtnl_link_put(old);
    rtnl_link_put(changes);
    return error;
  }

  std::string Read(const std::string& node) {
    unsigned bytes = 0;
    auto* value = static_cast<char*>(xs_read(xenstore_, XBT_NULL, (path_ + "/" + node).c_str(), &bytes));
    std::string text = value != nullptr ? std::string(value, bytes) : "";
    free(value);
    return text;
  }

  bool Write(const std::string& node, const std::string& value) {
    return xs_write(xenstore_, XBT_NULL, (path_ + "/" + node).c_str(), value.data(),
                    static_cast<unsigned>(value.size()));
  }

  const std::string action_, path_;
  std::string device_;
  xs_handle* xenstore_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr,
            "usage: haven-vif-bridge online|offline|add|remove type_if=vif|type_if=tap\n"
            "libxl calls it for vif lines with script=haven-vif-bridge.\n");
    return 2;
  }
  return Hotplug(argv[1], argv[2]).Run();
}
