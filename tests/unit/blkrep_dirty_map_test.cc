// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/dirty_map.h"

#include <map>
#include <random>
#include <set>

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;

namespace {

constexpr uint64_t kGrain = DirtyMap::kGrainBytes;

/// The same by the most obvious means, a set of pieces per state.
struct NaiveMap {
  explicit NaiveMap(uint64_t bytes) : disk_bytes(bytes) {}
  std::set<uint64_t> Grains(uint64_t offset, uint64_t bytes) const {
    std::set<uint64_t> out;
    for (uint64_t at = 0; at < disk_bytes; at += kGrain)
      if (bytes > 0 && offset < at + kGrain && offset < disk_bytes && at <= offset + (bytes - 1))
        out.insert(at / kGrain);
    return out;
  }
  uint64_t Bytes(const std::set<uint64_t>& grains) const {
    uint64_t sum = 0;
    for (uint64_t g : grains) sum += std::min(kGrain, disk_bytes - g * kGrain);
    return sum;
  }
  uint64_t disk_bytes;
  std::map<Epoch, std::set<uint64_t>> open;
  std::set<uint64_t> lost, copying;
};

}  // namespace

TEST_GROUP(DirtyMap){};

TEST(DirtyMap, HasNothingToCopyAtFirst) {
  DirtyMap map(10 * kGrain);
  map.BeginCopy();
  CHECK_FALSE(map.NextCopy(kGrain).has_value());
  CHECK_EQUAL(0, map.LostBytes());
}

TEST(DirtyMap, CopiesTheWholeDiskInOrderAndClipsTheLastPiece) {
  DirtyMap map(10 * kGrain + 512);
  map.MarkAll();
  CHECK_EQUAL(10 * kGrain + 512, map.LostBytes());
  map.BeginCopy();
  uint64_t at = 0;
  while (auto piece = map.NextCopy(4 * kGrain + 5)) {
    CHECK_EQUAL(at, piece->offset);
    CHECK(piece->bytes <= 4 * kGrain);
    at += piece->bytes;
    CHECK_EQUAL(10 * kGrain + 512 - at, map.CopyLeftBytes());
  }
  CHECK_EQUAL(10 * kGrain + 512, at);
}

TEST(DirtyMap, ForgetsWhatTheBackupHasCommitted) {
  DirtyMap map(10 * kGrain);
  map.MarkWritten(1, 0, 1);
  map.MarkWritten(2, kGrain, 1);
  map.MarkWritten(3, 2 * kGrain, 1);
  map.Committed(2);
  map.ConnectionLost();
  CHECK_EQUAL(kGrain, map.LostBytes());
  map.BeginCopy();
  CHECK_EQUAL(2 * kGrain, map.NextCopy(kGrain)->offset);
}

TEST(DirtyMap, CountsALateWriteToItsOwnEpoch) {
  DirtyMap map(10 * kGrain);
  map.MarkWritten(2, 0, 1);
  map.MarkWritten(1, kGrain, 1);
  map.Committed(1);
  map.ConnectionLost();
  map.BeginCopy();
  CHECK_EQUAL(0, map.NextCopy(10 * kGrain)->offset);
  CHECK_FALSE(map.NextCopy(kGrain).has_value());
}

TEST(DirtyMap, KeepsAWriteDuringTheCopyUntilItsEpochIsCommitted) {
  DirtyMap map(2 * kGrain);
  map.MarkLost(0, kGrain);
  map.BeginCopy();
  const auto piece = map.NextCopy(kGrain);
  map.MarkWritten(1, piece->offset, 100);
  CHECK_EQUAL(0, map.CopyLeftBytes());  // the write itself goes to the backup
  map.ConnectionLost();
  CHECK_EQUAL(kGrain, map.LostBytes());
}

TEST(DirtyMap, LosesWhatWasNotCopiedYetWithTheConnection) {
  DirtyMap map(4 * kGrain);
  map.MarkAll();
  map.BeginCopy();
  map.NextCopy(kGrain);
  const auto unsure = map.NextCopy(kGrain);
  map.ReturnCopy(*unsure);
  map.ConnectionLost();
  CHECK_EQUAL(3 * kGrain, map.LostBytes());
  CHECK_EQUAL(0, map.CopyLeftBytes());
  map.BeginCopy();
  CHECK_EQUAL(kGrain, map.NextCopy(kGrain)->offset);
}

