/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_SHARED_PAGES_H
#define HAVEN_MEMREP_SHARED_PAGES_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/records.h"
#include "core/status.h"

namespace haven::memrep {

/// The primary's part of a PageStore: a file in shared memory with copies of
/// the pages that the store has, for the device models of all guests of this
/// host that share it. Copies are written once, each by the process whose
/// session may fill the slot, and found by others only when the store has them
/// for certain. What is found was compared octet by octet.
///
/// Processes of the same user write here: nothing that is read is trusted as a
/// number. A copy that is not what the store has would still be taken for it.
///
/// Thread: one at a time, except Prefetch(); other processes at any time.
class SharedPages {
 public:
  /// Opens the file of `store`, or makes it, and removes those nobody uses.
  /// @param folder  of a file system in memory.
  /// @param store   what the backup has said.
  /// @return kEnvironment with errno; kInvalid when the file is not what it should be.
  static Result<std::unique_ptr<SharedPages>> Open(const std::string& folder, const wire::StoreReply& store);
  /// Removes the file if nobody else uses it.
  ~SharedPages();
  SharedPages(const SharedPages&) = delete;
  SharedPages& operator=(const SharedPages&) = delete;

  /// Asks the processor for what Find(hash) will read first.
  void Prefetch(uint64_t hash) const { __builtin_prefetch(&IndexAt(hash, 0)); }
  /// @return the slot of the store that holds a page equal to `page`.
  std::optional<uint32_t> Find(uint64_t hash, const uint8_t* page) const;
  /// Whether Publish() is worth its hash.
  bool HasRoom() const { return next_ < end_; }
  /// Puts a copy of a page aside, which nobody finds yet.
  /// @return the slot that the backup is to keep it in; nullopt: there is no room.
  std::optional<uint32_t> Publish(const uint8_t* page);
  /// From now on others find it: the backup's store has it.
  void MakeKnown(uint32_t slot, uint64_t hash);

  static std::string PathOf(const std::string& folder, const wire::Token& instance);

 private:
  struct Shape {
    uint64_t slots, index_entries, states_at, index_at, pages_at, bytes;
  };

  SharedPages(std::string path, int fd, const wire::StoreReply& store, const Shape& shape);
  static Shape ShapeOf(uint32_t slots);
  static Result<int> OpenLocked(const std::string& path, const Shape& shape, const wire::StoreReply& store);
  static Status Initialise(int fd, const Shape& shape, const wire::StoreReply& store);
  static void Sweep(const std::string& folder);
  Status Map(const wire::StoreReply& store);

  std::atomic<uint32_t>& StateAt(uint32_t slot) const {
    return reinterpret_cast<std::atomic<uint32_t>*>(data_ + shape_.states_at)[slot];
  }
  std::atomic<uint64_t>& IndexAt(uint64_t hash, uint64_t probe) const {
    uint64_t at = (hash * 0x9E3779B97F4A7C15ull >> 32) + probe;
    return reinterpret_cast<std::atomic<uint64_t>*>(data_ + shape_.index_at)[at & (shape_.index_entries - 1)];
  }

  const std::string path_;
  const int fd_;
  const Shape shape_;
  uint8_t* data_ = nullptr;  ///< header, states and index, to write; nullptr: not mapped
  const uint8_t* pages_ = nullptr;
  uint32_t next_, end_;  ///< slots that this session may fill
};

}  // namespace haven::memrep

#endif
