/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/qemu_arguments.h"

#include <string_view>

#include "qmp/json.h"

namespace haven::havend {

namespace {

/// A comma inside a value of a QEMU option is written twice.
std::string Escaped(const std::string& value) {
  std::string result;
  for (char c : value) {
    result += c;
    if (c == ',') result += c;
  }
  return result;
}

/// The id in what follows -object: options, or JSON.
std::string ObjectId(const std::string& words) {
  if (words.starts_with("{")) {
    auto json = qmp::Json::Parse(words);
    return json.ok() ? json.value()["id"].String() : "";
  }
  constexpr std::string_view kId = ",id=";
  const std::string all = "," + words;
  const size_t at = all.find(kId);
  if (at == std::string::npos) return "";
  return all.substr(at + kId.size(), all.find(',', at + 1) - at - kId.size());
}

}  // namespace

Status RefuseOwnMemory(const std::vector<std::string>& configured, const std::string& region) {
  for (size_t i = 0; i + 1 < configured.size(); i++) {
    if (configured[i] != "-object" && configured[i] != "--object") continue;
    if (ObjectId(configured[i + 1]) != region) continue;
    return {StatusCode::kRefused,
            "the guest's command on the backup has an object " + region + " of its own (-object " + configured[i + 1] +
                "), where havend gives the guest the memory that it has received: take this object, and "
                "memory-backend=" +
                region + " of -machine, out of the command in the backup's configuration"};
  }
  return Status::Ok();
}

std::vector<std::string> QemuCommand(const std::vector<std::string>& configured, const QemuArguments& arguments) {
  std::vector<std::string> argv = configured;
  const auto add = [&argv](const char* option, const std::string& value) {
    argv.emplace_back(option);
    argv.push_back(value);
  };
  // -S: the guest runs when havend says so, whatever run state the stream carries.
  argv.emplace_back("-S");
  if (arguments.memory) {
    const IncomingMemory& memory = *arguments.memory;
    add("-incoming", "defer");
    // Not shared before a load has succeeded: one that fails must leave the image as it is.
    // The block must be named as on the primary, not by its path in the object tree.
    add("-object", "memory-backend-file,id=" + memory.region + ",size=" + std::to_string(memory.bytes) +
                       ",share=off,mem-path=/proc/self/fd/" + std::to_string(memory.fd) +
                       ",x-use-canonical-path-for-ramblock-id=off");
    add("-machine", "memory-backend=" + memory.region);
  }
  add("-chardev", "socket,id=haven-control,fd=" + std::to_string(arguments.control_fd));
  add("-mon", "chardev=haven-control,mode=control");
  add("-qmp", "unix:" + Escaped(arguments.qmp_path) + ",server=on,wait=off");
  return argv;
}

}  // namespace haven::havend
