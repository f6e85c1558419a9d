// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/other_machine.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace haven::session {
namespace {

// All of it has to fit into an ERROR record, with what to do about it.
constexpr size_t kMostNamed = 3;
constexpr size_t kLongestName = 80, kLongestValue = 60;
constexpr char kVersion[] = "qemu";
/// What explains most of what else differs.
constexpr const char* kFirst[] = {"machine", "cpus", "cpu/0"};

struct Thing {
  std::optional<std::string_view> value;  ///< none: only properties of it are told
  std::map<std::string_view, std::string_view> properties;
};
using Machine = std::map<std::string_view, Thing>;

Machine Parse(std::string_view text) {
  Machine machine;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const size_t equals = line.find(" = ");
    if (equals == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, equals), value = line.substr(equals + 3);
    const size_t space = key.find(' ');
    Thing& thing = machine[key.substr(0, space)];
    if (space == std::string_view::npos) {
      thing.value = value;
    } else {
      thing.properties[key.substr(space + 1)] = value;
    }
  }
  return machine;
}

std::string Shown(std::string_view text, size_t most) {
  return std::string(text.substr(0, most)) + (text.size() > most ? "..." : "");
}

std::string Value(std::string_view value) { return value.empty() ? "empty" : Shown(value, kLongestValue); }

std::string BothAre(const std::string& what, std::string_view primary, std::string_view backup) {
  return Shown(what, kLongestName) + " is " + Value(backup) + " on the backup and " + Value(primary) +
         " on the primary";
}

std::string OnlyOn(const std::string& what, std::string_view value, const char* side) {
  return Shown(what, kLongestName) + " (" + Value(value) + ") is only on the " + side;
}

class Comparison {
 public:
  Comparison(const std::string& primary, const std::string& backup) : primary_(Parse(primary)), backup_(Parse(backup)) {
    other_version_ = primary_[kVersion].value != backup_[kVersion].value;
    primary_.erase(kVersion);
    backup_.erase(kVersion);
  }

  std::vector<std::string> Run() {
    std::set<std::string_view> things;
    for (const Machine* side : {&primary_, &backup_}) {
      for (const auto& [name, thing] : *side) things.insert(name);
    }
    for (const char* name : kFirst) {
      if (things.erase(name) != 0) CompareThing(name);
    }
    for (std::string_view name : things) CompareThing(name);
    return std::move(differences_);
  }

 private:
  void CompareThing(std::string_view name) {
    if (IsOnOther(name)) return;
    const Thing& primary = primary_[name];
    const Thing& backup = backup_[name];
    if (primary.value == backup.value) return CompareProperties(std::string(name), primary, backup);
    others_.insert(name);
    const std::string what(name);
    differences_.push_back(!backup.value    ? OnlyOn(what, *primary.value, "primary")
                           : !primary.value ? OnlyOn(what, *backup.value, "backup")
                                            : BothAre(what, *primary.value, *backup.value));
  }

  void CompareProperties(const std::string& thing, const Thing& primary, const Thing& backup) {
    for (const auto& [name, value] : primary.properties) {
      auto other = backup.properties.find(name);
      const std::string what = thing + " " + std::string(name);
      if (other == backup.properties.end()) {
        if (!other_version_) differences_.push_back(OnlyOn(what, value, "primary"));
      } else if (other->second != value) {
        differences_.push_back(BothAre(what, value, other->second));
      }
    }
    if (other_version_) return;
    for (const auto& [name, value] : backup.properties) {
      if (primary.properties.count(name) == 0) {
        differences_.push_back(OnlyOn(thing + " " + std::string(name), value, "backup"));
      }
    }
  }

  /// Whether it is on the bus of something that was found to differ.
  bool IsOnOther(std::string_view name) const {
    for (size_t slash = name.find('/'); slash != std::string_view::npos; slash = name.find('/', slash + 1)) {
      if (others_.count(name.substr(0, slash)) != 0) return true;
    }
    return false;
  }

  Machine primary_, backup_;
  bool other_version_;
  std::set<std::string_view> others_;
  std::vector<std::string> differences_;
};

}  // namespace

std::string DifferenceOfMachines(const std::string& primary, const std::string& backup) {
  const std::vector<std::string> all = Comparison(primary, backup).Run();
  std::string text;
  for (size_t i = 0; i < std::min(all.size(), kMostNamed); i++) text += (i == 0 ? "" : "; ") + all[i];
  if (all.size() > kMostNamed) text += " (and " + std::to_string(all.size() - kMostNamed) + " more)";
  return text;
}

}  // namespace haven::session
