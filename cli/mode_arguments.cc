/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/mode_arguments.h"

#include <cstdio>

#include "cli/numbers.h"

namespace haven::cli {

namespace {

bool TakeEnd(std::string& text, const std::string& end) {
  if (text.size() <= end.size() || text.compare(text.size() - end.size(), end.size(), end) != 0) return false;
  text.resize(text.size() - end.size());
  return true;
}

/// Milliseconds, also as 2.5, with or without ms; or microseconds with us.
Status SetTime(uint32_t& us, const std::string& value, uint32_t least_us, uint32_t most_us) {
  std::string text = value;
  double unit_us = 1000;
  if (TakeEnd(text, "us")) {
    unit_us = 1;
  } else {
    (void)TakeEnd(text, "ms");
  }
  const bool number = text.find_first_not_of("0123456789.") == std::string::npos && text.size() < 16 &&
                      text.find_first_of("0123456789") != std::string::npos && text.find('.') == text.rfind('.');
  const double given = number ? strtod(text.c_str(), nullptr) * unit_us : 0;
  if (!number || given < least_us || given > most_us) {
    char limits[64];
    snprintf(limits, sizeof(limits), "%g to %g ms", least_us / 1000.0, most_us / 1000.0);
    return {StatusCode::kInvalid, std::string("must be ") + limits + " (or with us behind it), not '" + value + "'"};
  }
  us = static_cast<uint32_t>(given + 0.5);
  return Status::Ok();
}

Status SetWhole(uint32_t& out, std::string value, const std::string& unit, uint32_t least, uint32_t most) {
  (void)TakeEnd(value, unit);
  return SetNumber(out, value, least, most);
}

}  // namespace

const std::vector<std::string>& ModeArguments::Names() {
  static const std::vector<std::string> names = {"mode",  "interval", "window",    "max-age", "latency",
                                                 "pause", "overhead", "in-flight", "predict"};
  return names;
}

Status ModeArguments::Set(const std::string& name, const std::string& value) {
  if (name == "interval") return SetWhole(interval_ms, value, "ms", 1, 60'000);
  if (name == "window") return SetTime(window_us, value, 1, 100'000);
  if (name == "max-age") return SetWhole(max_age_ms, value, "ms", 10, 60'000);
  if (name == "latency") return SetTime(latency_us, value, 100, 10'000'000);
  if (name == "pause") return SetTime(pause_us, value, 100, 10'000'000);
  if (name == "overhead") return SetWhole(overhead_percent, value, "%", 1, 90);
  if (name == "in-flight") return SetNumber(in_flight, value, 1, 8);
  if (name == "predict") {
    if (value != "yes" && value != "no") return {StatusCode::kInvalid, "must be yes or no, not '" + value + "'"};
    predict = value == "yes";
    return Status::Ok();
  }
  if (value != "remus" && value != "kemari" && value != "adaptive") {
    return {StatusCode::kInvalid, "must be remus, kemari or adaptive, not '" + value + "'"};
  }
  mode = value;
  return Status::Ok();
}

void ModeArguments::AddTo(qmp::Json& arguments) const {
  if (!mode.empty()) arguments.Set("mode", mode);
  const auto number = [&](const char* name, uint32_t value) {
    if (value != 0) arguments.Set(name, value);
  };
  number("interval-ms", interval_ms);
  number("window-us", window_us);
  number("max-age-ms", max_age_ms);
  number("latency-us", latency_us);
  number("pause-us", pause_us);
  number("overhead-percent", overhead_percent);
  number("in-flight", in_flight);
  if (predict) arguments.Set("predict", *predict);
}

}  // namespace haven::cli
