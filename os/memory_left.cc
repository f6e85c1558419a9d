// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/memory_left.h"

#include <charconv>
#include <fstream>

namespace haven::os {
namespace {

constexpr char kOvercommitNever = '2';

std::optional<uint64_t> Number(const std::string& text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

/// The first word of a file.
std::string Word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

/// Of a file of lines like `key value`.
std::optional<uint64_t> Value(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string name, value, rest; file >> name >> value; std::getline(file, rest)) {
    if (name == key) return Number(value);
  }
  return std::nullopt;
}

uint64_t Less(uint64_t from, uint64_t taken) { return from > taken ? from - taken : 0; }

void Nearest(std::optional<MemoryLimit>& nearest, uint64_t left, std::string name) {
  if (!nearest || left < nearest->left_bytes) nearest = {left, std::move(name)};
}

/// "/a/b" of the line "0::/a/b".
std::string Group(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "";
}

}  // namespace

std::optional<MemoryLimit> MemoryLeft(const std::string& root) {
  std::optional<MemoryLimit> nearest;
  for (std::string group = Group(root); group.size() > 1; group.resize(group.rfind('/'))) {
    const std::string folder = root + "/sys/fs/cgroup" + group;
    const auto most = Number(Word(folder + "/memory.max")), used = Number(Word(folder + "/memory.current"));
    if (!most || !used) continue;
    // The kernel takes that back first.
    const uint64_t cached = Value(folder + "/memory.stat", "inactive_file").value_or(0);
    Nearest(nearest, Less(*most, Less(*used, cached)), "memory.max of the control group " + group);
  }
  if (Word(root + "/proc/sys/vm/overcommit_memory") == std::string(1, kOvercommitNever)) {
    const std::string info = root + "/proc/meminfo";
    const auto limit = Value(info, "CommitLimit:"), promised = Value(info, "Committed_AS:");
    if (limit && promised) Nearest(nearest, Less(*limit, *promised) << 10, "vm.overcommit_ratio, or the swap space");
  }
  return nearest;
}

}  // namespace haven::os
