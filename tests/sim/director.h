/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_DIRECTOR_H
#define HAVEN_TESTS_SIM_DIRECTOR_H

#include <cstdint>
#include <functional>
#include <vector>

#include "tests/sim/plan.h"
#include "tests/sim/watch.h"
#include "tests/sim/world.h"

namespace haven::sim {

/// Lets happen what a plan says, mends it, does what people do then, and looks at the result.
class Director {
 public:
  Director(World& world, const Plan& plan) : world_(world), plan_(plan), watch_(world) {}
  /// Begins it all; the run ends by World::End().
  void Start();
  const Watch& watch() const { return watch_; }

 private:
  void Play();
  void Arm(unsigned act, Host& runs);
  void Act(unsigned act);
  void Begin(const Fault& fault);
  void Hang(const Fault& fault, Host& host);
  void Boot(Host& host);
  void BeginOrder(const Fault& fault, Host& host);
  bool OnRecord(wire::Type type, Network::Moment moment);
  void OnChange(SimFiles::Moment moment, const std::string& path);
  void Hit(const Fault& fault, Process& process);
  void SetMode(const Fault& fault);
  void BurnPrimary(const Fault& fault);
  void Mend();
  void SwitchOnAll();
  bool Await(Duration most, const std::function<bool()>& condition);
  unsigned Running() const;
  DeviceModel* TheCopy();
  void Persons();
  void AdoptTheCopyAtHome();
  bool AllAnswered() const;
  void AuditHang();
  void Audit();
  bool ProtectTheCopy();

  World& world_;
  const Plan plan_;
  Watch watch_;
  Host* home_ = nullptr;         ///< where the guest ran when the act began
  std::vector<Fault> begun_[2];  ///< of each act
  std::vector<Fault> armed_;     ///< kAtRecord and kAtFile; count: how many more
};

}  // namespace haven::sim

#endif
