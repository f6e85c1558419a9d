// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/memory_need.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::session;

TEST_GROUP(MemoryNeed) {
  static constexpr uint64_t kMiB = 1u << 20;
  PrimaryOptions options;
};

TEST(MemoryNeed, WhatFitsIsNotRefused) {
  CHECK(CheckMemory(options, 512 * kMiB, std::nullopt).ok());
  CHECK(CheckMemory(options, 512 * kMiB, os::MemoryLimit{128 * kMiB, "x"}).ok());
}

TEST(MemoryNeed, TheRefusalSaysHowMuchAndWhatToRaise) {
  const Status status = CheckMemory(options, 512 * kMiB, os::MemoryLimit{127 * kMiB, "memory.max of /g"});
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("needs at least 128 MiB", status.message().c_str());
  STRCMP_CONTAINS("64 MiB of it for the encoder's cache", status.message().c_str());
  STRCMP_CONTAINS("lets it have 127 MiB: raise memory.max of /g", status.message().c_str());
}

TEST(MemoryNeed, ASmallerCacheIsOne) {
  options.encoder.cache_bytes = 16 * kMiB;
  CHECK(CheckMemory(options, 512 * kMiB, os::MemoryLimit{80 * kMiB, "x"}).ok());
  CHECK_FALSE(CheckMemory(options, 512 * kMiB, os::MemoryLimit{79 * kMiB, "x"}).ok());
  CHECK(CheckMemory(options, 8 * kMiB, os::MemoryLimit{24 * kMiB, "x"}).ok());
}
