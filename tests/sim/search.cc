// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/search.h"

#include <algorithm>

#include "tests/sim/points.h"
#include "tests/sim/random.h"

namespace haven::sim {
namespace {

constexpr size_t kRound = 40;
constexpr uint64_t kCandidates = 6;

}  // namespace

std::map<Search::Feature, uint32_t> Search::FeaturesOf(uint64_t seed) {
  std::map<Feature, uint32_t> features;
  const Plan plan = MakePlan(seed);
  // A fault meets another state when others came before it.
  bool first = true;
  session::ModeSettings mode = plan.settings.mode;
  for (const Fault& fault : plan.faults) {
    const auto time = static_cast<uint64_t>(fault.at / std::chrono::milliseconds(300));
    Feature feature = Mix(EventOf(fault), fault.host << 1 | first);
    feature = Mix(feature, plan.settings.arbiter << 1 | plan.primary_never_back);
    if (fault.kind == Fault::Kind::kAtRecord) {
      feature = Mix(feature, static_cast<uint64_t>(fault.type) << 2 | static_cast<uint64_t>(fault.moment));
    } else if (fault.kind == Fault::Kind::kAtFile) {
      feature = Mix(feature, static_cast<uint64_t>(fault.file) << 1 | fault.synced);
    } else {
      feature = Mix(feature, std::min<uint64_t>(time, 5));
    }
    features.emplace(feature, EventOf(fault));
    if (fault.IsArmed()) features.emplace(PointFeature(fault, mode), EventOf(fault));
    if (fault.SetsMode()) {
      mode = fault.mode;
      continue;
    }
    first = false;
  }
  return features;
}

/// Of each fault of the plan, how rare what it met before is, on average. One that was never tried promises most.
double Search::Promise(uint64_t seed) const {
  double sum = 0;
  const auto features = FeaturesOf(seed);
  for (const auto& [feature, event] : features) {
    const auto found = known_.find(feature);
    if (found == known_.end()) {
      sum += 1;
      continue;
    }
    const Known& known = found->second;
    double rare = 1;  // of what it may meet besides
    for (const auto& [met, runs] : known.met) rare += static_cast<double>(runs) / coverage_.Count(met);
    sum += rare / (1 + known.runs);
  }
  return features.empty() ? 0 : sum / static_cast<double>(features.size());
}

void Search::Begin() {
  for (size_t i = 0; i < kRound; i++) {
    uint64_t chosen = next_++;
    if (i % 2 == 1) {
      double most = Promise(chosen);
      for (uint64_t other = 1; other < kCandidates; other++, next_++) {
        const double promise = Promise(next_);
        if (promise > most) {
          most = promise;
          chosen = next_;
        }
      }
    }
    round_.push_back(chosen);
  }
}

uint64_t Search::Next() {
  if (round_.empty()) Begin();
  const uint64_t seed = round_.front();
  round_.pop_front();
  running_++;
  return seed;
}

void Search::Ran(uint64_t seed, const std::set<uint32_t>& met) {
  running_--;
  coverage_.Add(met);
  for (const auto& [feature, event] : FeaturesOf(seed)) {
    Known& known = known_[feature];
    known.runs++;
    for (uint32_t one : met) {
      if (EventOfMet(one) == event) known.met[one]++;
    }
  }
}

}  // namespace haven::sim
