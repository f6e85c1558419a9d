/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_OTHER_MACHINE_H
#define HAVEN_SESSION_OTHER_MACHINE_H

#include <string>

namespace haven::session {

/// What differs between the machine that a guest runs on and the one that waits for it. Both as MACHINE has them
/// (wire::CheckMachine()), from the primary untrusted. Pure; any thread.
///
/// A line is of a thing ("pci/04.0 = e1000") or of its property ("pci/04.0 mac = ..."). Of things that differ, or that
/// only one side has, neither properties nor what is on them is compared. If the versions of QEMU differ, properties
/// that only one side has do not count: the newer one has more.
/// @return the first differences and the number of the others; empty: there are none.
std::string DifferenceOfMachines(const std::string& primary, const std::string& backup);

}  // namespace haven::session

#endif
