/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_QEMU_ARGUMENTS_H
#define HAVEN_HAVEND_QEMU_ARGUMENTS_H

#include <string>
#include <vector>

#include <cstdint>

namespace haven::havend {

/// What havend adds to the configured command of a guest.
struct QemuArguments {
  std::string ram_region;
  int ram_fd = -1;  ///< memfd of the guest's memory, inherited
  uint64_t ram_bytes = 0;
  int control_fd = -1;   ///< a connected socket for havend's own monitor, inherited
  std::string qmp_path;  ///< the public monitor of the guest
};

/// @return the argv of a QEMU that waits for the guest's state.
std::vector<std::string> WaitingQemuCommand(const std::vector<std::string>& configured,
                                            const QemuArguments& arguments);

}  // namespace haven::havend

#endif
