// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/policy/mode.h"

#include <cstdio>

#include "core/assert.h"
#include "core/epoch.h"
#include "session/policy/adaptive.h"
#include "session/policy/kemari.h"
#include "session/policy/remus.h"

namespace haven::session {
namespace {

Status Between(const char* what, int64_t value, int64_t least, int64_t most, const char* unit) {
  if (value >= least && value <= most) return Status::Ok();
  return {StatusCode::kInvalid, std::string(what) + " must be " + std::to_string(least) + " to " +
                                    std::to_string(most) + unit + ", not " + std::to_string(value)};
}

}  // namespace

const char* ModeName(Mode mode) {
  switch (mode) {
    case Mode::kRemus: return "remus";
    case Mode::kKemari: return "kemari";
    case Mode::kAdaptive: return "adaptive";
  }
  HAVEN_ASSERT(false);
}

Status CheckMode(const ModeSettings& s, bool output_elsewhere) {
  if (s.mode == Mode::kKemari && output_elsewhere) {
    return {StatusCode::kInvalid,
            "mode kemari has to see what the guest sends, and the kernel serves a network card of this guest; "
            "use adaptive or remus"};
  }
  HAVEN_RETURN_IF_ERROR(Between("the interval", s.interval.count(), 1, 60'000, " ms"));
  HAVEN_RETURN_IF_ERROR(Between("the window", s.window.count(), 1, 100'000, " us"));
  HAVEN_RETURN_IF_ERROR(Between("the longest age of an epoch", s.max_age.count(), 10, 60'000, " ms"));
  HAVEN_RETURN_IF_ERROR(Between("the latency", s.latency.count(), 100, 10'000'000, " us"));
  HAVEN_RETURN_IF_ERROR(Between("the pause", s.pause.count(), 100, 10'000'000, " us"));
  HAVEN_RETURN_IF_ERROR(Between("the overhead", s.overhead_percent, 1, 90, " percent"));
  return Between("the number of epochs in flight", s.in_flight, 1, kMostEpochsInFlight, "");
}

std::string DescribeMode(const ModeSettings& s, bool output_elsewhere) {
  const auto ms = [](int64_t us) {
    char text[32];
    snprintf(text, sizeof(text), "%g ms", static_cast<double>(us) / 1000);
    return std::string(text);
  };
  const std::string tail =
      ", in flight " + std::to_string(output_elsewhere ? 1 : s.in_flight) + (s.predict ? "" : ", no prediction");
  switch (s.mode) {
    case Mode::kRemus: return "interval " + ms(microseconds(s.interval).count()) + tail;
    case Mode::kKemari:
      return "window " + ms(s.window.count()) + ", at most " + ms(microseconds(s.max_age).count()) + tail;
    case Mode::kAdaptive:
      return "latency " + ms(s.latency.count()) + ", pause " + ms(s.pause.count()) + ", overhead " +
             std::to_string(s.overhead_percent) + " %, at most " + ms(microseconds(s.max_age).count()) + tail;
  }
  HAVEN_ASSERT(false);
}

std::unique_ptr<EpochPolicy> MakePolicy(const ModeSettings& settings) {
  std::unique_ptr<EpochPolicy> policy;
  switch (settings.mode) {
    case Mode::kRemus: policy = std::make_unique<FixedInterval>(); break;
    case Mode::kKemari: policy = std::make_unique<WhenOutputWaits>(); break;
    case Mode::kAdaptive: policy = std::make_unique<Adaptive>(); break;
  }
  HAVEN_ASSERT(policy != nullptr);
  policy->Set(settings);
  return policy;
}

}  // namespace haven::session
