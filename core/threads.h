/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_THREADS_H
#define HAVEN_CORE_THREADS_H

#include <condition_variable>
#include <mutex>
#include <thread>

namespace haven {

/// What the engine's threads are, lock and wait with. The engine names no others, so that one place
/// decides what they are.
using Mutex = std::mutex;
using Condition = std::condition_variable;
using Thread = std::thread;

}  // namespace haven

#endif
