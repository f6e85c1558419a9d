/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_CLIENT_H
#define HAVEN_TESTS_SIM_CLIENT_H

#include "tests/sim/world.h"

namespace haven::sim {

/// Orders one operation after the other, and some ahead, each until it is acknowledged. The guest's network reaches
/// every host that has power, and every copy that runs.
class Client {
 public:
  explicit Client(World& world) : world_(world) {}
  /// For ever, on a thread of its own.
  void Start();

 private:
  void Run();

  World& world_;
};

}  // namespace haven::sim

#endif
