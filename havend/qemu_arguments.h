/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_QEMU_ARGUMENTS_H
#define HAVEN_HAVEND_QEMU_ARGUMENTS_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"

namespace haven::havend {

/// The memory of a guest that will come.
struct IncomingMemory {
  std::string region;  ///< QEMU's name of the RAM block
  int fd = -1;         ///< memfd, inherited
  uint64_t bytes = 0;
};

/// What havend adds to the configured command of a guest.
struct QemuArguments {
  std::optional<IncomingMemory> memory;  ///< none: a machine that is switched on
  int control_fd = -1;                   ///< a connected socket for havend's own monitor, inherited
  std::string qmp_path;                  ///< the public monitor of the guest
};

/// @return the argv of a QEMU that waits for the guest's state, or for the word
///         to switch the machine on.
std::vector<std::string> QemuCommand(const std::vector<std::string>& configured, const QemuArguments& arguments);

/// The guest's memory is what QemuCommand() adds, under this name.
/// @return kRefused when the command makes an object of that name, as libvirt's does.
Status RefuseOwnMemory(const std::vector<std::string>& configured, const std::string& region);

}  // namespace haven::havend

#endif
