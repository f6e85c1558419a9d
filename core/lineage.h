/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_LINEAGE_H
#define HAVEN_CORE_LINEAGE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/bytes.h"

namespace haven {

/// Why a generation of a guest's data began.
enum class Origin : uint8_t {
  kProtected = 1,  ///< the guest was protected for the first time
  kPromoted = 2,   ///< a backup ran the guest from a checkpoint
  kAlone = 3,      ///< a primary went on without its backup
  kAdopted = 4,    ///< a person said that this copy counts
  kCold = 5,       ///< a backup booted the guest from its replicas
};

/// A copy of a guest that may be ahead of all others has a generation of its own.
struct Generation {
  uint64_t id = 0;      ///< random, never 0
  uint64_t time_s = 0;  ///< when it began, seconds since 1970
  Origin origin = Origin::kProtected;
  bool operator==(const Generation&) const = default;
};

/// A generation and those that it came from, the newest first; empty: none.
/// Which copy of a guest is newer is read from two of them and from nothing else: no
/// numbers are compared, no clocks. Value type.
class Lineage {
 public:
  static constexpr size_t kMaxAncestors = 16;

  Lineage() = default;
  explicit Lineage(std::vector<Generation> generations) : generations_(std::move(generations)) {}

  bool empty() const { return generations_.empty(); }
  /// Not of an empty one.
  const Generation& current() const { return generations_.front(); }
  const std::vector<Generation>& generations() const { return generations_; }

  /// A new generation, random and of this moment; the oldest ancestor may be forgotten.
  void Begin(Origin origin);
  bool Contains(uint64_t id) const;
  bool operator==(const Lineage&) const = default;

 private:
  std::vector<Generation> generations_;
};

enum class Kin { kEqual, kAncestor, kDescendant, kDiverged };

/// What `a` is to `b`. Neither is empty. Ancestors that were forgotten make it kDiverged.
Kin Compare(const Lineage& a, const Lineage& b);

/// u8 count, 7 zero octets; then for each generation, the newest first: u64 id, u64 time_s, u8
/// origin, 7 zero octets.
void WriteLineage(ByteWriter& out, const Lineage& lineage);
/// Untrusted octets. @return why they are no lineage; empty: they are one. That octets were
/// missing, `in` says.
std::string ReadLineage(ByteReader& in, Lineage& lineage);

/// 16 hex digits.
std::string HexOf(uint64_t id);
/// For people: "1f3a...", and when and why it began.
std::string Describe(const Generation& generation);
/// "2026-11-27 23:01:12 UTC"; of 0: "an unknown time".
std::string DescribeTime(uint64_t seconds);

}  // namespace haven

#endif
