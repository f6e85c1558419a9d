/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_GUARDED_H
#define HAVEN_CORE_GUARDED_H

#include "core/status.h"

namespace haven {

namespace internal {
/// In a handler of an exception: what was thrown, as kEnvironment. Throws nothing.
Status WhatWasThrown() noexcept;
}  // namespace internal

/// Does a piece of a thread's work, which no exception leaves: a failed allocation costs that piece only. Our own code
/// throws only where a constructor gets no memory; the standard library does anywhere.
/// @return what `work` says; kEnvironment if it threw.
template <typename Work>
Status Guarded(Work&& work) noexcept {
  try {
    return work();
  } catch (...) {
    return internal::WhatWasThrown();
  }
}

}  // namespace haven

#endif
