/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_DIRECTOR_H
#define HAVEN_TESTS_SIM_DIRECTOR_H

#include <cstdint>
#include <functional>
#include <set>
#include <vector>

#include "tests/sim/plan.h"
#include "tests/sim/world.h"

namespace haven::sim {

/// Lets happen what a plan says, mends it, does what people do then, and looks at the result.
class Director {
 public:
  Director(World& world, const Plan& plan) : world_(world), plan_(plan) {}
  /// Begins it all; the run ends by World::End().
  void Start();
  /// What was met: what each host had sent last, and which fault came then, as one number.
  const std::set<uint32_t>& met() const { return met_; }
  static std::string Name(uint32_t met);

 private:
  void Play();
  void Begin(const Fault& fault);
  void Boot(Host& host);
  void BeginOrder(const Fault& fault, Host& host);
  bool OnRecord(wire::Type type, Network::Moment moment);
  void OnChange(SimFiles::Moment moment, const std::string& path);
  void Hit(const Fault& fault, Process& process);
  void Meet(const Fault& fault);
  void BurnPrimary(const Fault& fault);
  void Mend();
  void SwitchOnAll();
  bool Await(Duration most, const std::function<bool()>& condition);
  unsigned Running() const;
  DeviceModel* TheCopy();
  void Persons();
  void Audit();
  void LoseCopy();

  World& world_;
  const Plan plan_;
  std::vector<Fault> armed_;  ///< kAtRecord and kAtFile; count: how many more
  std::set<uint32_t> met_;
  wire::Type last_[2] = {};
};

}  // namespace haven::sim

#endif
