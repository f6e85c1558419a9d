// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/switches.h"

#include "core/epoch.h"
#include "tests/sim/points.h"

namespace haven::sim {
namespace {

using Kind = Fault::Kind;
using std::chrono::microseconds;
constexpr uint64_t kNearUs = 3000;

Fault MakeSwitch(const Plan& plan, Random& random) {
  Fault change;
  change.kind = Kind::kSetMode;
  change.mode = MakeMode(plan.settings.far, random);
  return change;
}

/// What comes by a record, or by a file, is joined by a switch at the one before or at the same one; the rest by one
/// that comes some microseconds earlier or later.
Fault MakeNear(const Plan& plan, const Fault& fault, bool before, Random& random) {
  Fault change = MakeSwitch(plan, random);
  change.act = fault.act;
  change.host = fault.host;
  const Duration near = microseconds(random.Below(kNearUs));
  change.at = before ? std::max(Duration{}, fault.at - near) : fault.at + near;
  if (!fault.IsArmed()) return change;
  change.kind = fault.kind;
  change.type = fault.type;
  change.file = fault.file;
  change.synced = fault.synced;
  change.moment = before ? Network::Moment::kBefore : Network::Moment::kAfter;
  change.count = before && fault.count > 1 ? fault.count - random.Below(2) : fault.count;
  change.then = Fault::Then::kSetMode;
  return change;
}

}  // namespace

session::ModeSettings MakeMode(bool far, Random& random) {
  session::ModeSettings mode;
  mode.mode = static_cast<session::Mode>(random.Below(3));
  mode.interval = milliseconds(far ? random.Between(1, 8) : random.Between(10, 120));
  mode.window = microseconds(far ? random.Between(200, 2000) : random.Between(200, 8000));
  mode.max_age = milliseconds(random.Between(20, 400));
  mode.latency = milliseconds(far ? random.Between(1, 20) : random.Between(5, 80));
  // Else it would leave no room for a second one: a guest's disks answer after the way there and back.
  if (far) mode.overhead_percent = 90;
  constexpr unsigned kInFlight[] = {1, 2, 4};
  mode.in_flight = random.Percent(80) ? kInFlight[random.Below(std::size(kInFlight))]
                                      : static_cast<unsigned>(random.Between(3, kMostEpochsInFlight));
  mode.predict = random.Percent(60);
  return mode;
}

void PlanSwitches(Plan& plan, Random& random) {
  if (random.Percent(40)) return;
  // Of the guest that is handed over, too.
  if (random.Percent(15)) {
    Fault order;
    order.kind = Kind::kHandOver;
    order.host = 1;
    order.at = std::chrono::milliseconds(random.Below(700));
    plan.faults.push_back(order);
  }
  std::vector<Fault> faults;
  for (const Fault& fault : plan.faults) {
    if (random.Percent(50)) faults.push_back(MakeNear(plan, fault, true, random));
    faults.push_back(fault);
    if (random.Percent(30)) faults.push_back(MakeNear(plan, fault, false, random));
  }
  for (uint64_t more = random.Below(5); more > 0; more--) {
    Fault change = MakeSwitch(plan, random);
    change.act = plan.failback && random.Percent(30) ? 1 : 0;
    change.at = microseconds(random.Below(random.Percent(75) ? 900'000 : 5'000'000));
    change.then = Fault::Then::kSetMode;
    if (random.Percent(70)) MoveToAnyPoint(change, random);
    faults.push_back(change);
  }
  plan.faults = std::move(faults);
}

}  // namespace haven::sim
