// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/worker_pool.h"

#include <algorithm>
#include <numeric>

#include "core/threads.h"
#include "core/assert.h"
#include "memrep/compression.h"

namespace haven::memrep {

WorkerPool::WorkerPool(unsigned threads) : cpu_ns_(threads - 1) {
  HAVEN_ASSERT(threads >= 1);
  // What its work throws is the caller's.
  const auto nothing = [](const Status&) {};
  for (unsigned worker = 1; worker < threads; worker++) {
    helpers_.emplace_back([this, worker] { Help(worker); }, nothing);
  }
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_came_.notify_all();
  for (Thread& helper : helpers_) helper.join();
}

void WorkerPool::Run(size_t parts, const Work& work) {
  if (helpers_.empty() || parts <= 1) {
    for (size_t part = 0; part < parts; part++) work(0, part);
    return;
  }
  std::unique_lock lock(mutex_);
  HAVEN_ASSERT(work_ == nullptr);
  work_ = &work;
  parts_ = parts;
  next_ = 0;
  for (size_t i = 1; i < std::min<size_t>(parts, threads()); i++) work_came_.notify_one();
  DoParts(0, lock);
  work_done_.wait(lock, [this] { return in_hand_ == 0; });
  work_ = nullptr;
  if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

void WorkerPool::DoParts(unsigned worker, std::unique_lock<Mutex>& lock) {
  const Work& work = *work_;
  while (next_ < parts_) {
    size_t part = next_++;
    in_hand_++;
    lock.unlock();
    std::exception_ptr thrown;
    try {
      work(worker, part);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    in_hand_--;
    if (!thrown) continue;
    thrown_ = thrown;
    next_ = parts_;
  }
  if (in_hand_ == 0) work_done_.notify_one();
}

void WorkerPool::Help(unsigned worker) {
  std::unique_lock lock(mutex_);
  while (true) {
    work_came_.wait(lock, [this] { return stopping_ || (work_ != nullptr && next_ < parts_); });
    if (stopping_) return;
    DoParts(worker, lock);
    cpu_ns_[worker - 1] = CpuNanoseconds();
  }
}

uint64_t WorkerPool::helpers_cpu_ns() {
  std::lock_guard lock(mutex_);
  return std::accumulate(cpu_ns_.begin(), cpu_ns_.end(), uint64_t{0});
}

unsigned UsualThreads() { return std::clamp(std::thread::hardware_concurrency(), 1u, 4u); }

}  // namespace haven::memrep
