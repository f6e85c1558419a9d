/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_WORKER_POOL_H
#define HAVEN_MEMREP_WORKER_POOL_H

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "core/threads.h"

namespace haven::memrep {

/// Threads that help with work which is divided into parts. They sleep while
/// there is none; a helper that does not get to run is not waited for.
/// One caller at a time.
class WorkerPool {
 public:
  /// @param worker  who does it: 0 the caller, else a helper; below threads().
  using Work = std::function<void(unsigned worker, size_t part)>;

  /// @param threads  1 or more, the caller's included.
  explicit WorkerPool(unsigned threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  unsigned threads() const { return static_cast<unsigned>(helpers_.size()) + 1; }

  /// Calls work() once for each part below `parts`, in no particular order
  /// and at the same time; returns when all are done. What one of them throws is thrown here, then.
  void Run(size_t parts, const Work& work);

  /// CPU time of the helpers so far. Any thread.
  uint64_t helpers_cpu_ns();

 private:
  void Help(unsigned worker);
  /// Does parts until none is left. @param lock  held before and after.
  void DoParts(unsigned worker, std::unique_lock<Mutex>& lock);

  Mutex mutex_;  ///< guards what follows
  Condition work_came_, work_done_;
  const Work* work_ = nullptr;
  size_t parts_ = 0, next_ = 0, in_hand_ = 0;
  std::exception_ptr thrown_;  ///< by a part of this work; the parts that had not begun were left out
  bool stopping_ = false;
  std::vector<uint64_t> cpu_ns_;  ///< by helper
  std::vector<Thread> helpers_;
};

/// How many threads to use when nobody says: as many as there are processors, up to 4.
unsigned UsualThreads();

}  // namespace haven::memrep

#endif
