// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/client.h"

#include <algorithm>

#include "tests/sim/device_model.h"

namespace haven::sim {

void Client::Start() {
  world_.scheduler.Spawn(nullptr, "client", [this] { Run(); });
}

void Client::Run() {
  SimScheduler& scheduler = world_.scheduler;
  while (world_.checker.FirstUnknown() <= kMostOperations) {
    const uint64_t number = world_.checker.FirstUnknown();
    while (!world_.checker.Knows(number)) {
      for (const auto& model : world_.models) {
        if (model->process().alive && !model->process().frozen)
          model->Request(number, std::min(number + world_.settings.ahead, kMostOperations));
      }
      const Instant again = scheduler.world_now() + world_.settings.patience;
      while (!world_.checker.Knows(number) && scheduler.world_now() < again) scheduler.Block(&world_.checker, again);
    }
    scheduler.SleepUntil(scheduler.world_now() +
                         std::chrono::microseconds(world_.guests.Below(world_.settings.longest_pause_us)));
  }
}

}  // namespace haven::sim
