// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/frontend_rules.h"

namespace haven::xen {
namespace {

using Kind = Coverage::Kind;

/// What is covered: served by this domain, which is the device model's.
struct Covered {
  const char* type;
  const char* served_as;
  Kind connected;
  const char* why;
};

constexpr Covered kCovered[] = {
    {"vbd", "qdisk", Kind::kReplicated, ""},
    {"vif", "vif", Kind::kHeld, ""},
    {"console", "console", Kind::kNotHeld, "what the guest writes there leaves at once"},
    // xl gives one to every HVM guest.
    {"vkbd", "vkbd", Kind::kSaved, "it is set up anew at the backup, and sends nothing"},
};

struct Refused {
  const char* type;
  const char* what;
  const char* line;  ///< of xl.cfg
};

constexpr Refused kRefused[] = {
    {"vbd", "is served by a program that HAVEN does not know", "disk"},
    {"vif", "is served by a program that HAVEN does not know", "vif"},
    {"pci", "is a passed-through device, whose state cannot be saved", "pci"},
    {"vusb", "is a PV USB controller, which is not replicated", "usbctrl"},
    {"vscsi", "is a PV SCSI device, which is not replicated", "vscsi"},
    {"9pfs", "shares a folder of this host, which is not replicated", "p9"},
    {"vtpm", "is a TPM, whose state another domain has", "vtpm"},
    {"console", "is a console beyond the first, which has not been tried with checkpoints", "channel"},
    {"vkbd", "is served by a program that HAVEN does not know", "vkb"},
    {"vinput", "is a PV input device, which has not been tried with checkpoints", "vkb"},
    {"vfb", "is a PV display, which has not been tried with checkpoints", "vfb"},
    {"vdispl", "is a PV display, which has not been tried with checkpoints", "vdispl"},
    {"vsnd", "is a PV sound card, which has not been tried with checkpoints", "vsnd"},
    {"pvcalls", "has its connections in this host's kernel", "pvcalls"},
    {"virtio_disk", "is served outside of the device model", "disk"},
    {"virtio", "is served outside of the device model", "virtio"},
};

const Refused* RefusalOf(const std::string& type) {
  for (const Refused& refused : kRefused) {
    if (type == refused.type) return &refused;
  }
  return nullptr;
}

std::string LineOf(const Refused* refused) {
  return refused != nullptr ? std::string("its ") + refused->line + "=[...] line" : "its line of xl.cfg";
}

/// The guest has an emulated device in its place.
bool HasDouble(const Frontend& f) { return f.type == "vbd" || f.type == "vif"; }

Coverage Refuse(const std::string& why, const std::string& instead) {
  return {Kind::kRefused, why, instead + " and start the guest again"};
}

}  // namespace

std::string Frontend::Title() const { return type + "/" + number + (name.empty() ? "" : " (" + name + ")"); }

Coverage CoverageOf(const Frontend& f) {
  const Refused* refused = RefusalOf(f.type);
  if (f.served_by.value_or(0) != 0) {
    return Refuse("is served by domain " + std::to_string(*f.served_by) + ", past the device model",
                  "take backend= out of " + LineOf(refused));
  }
  const bool second_console = f.type == "console" && f.number != "0";
  for (const Covered& covered : kCovered) {
    if (f.type != covered.type || f.served_as != covered.served_as || second_console) continue;
    if (HasDouble(f) && !f.connected) return {Kind::kSaved, "no driver of the guest uses it", ""};
    return {covered.connected, covered.why, ""};
  }
  if (f.type == "vbd" && f.served_as == "vbd") {
    if (!f.connected) return {Kind::kSaved, "no driver of the guest uses it", ""};
    return Refuse("is served by the kernel's blkback", "write backendtype=qdisk in " + LineOf(refused));
  }
  if (refused == nullptr) return Refuse("has not been tried with checkpoints", "remove " + LineOf(refused));
  return Refuse(refused->what, "remove " + LineOf(refused));
}

}  // namespace haven::xen
