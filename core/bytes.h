/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_BYTES_H
#define HAVEN_CORE_BYTES_H

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace haven {

using Bytes = std::vector<uint8_t>;
using ByteSpan = std::span<const uint8_t>;

/// Appends little-endian integers to a buffer, byte by byte. One thread.
class ByteWriter {
 public:
  explicit ByteWriter(Bytes& out) : out_(out) {}

  void U8(uint8_t v) { out_.push_back(v); }
  void U16(uint16_t v) { Little(v, 2); }
  void U32(uint32_t v) { Little(v, 4); }
  void U64(uint64_t v) { Little(v, 8); }
  void Raw(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  /// u16 length, then the octets. The caller keeps it below 65536.
  void String(std::string_view s);

 private:
  void Little(uint64_t v, int bytes) {
    for (int i = 0; i < bytes; i++) out_.push_back(static_cast<uint8_t>(v >> (8 * i)));
  }
  Bytes& out_;
};

/// Reads little-endian integers from untrusted octets. Reading past the end
/// yields zeros and makes ok() false for good; nothing is read out of bounds.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan in) : in_(in) {}

  uint8_t U8() { return static_cast<uint8_t>(Little(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Little(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Little(4)); }
  uint64_t U64() { return Little(8); }
  ByteSpan Raw(size_t bytes);
  std::string String();

  bool ok() const { return ok_; }
  size_t left() const { return in_.size() - at_; }
  /// All was read, and no more than all.
  bool AtEnd() const { return ok_ && left() == 0; }

 private:
  uint64_t Little(size_t bytes);

  ByteSpan in_;
  size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace haven

#endif
