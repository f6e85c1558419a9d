/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_BENCH_MEMREP_PAGES_H
#define HAVEN_TESTS_BENCH_MEMREP_PAGES_H

#include <cstdint>
#include <string>
#include <vector>

#include "memrep/page_codec.h"

namespace haven::bench {

enum class Content { kZeros, kText, kPointers, kRandom };
const char* Name(Content content);

/// What a guest does between two checkpoints.
struct Load {
  uint64_t pages = 10000;      ///< that it dirties
  unsigned changed_bytes = 8;  ///< of each, in one run ...
  unsigned words = 0;          ///< ... or so many scattered words of 8 octets
  Content content = Content::kRandom;
  uint64_t guest_bytes = 1ull << 30;  ///< over which the pages are spread
  bool spread = true;                 ///< at random; else neighbours
};

/// Memory on huge pages where there are any.
class Arena {
 public:
  explicit Arena(uint64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  uint8_t* data() { return data_; }

 private:
  uint8_t* data_;
  uint64_t bytes_;
};

/// The dirty pages of a guest in two versions that differ by what the load
/// changes. The guest goes back and forth between them: each epoch has the
/// same amount of change.
class DirtyPages {
 public:
  explicit DirtyPages(const Load& load);

  uint64_t count() const { return indices_.size(); }
  uint8_t* page(int version, uint64_t i) { return arenas_[version].data() + i * kPageBytes; }
  /// All pages, in ascending order of their index.
  std::vector<memrep::PageRef> Refs(int version);
  /// 64-octet blocks that differ between the versions.
  uint64_t changed_blocks() const { return changed_blocks_; }

 private:
  std::vector<uint64_t> indices_;
  Arena arenas_[2];
  uint64_t changed_blocks_ = 0;
};

}  // namespace haven::bench

#endif
