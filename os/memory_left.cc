// SPDX-License-Identifier: GPL-2.0-or-later
#include "os/memory_left.h"

#include "os/kernel_files.h"

namespace haven::os {
namespace {

constexpr char kOvercommitNever = '2';

uint64_t Less(uint64_t from, uint64_t taken) { return from > taken ? from - taken : 0; }

void Nearest(std::optional<MemoryLimit>& nearest, uint64_t left, std::string name) {
  if (!nearest || left < nearest->left_bytes) nearest = {left, std::move(name)};
}

}  // namespace

std::optional<MemoryLimit> MemoryLeft(const std::string& root) {
  std::optional<MemoryLimit> nearest;
  for (const std::string& group : ControlGroups(root)) {
    const std::string folder = ControlGroupFolder(root, group);
    const auto most = ToNumber(FirstWord(folder + "/memory.max"));
    const auto used = ToNumber(FirstWord(folder + "/memory.current"));
    if (!most || !used) continue;
    // The kernel takes that back first.
    const uint64_t cached = ValueOf(folder + "/memory.stat", "inactive_file").value_or(0);
    Nearest(nearest, Less(*most, Less(*used, cached)), "memory.max of the control group " + group);
  }
  if (FirstWord(root + "/proc/sys/vm/overcommit_memory") == std::string(1, kOvercommitNever)) {
    const std::string info = root + "/proc/meminfo";
    const auto limit = ValueOf(info, "CommitLimit:"), promised = ValueOf(info, "Committed_AS:");
    if (limit && promised) Nearest(nearest, Less(*limit, *promised) << 10, "vm.overcommit_ratio, or the swap space");
  }
  return nearest;
}

}  // namespace haven::os