TEST(DirtyMap, ClipsRangesThatLeaveTheDisk) {
  DirtyMap map(2 * kGrain);
  map.MarkLost(2 * kGrain, 100);
  map.MarkLost(UINT64_MAX, UINT64_MAX);
  map.MarkLost(5, 0);
  CHECK_EQUAL(0, map.LostBytes());
  map.MarkLost(kGrain, UINT64_MAX);
  CHECK_EQUAL(kGrain, map.LostBytes());
}

TEST(DirtyMap, AcceptsADiskOfNoOctets) {
  DirtyMap map(0);
  map.MarkAll();
  map.MarkWritten(1, 0, 100);
  map.ConnectionLost();
  map.BeginCopy();
  CHECK_FALSE(map.NextCopy(kGrain).has_value());
}

TEST(DirtyMap, KeepsAllOfAnEpochWithMoreScatteredWritesThanItStoresOneByOne) {
  constexpr uint64_t kGrains = 20000;
  DirtyMap map(kGrains * kGrain);
  std::mt19937 random(7);
  std::set<uint64_t> expected;
  for (int i = 0; i < 30000; i++) {
    const uint64_t grain = random() % kGrains;
    expected.insert(grain);
    map.MarkWritten(1, grain * kGrain + random() % kGrain, 1);
  }
  map.ConnectionLost();
  CHECK_EQUAL(expected.size() * kGrain, map.LostBytes());
}

TEST(DirtyMap, AgreesWithANaiveModelOnRandomHistories) {
  std::mt19937 random(42);
  for (int round = 0; round < 60; round++) {
    const uint64_t disk = 1 + random() % (200 * kGrain);
    DirtyMap map(disk);
    NaiveMap naive(disk);
    Epoch epoch = 0;
    std::vector<DirtyMap::Piece> handed_out;
    for (int step = 0; step < 200; step++) {
      const uint64_t offset = random() % (disk + kGrain);
      const uint64_t bytes = random() % (random() % 8 == 0 ? 40 * kGrain : 2 * kGrain);
      switch (random() % 9) {
        case 0:
        case 1:
        case 2: {
          const Epoch of = epoch - std::min<Epoch>(epoch, random() % 3);
          map.MarkWritten(of, offset, bytes);
          naive.open[of].merge(naive.Grains(offset, bytes));
          break;
        }
        case 3:
          map.MarkLost(offset, bytes);
          naive.lost.merge(naive.Grains(offset, bytes));
          break;
        case 4: epoch++; break;
        case 5: {
          const Epoch done = epoch - std::min<Epoch>(epoch, random() % 4);
          map.Committed(done);
          naive.open.erase(naive.open.begin(), naive.open.upper_bound(done));
          break;
        }
        case 6:
          if (random() % 4 != 0) break;
          map.ConnectionLost();
          for (auto& [unused, grains] : naive.open) naive.lost.merge(grains);
          naive.open.clear();
          naive.lost.merge(naive.copying);
          naive.copying.clear();
          break;
        case 7:
          map.BeginCopy();
          naive.copying.merge(naive.lost);
          naive.lost.clear();
          break;
        case 8: {
          if (!handed_out.empty() && random() % 3 == 0) {
            map.ReturnCopy(handed_out.back());
            naive.copying.merge(naive.Grains(handed_out.back().offset, handed_out.back().bytes));
            handed_out.pop_back();
            break;
          }
          const auto piece = map.NextCopy(kGrain * (1 + random() % 5));
          CHECK_EQUAL(!naive.copying.empty(), piece.has_value());
          if (!piece) break;
          CHECK_EQUAL(*naive.copying.begin() * kGrain, piece->offset);
          for (uint64_t g : naive.Grains(piece->offset, piece->bytes)) CHECK_EQUAL(1, naive.copying.erase(g));
          handed_out.push_back(*piece);
          break;
        }
      }
      CHECK_EQUAL(naive.Bytes(naive.lost), map.LostBytes());
      CHECK_EQUAL(naive.Bytes(naive.copying), map.CopyLeftBytes());
    }
  }
}
