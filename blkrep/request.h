/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_REQUEST_H
#define HAVEN_BLKREP_REQUEST_H

#include <cstdint>

namespace haven::blkrep {

/// A change of a disk. Value type.
struct Request {
  enum class Kind : uint8_t { kWrite = 1, kZero = 2, kDiscard = 3 };
  Kind kind = Kind::kWrite;
  bool may_unmap = false;  ///< kZero may deallocate
  uint32_t disk = 0;       ///< index in the session's layout
  uint64_t offset = 0;     ///< octets
  uint64_t bytes = 0;
  bool operator==(const Request&) const = default;
};

}  // namespace haven::blkrep

#endif
