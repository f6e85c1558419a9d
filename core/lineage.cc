// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/lineage.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "core/assert.h"
#include "core/random_token.h"

namespace haven {
namespace {

/// Of the year 9999: what comes later is not a time.
constexpr uint64_t kMaxTime = 253402300799;

const char* OriginText(Origin origin) {
  switch (origin) {
    case Origin::kProtected: return "when it was first protected";
    case Origin::kPromoted: return "when a backup was promoted";
    case Origin::kAlone: return "when the primary went on without its backup";
    case Origin::kAdopted: return "when an administrator adopted it";
    case Origin::kCold: return "when a backup booted it from its replicas";
  }
  HAVEN_ASSERT(false);
}

}  // namespace

void Lineage::Begin(Origin origin) {
  Generation next;
  do {
    const wire::Token random = RandomToken();
    memcpy(&next.id, random.data(), sizeof(next.id));
  } while (next.id == 0 || Contains(next.id));
  next.time_s = static_cast<uint64_t>(std::max<time_t>(0, time(nullptr)));
  next.origin = origin;
  generations_.insert(generations_.begin(), next);
  if (generations_.size() > kMaxAncestors + 1) generations_.resize(kMaxAncestors + 1);
}

bool Lineage::Contains(uint64_t id) const {
  return std::any_of(generations_.begin(), generations_.end(), [id](const Generation& g) { return g.id == id; });
}

Kin Compare(const Lineage& a, const Lineage& b) {
  if (a.current().id == b.current().id) return Kin::kEqual;
  const bool a_knows_b = a.Contains(b.current().id), b_knows_a = b.Contains(a.current().id);
  // Both: no history leads there.
  if (a_knows_b == b_knows_a) return Kin::kDiverged;
  return b_knows_a ? Kin::kAncestor : Kin::kDescendant;
}

void WriteLineage(ByteWriter& out, const Lineage& lineage) {
  out.U64(lineage.generations().size());
  for (const Generation& generation : lineage.generations()) {
    out.U64(generation.id);
    out.U64(generation.time_s);
    out.U64(static_cast<uint64_t>(generation.origin));
  }
}

std::string ReadLineage(ByteReader& in, Lineage& lineage) {
  const uint64_t count = in.U64();
  if (count > Lineage::kMaxAncestors + 1) return "too many generations, or reserved bits are set";
  std::vector<Generation> generations;
  for (uint64_t i = 0; i < count && in.ok(); i++) {
    Generation next;
    next.id = in.U64();
    next.time_s = in.U64();
    const uint64_t origin = in.U64();
    if (!in.ok()) break;
    if (origin < 1 || origin > static_cast<uint64_t>(Origin::kCold)) return "a generation of unknown origin";
    if (next.time_s > kMaxTime) return "a generation of an impossible time";
    const auto same = [&](const Generation& other) { return other.id == next.id; };
    if (next.id == 0 || std::any_of(generations.begin(), generations.end(), same))
      return "a generation occurs twice, or is 0";
    next.origin = static_cast<Origin>(origin);
    generations.push_back(next);
  }
  lineage = Lineage(std::move(generations));
  return {};
}

std::string DescribeTime(uint64_t seconds) {
  const time_t when = static_cast<time_t>(seconds);
  struct tm utc;
  char text[64];
  if (seconds == 0 || gmtime_r(&when, &utc) == nullptr ||
      strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc) == 0) {
    return "an unknown time";
  }
  return text;
}

std::string HexOf(uint64_t id) {
  char text[24];
  snprintf(text, sizeof(text), "%016" PRIx64, id);
  return text;
}

std::string Describe(const Generation& generation) {
  return "generation " + HexOf(generation.id) + ", begun " + OriginText(generation.origin) + ", " +
         DescribeTime(generation.time_s);
}

}  // namespace haven
