// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/points.h"

#include <algorithm>
#include <vector>

#include "core/records.h"

namespace haven::sim {
namespace {

using File = Fault::File;
using Type = wire::Type;
using Moment = Network::Moment;

constexpr unsigned kLimits[] = {1, 2, 4};
constexpr uint32_t kModes = 3;

struct Place {
  bool at_primary;
  std::optional<Type> type;  ///< of a record; none: a file
  Moment moment = Moment::kBefore;
  File file = File::kAny;
  bool synced = false;

  bool operator==(const Place&) const = default;
};

const std::vector<Place>& Places() {
  static const std::vector<Place> places = [] {
    std::vector<Place> all;
    const auto records = [&](bool at_primary, std::initializer_list<Type> types) {
      for (Type type : types) {
        for (Moment moment : {Moment::kBefore, Moment::kMiddle, Moment::kAfter})
          all.push_back({at_primary, type, moment});
      }
    };
    records(true, {Type::kHello, Type::kIdentity, Type::kLayout, Type::kDiskWrite, Type::kDiskFlush, Type::kPages,
                   Type::kDeviceState, Type::kEpochEnd, Type::kHeartbeat});
    records(false, {Type::kHelloReply, Type::kIdentity, Type::kLayoutReply, Type::kDiskAck, Type::kCommitted,
                    Type::kHeartbeat});
    for (bool synced : {false, true}) {
      all.push_back({true, {}, Moment::kBefore, File::kRecord, synced});
      for (File file : {File::kJournal, File::kDisk, File::kRecord})
        all.push_back({false, {}, Moment::kBefore, file, synced});
    }
    return all;
  }();
  return places;
}

std::string PlaceName(const Place& place) {
  constexpr const char* kMoments[] = {"before ", "in ", "after "};
  constexpr const char* kFiles[] = {"a file", "the journal", "the disk", "a record"};
  const std::string side = place.at_primary ? "primary: " : "backup: ";
  if (place.type) return side + kMoments[static_cast<size_t>(place.moment)] + wire::TypeName(*place.type);
  return side + (place.synced ? "after a sync of " : "before a change of ") + kFiles[static_cast<size_t>(place.file)];
}

Place PlaceOf(const Fault& fault, bool at_primary) {
  if (fault.kind == Fault::Kind::kAtRecord) return {at_primary, fault.type, fault.moment};
  return {at_primary, {}, Moment::kBefore, fault.file, fault.synced};
}

/// Eight bits for the place, and eight for the rest.
uint32_t Cell(size_t place, uint32_t mode, size_t limit, bool full) {
  return static_cast<uint32_t>(place << 8 | (full ? 1u << 4 : 0) | limit << 2 | mode);
}

/// How many of it one may wait for: of some there are few in a session.
unsigned MostOf(const Place& place) {
  if (!place.type) return place.file == File::kRecord ? 3 : 25;
  switch (*place.type) {
    case Type::kHello:
    case Type::kHelloReply: return 3;
    case Type::kIdentity:
    case Type::kLayout:
    case Type::kLayoutReply: return 1;
    case Type::kHeartbeat: return 5;
    default: return 25;
  }
}

}  // namespace

void MoveToAnyPoint(Fault& fault, Random& random) {
  const Place& place = Places()[random.Below(Places().size())];
  fault.host = place.at_primary ? 0 : 1;
  fault.moment = place.moment;
  fault.file = place.file;
  fault.synced = place.synced;
  fault.kind = place.type ? Fault::Kind::kAtRecord : Fault::Kind::kAtFile;
  if (place.type) fault.type = *place.type;
  fault.count = random.Between(1, random.Percent(30) ? std::min(4u, MostOf(place)) : MostOf(place));
}

uint64_t PointFeature(const Fault& fault, const session::ModeSettings& mode) {
  const Place place = PlaceOf(fault, fault.host == 0);
  uint64_t feature = Mix(place.at_primary, place.type ? static_cast<uint64_t>(*place.type) : 0);
  feature =
      Mix(feature, static_cast<uint64_t>(place.moment) << 8 | static_cast<uint64_t>(place.file) << 1 | place.synced);
  return Mix(feature, static_cast<uint64_t>(mode.mode) << 8 | mode.in_flight << 1 | fault.SetsMode());
}

std::optional<uint32_t> MetPoint(const Fault& fault, bool at_primary, const session::ModeSettings& mode,
                                 unsigned in_flight) {
  const auto& places = Places();
  const auto place = std::find(places.begin(), places.end(), PlaceOf(fault, at_primary));
  const auto* limit = std::find(std::begin(kLimits), std::end(kLimits), mode.in_flight);
  if (place == places.end() || limit == std::end(kLimits)) return {};
  const uint32_t cell = Cell(static_cast<size_t>(place - places.begin()), static_cast<uint32_t>(mode.mode),
                             static_cast<size_t>(limit - kLimits), in_flight >= *limit);
  return MetAtPoint(cell, EventOf(fault));
}

PointTable::PointTable(const Coverage& coverage) {
  const auto came = [&](size_t place, uint32_t mode, size_t limit, bool full, bool switched) {
    Fault fault;
    fault.kind = Places()[place].type ? Fault::Kind::kAtRecord : Fault::Kind::kAtFile;
    for (size_t then = 0; then < Fault::kThens; then++) {
      fault.then = static_cast<Fault::Then>(then);
      if (fault.SetsMode() != switched) continue;
      if (coverage.Count(MetAtPoint(Cell(place, mode, limit, full), EventOf(fault))) > 0) return true;
    }
    return false;
  };
  for (size_t place = 0; place < Places().size(); place++) {
    std::string missing[2];
    for (uint32_t mode = 0; mode < kModes; mode++) {
      for (size_t limit = 0; limit < std::size(kLimits); limit++) {
        all++;
        for (bool switched : {false, true}) {
          const bool full = came(place, mode, limit, true, switched);
          const bool any = full || came(place, mode, limit, false, switched);
          (switched ? switches : losses) += any;
          (switched ? full_switches : full_losses) += full;
          if (!any) {
            missing[switched] += std::string(" ") + session::ModeName(static_cast<session::Mode>(mode)) + "/" +
                                 std::to_string(kLimits[limit]);
          }
        }
      }
    }
    if (missing[0].empty() && missing[1].empty()) continue;
    never += "  " + PlaceName(Places()[place]) + (missing[0].empty() ? "" : ", a loss:" + missing[0]) +
             (missing[1].empty() ? "" : ", a switch:" + missing[1]) + "\n";
  }
}

}  // namespace haven::sim
