/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_SWITCHES_H
#define HAVEN_TESTS_SIM_SWITCHES_H

#include "tests/sim/plan.h"

namespace haven::sim {

/// @param far  the hosts are: an epoch is shorter than the way to the other one and back.
session::ModeSettings MakeMode(bool far, Random& random);
/// Somebody chooses other modes: at any moment, and just before and after what goes wrong.
void PlanSwitches(Plan& plan, Random& random);

}  // namespace haven::sim

#endif
