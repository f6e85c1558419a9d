/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CLI_MODE_ARGUMENTS_H
#define HAVEN_CLI_MODE_ARGUMENTS_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "qmp/json.h"

namespace haven::cli {

/// A mode and its settings, as haven set and haven protect take them; empty and 0: not given.
struct ModeArguments {
  std::string mode;
  uint32_t interval_ms = 0, window_us = 0, max_age_ms = 0;
  uint32_t latency_us = 0, pause_us = 0, overhead_percent = 0, in_flight = 0;
  std::optional<bool> predict;

  /// The names of the settings: mode, interval, ...
  static const std::vector<std::string>& Names();
  /// @param name  one of Names(). @return kInvalid with what the value must be.
  Status Set(const std::string& name, const std::string& value);
  /// Adds what was given to the arguments of haven-set or haven-start.
  void AddTo(qmp::Json& arguments) const;
};

}  // namespace haven::cli

#endif
