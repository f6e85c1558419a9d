/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/qemu_arguments.h"

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

}  // namespace

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
