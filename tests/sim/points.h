/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_POINTS_H
#define HAVEN_TESTS_SIM_POINTS_H

#include <optional>
#include <string>

#include "tests/sim/met.h"

namespace haven::sim {

/// Comes at any of the points of the table below from now on.
void MoveToAnyPoint(Fault& fault, Random& random);
/// What an armed fault has in common with others at the same point.
uint64_t PointFeature(const Fault& fault, const session::ModeSettings& mode);
/// Where an armed fault has come: a point of the protocol, the mode, how many epochs it lets be in flight, and whether
/// as many were (`in_flight`). @return nothing for what the table below does not have.
std::optional<uint32_t> MetPoint(const Fault& fault, bool at_primary, const session::ModeSettings& mode,
                                 unsigned in_flight);

/// Each point of the protocol with each mode and 1, 2 and 4 epochs in flight.
struct PointTable {
  explicit PointTable(const Coverage& coverage);

  size_t all = 0;                             ///< how many there are
  size_t losses = 0, switches = 0;            ///< at how many of them a side was lost, another mode was chosen
  size_t full_losses = 0, full_switches = 0;  ///< there with as many epochs in flight as the mode lets be
  std::string never;                          ///< the others, a line for each point
};

}  // namespace haven::sim

#endif
