// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/domain_config.h"

#include <cctype>
#include <cstring>
#include <vector>

#include "havend/xl/json_members.h"

namespace haven::havend {
namespace {

/// Hexadecimal digits with `separator` after each group; `groups` in octets.
bool IsHex(const std::string& text, const std::vector<int>& groups, char separator) {
  size_t at = 0;
  for (size_t g = 0; g < groups.size(); g++) {
    if (g > 0 && (at >= text.size() || text[at++] != separator)) return false;
    for (int digit = 0; digit < groups[g] * 2; digit++, at++) {
      if (at >= text.size() || !isxdigit(static_cast<unsigned char>(text[at]))) return false;
    }
  }
  return at == text.size();
}

Status Protocol(const std::string& why) {
  return {StatusCode::kProtocol, "the configuration of the primary's domain: " + why};
}

Status Differs(const std::string& what, const std::string& there, const std::string& here) {
  return {StatusCode::kRefused, "the domain is not the same machine on both hosts: " + what + " is " + there +
                                    " on the primary and " + here + " in the xl.cfg of this host; make them equal"};
}

std::string Shown(JsonNode* node) { return Printed(node).substr(0, 100); }

/// Numbers that make the virtual machine. A side that does not say uses libxl's default.
Status CompareBuild(JsonObject* own, JsonObject* primary) {
  for (const char* name : {"max_vcpus", "max_memkb", "video_memkb"}) {
    JsonNode* here = Member(own, name);
    JsonNode* there = Member(primary, name);
    if (here == nullptr || there == nullptr || json_node_equal(here, there)) continue;
    return Differs(name, Shown(there), Shown(here));
  }
  return Status::Ok();
}

/// Without a `type=` libxl makes an emulated NIC, and one for netback beside it.
std::string NicType(JsonObject* nic) {
  std::string type = StringMember(nic, "nictype");
  return type.empty() ? "vif_ioemu" : type;
}

Status CopyMacs(JsonObject* own, JsonObject* primary) {
  JsonArray* own_nics = ArrayMember(own, "nics");
  JsonArray* primary_nics = ArrayMember(primary, "nics");
  if (Length(own_nics) != Length(primary_nics)) {
    return Differs("the number of NICs", std::to_string(Length(primary_nics)), std::to_string(Length(own_nics)));
  }
  for (guint i = 0; i < Length(own_nics); i++) {
    JsonObject* here = ElementObject(own_nics, i);
    JsonObject* there = ElementObject(primary_nics, i);
    std::string mac = StringMember(there, "mac");
    if (here == nullptr || !IsHex(mac, {1, 1, 1, 1, 1, 1}, ':')) {
      return Protocol("NIC " + std::to_string(i) + " has no MAC address");
    }
    if (NicType(here) != NicType(there)) {
      return Differs("the type of NIC " + std::to_string(i), NicType(there).substr(0, 100), NicType(here));
    }
    json_object_set_string_member(here, "mac", mac.c_str());
  }
  return Status::Ok();
}

Status CompareDisks(JsonObject* own, JsonObject* primary) {
  JsonArray* own_disks = ArrayMember(own, "disks");
  JsonArray* primary_disks = ArrayMember(primary, "disks");
  if (Length(own_disks) != Length(primary_disks)) {
    return Differs("the number of disks", std::to_string(Length(primary_disks)), std::to_string(Length(own_disks)));
  }
  for (guint i = 0; i < Length(own_disks); i++) {
    std::string here = StringMember(ElementObject(own_disks, i), "vdev");
    std::string there = StringMember(ElementObject(primary_disks, i), "vdev");
    if (here != there) return Differs("disk " + std::to_string(i), "'" + there + "'", "'" + here + "'");
  }
  return Status::Ok();
}

}  // namespace

Result<std::string> MergeDomainConfig(const std::string& own_text, const std::string& primary_text) {
  std::string why;
  Node own = ParseObject(own_text, why);
  if (!own) return Status(StatusCode::kInvalid, "the configuration of the domain on this host: " + why);
  Node primary = ParseObject(primary_text, why);
  if (!primary) return Protocol(why);
  JsonObject* here = json_node_get_object(own.get());
  JsonObject* there = json_node_get_object(primary.get());
  JsonObject* create = ObjectMember(here, "c_info");
  std::string uuid = StringMember(ObjectMember(there, "c_info"), "uuid");
  if (!IsHex(uuid, {4, 2, 2, 2, 6}, '-')) return Protocol("it has no UUID");
  if (create == nullptr)
    return Status(StatusCode::kInvalid, "the configuration of the domain on this host has no c_info");
  HAVEN_RETURN_IF_ERROR(CompareBuild(ObjectMember(here, "b_info"), ObjectMember(there, "b_info")));
  HAVEN_RETURN_IF_ERROR(CompareDisks(here, there));
  HAVEN_RETURN_IF_ERROR(CopyMacs(here, there));
  json_object_set_string_member(create, "uuid", uuid.c_str());
  return Printed(own.get());
}

Result<std::string> DomainName(const std::string& config) {
  std::string why;
  Node node = ParseObject(config, why);
  std::string name = node ? StringMember(ObjectMember(json_node_get_object(node.get()), "c_info"), "name") : "";
  if (name.empty()) return Status(StatusCode::kInvalid, "the domain's configuration has no name");
  return name;
}

std::string DeviceModel(const std::string& config) {
  std::string why;
  Node node = ParseObject(config, why);
  return node ? StringMember(ObjectMember(json_node_get_object(node.get()), "b_info"), "device_model") : "";
}

Result<std::string> DomainUuid(const std::string& config) {
  std::string why;
  Node node = ParseObject(config, why);
  std::string uuid = node ? StringMember(ObjectMember(json_node_get_object(node.get()), "c_info"), "uuid") : "";
  if (uuid.empty()) return Status(StatusCode::kInvalid, "the domain's configuration has no UUID");
  return uuid;
}

}  // namespace haven::havend
