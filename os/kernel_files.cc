// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/kernel_files.h"

#include <charconv>
#include <fstream>

namespace haven::os {

std::optional<uint64_t> ToNumber(const std::string& text) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  return parsed.ec == std::errc() ? std::optional(value) : std::nullopt;
}

std::string FirstWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

std::optional<uint64_t> ValueOf(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string name, value, rest; file >> name >> value; std::getline(file, rest)) {
    if (name == key) return ToNumber(value);
  }
  return std::nullopt;
}

std::vector<std::string> ControlGroups(const std::string& root) {
  std::vector<std::string> groups;
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("0::")) continue;
    for (std::string group = line.substr(3); group.size() > 1; group.resize(group.rfind('/'))) groups.push_back(group);
    break;
  }
  return groups;
}

std::string ControlGroupFolder(const std::string& root, const std::string& group) {
  return root + "/sys/fs/cgroup" + group;
}

}  // namespace haven::os
