/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_ROOM_H
#define HAVEN_CORE_ROOM_H

#include <cstddef>
#include <cstdint>
#include <memory>

namespace haven {

/// Memory to write to first, and to read then. The system gives a page of it when it is touched.
class Room {
 public:
  Room() = default;
  explicit Room(size_t bytes) { Reserve(bytes); }

  /// At least so many octets. When it grows, what was in it is gone.
  void Reserve(size_t bytes) {
    if (bytes <= bytes_) return;
    octets_ = std::make_unique_for_overwrite<uint8_t[]>(bytes);
    bytes_ = bytes;
  }
  uint8_t* data() const { return octets_.get(); }

 private:
  std::unique_ptr<uint8_t[]> octets_;
  size_t bytes_ = 0;
};

}  // namespace haven

#endif
