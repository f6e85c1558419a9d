// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/trial_config.h"

#include "core/random_token.h"
#include "havend/xl/json_members.h"

namespace haven::havend {
namespace {

/// A hotplug script that puts the NIC nowhere.
constexpr char kNoScript[] = "/bin/true";

/// Options of the device model with disks and NICs of their own.
constexpr const char* kOwn[] = {"-drive",    "-blockdev", "-netdev", "-nic",       "-net", "-hda",
                                "-hdb",      "-hdc",      "-hdd",    "-fda",       "-fdb", "-sd",
                                "-mtdblock", "-pflash",   "-cdrom",  "-readconfig"};

std::string RandomUuid() {
  std::string uuid = Hex(RandomToken());
  for (size_t at : {20, 16, 12, 8}) uuid.insert(at, "-");
  return uuid;
}

bool IsTrue(JsonObject* object, const char* name) {
  JsonNode* node = Member(object, name);
  return node != nullptr && JSON_NODE_HOLDS_VALUE(node) && json_node_get_boolean(node);
}

Status ReplaceDisks(JsonArray* disks, const StandIn& stand_in) {
  for (guint i = 0; i < Length(disks); i++) {
    JsonObject* disk = ElementObject(disks, i);
    if (disk == nullptr || IsTrue(disk, "is_cdrom")) continue;
    auto path = stand_in(StringMember(disk, "pdev_path"));
    if (!path.ok()) return path.status();
    json_object_set_string_member(disk, "pdev_path", path.value().c_str());
    json_object_set_string_member(disk, "format", "raw");
    json_object_set_string_member(disk, "backend", "qdisk");
    json_object_remove_member(disk, "script");
  }
  return Status::Ok();
}

void Disconnect(JsonArray* nics) {
  for (guint i = 0; i < Length(nics); i++) {
    JsonObject* nic = ElementObject(nics, i);
    if (nic != nullptr) json_object_set_string_member(nic, "script", kNoScript);
  }
}

std::string StringElement(JsonArray* array, guint index) {
  JsonNode* node = json_array_get_element(array, index);
  const char* text = JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : nullptr;
  return text != nullptr ? text : "";
}

/// device_model_args; takes the order to protect the guest out of them.
Status CheckArguments(JsonObject* build, const char* name) {
  JsonArray* words = ArrayMember(build, name);
  JsonArray* kept = json_array_new();
  Status status;
  for (guint i = 0; i < Length(words); i++) {
    const std::string word = StringElement(words, i);
    const std::string option = word.starts_with("--") ? word.substr(1) : word;  // QEMU takes both
    const bool last = i + 1 == Length(words);
    if (option == "-device" && !last && StringElement(words, i + 1).starts_with("haven-protect")) {
      i++;
      continue;
    }
    for (const char* own : kOwn) {
      if (option != own || !status.ok()) continue;
      status = {StatusCode::kRefused, "a trial domain would use the disk or NIC of " + word +
                                          " in device_model_args beside the guest; give it in disk=[...] or vif=[...], "
                                          "or write trial = no"};
    }
    json_array_add_string_element(kept, word.c_str());
  }
  if (words != nullptr && status.ok()) {
    json_object_set_array_member(build, name, kept);
  } else {
    json_array_unref(kept);
  }
  return status;
}

}  // namespace

Result<std::string> MakeTrialConfig(const std::string& config, const StandIn& stand_in) {
  std::string why;
  Node node = ParseObject(config, why);
  if (!node) return Status(StatusCode::kInvalid, "the configuration of the domain on this host: " + why);
  JsonObject* domain = json_node_get_object(node.get());
  if (JsonObject* build = ObjectMember(domain, "b_info")) {
    for (const char* name : {"extra", "extra_hvm"}) HAVEN_RETURN_IF_ERROR(CheckArguments(build, name));
  }
  HAVEN_RETURN_IF_ERROR(ReplaceDisks(ArrayMember(domain, "disks"), stand_in));
  Disconnect(ArrayMember(domain, "nics"));
  if (JsonObject* create = ObjectMember(domain, "c_info")) {
    json_object_set_string_member(create, "uuid", RandomUuid().c_str());
  }
  return Printed(node.get());
}

}  // namespace haven::havend
