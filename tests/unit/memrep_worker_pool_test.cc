// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/worker_pool.h"

#include <atomic>
#include <set>

#include <CppUTest/TestHarness.h>

using namespace haven::memrep;

TEST_GROUP(WorkerPool){};

TEST(WorkerPool, DoesEachPartOnce) {
  for (unsigned threads : {1u, 2u, 5u}) {
    WorkerPool pool(threads);
    CHECK_EQUAL(threads, pool.threads());
    for (size_t parts : {0u, 1u, 2u, 7u, 300u}) {
      std::vector<std::atomic<int>> done(parts);
      std::atomic<unsigned> highest{0};
      pool.Run(parts, [&](unsigned worker, size_t part) {
        done[part]++;
        unsigned before = highest.load();
        while (before < worker && !highest.compare_exchange_weak(before, worker)) {
        }
      });
      for (auto& times : done) CHECK_EQUAL(1, times.load());
      CHECK(highest < threads);
    }
  }
}

TEST(WorkerPool, WorksAtTheSameTime) {
  WorkerPool pool(3);
  std::atomic<int> begun{0};
  // Each part waits for the other two: one thread alone would never end.
  pool.Run(3, [&](unsigned, size_t) {
    begun++;
    while (begun < 3) std::this_thread::yield();
  });
  CHECK_EQUAL(3, begun.load());
}

TEST(WorkerPool, WhatThePartsWroteIsThereAfterwards) {
  WorkerPool pool(4);
  std::vector<uint64_t> squares(1000);
  for (uint64_t round = 0; round < 50; round++) {
    pool.Run(squares.size() / 10, [&](unsigned, size_t part) {
      for (size_t i = part * 10; i < part * 10 + 10; i++) squares[i] = i * i + round;
    });
    for (size_t i = 0; i < squares.size(); i++) CHECK_EQUAL(i * i + round, squares[i]);
  }
}

TEST(WorkerPool, CountsTheTimeOfItsHelpers) {
  WorkerPool pool(2);
  CHECK_EQUAL(0, pool.helpers_cpu_ns());
  std::atomic<int> begun{0};
  for (int i = 0; i < 3; i++) {
    begun = 0;
    pool.Run(2, [&](unsigned, size_t) {
      begun++;
      while (begun < 2) std::this_thread::yield();
    });
  }
  // The last run's is counted when its helper is back at its bed.
  while (pool.helpers_cpu_ns() == 0) std::this_thread::yield();
}
