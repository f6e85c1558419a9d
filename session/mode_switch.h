/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_MODE_SWITCH_H
#define HAVEN_SESSION_MODE_SWITCH_H

#include "core/threads.h"
#include "session/policy/mode.h"

namespace haven::session {

/// The mode that is wanted now. Any thread.
class ModeSwitch {
 public:
  explicit ModeSwitch(const ModeSettings& settings) : settings_(settings) {}
  ModeSettings Get() {
    std::lock_guard lock(mutex_);
    return settings_;
  }
  void Set(const ModeSettings& settings) {
    std::lock_guard lock(mutex_);
    settings_ = settings;
  }

 private:
  Mutex mutex_;
  ModeSettings settings_;
};

}  // namespace haven::session

#endif
