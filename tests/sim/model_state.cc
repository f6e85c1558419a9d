// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/model_state.h"

#include <algorithm>
#include <cstring>

#include "tests/sim/random.h"

namespace haven::sim {
namespace {

constexpr uint64_t kLogMagic = 0x474F4C4E56414853, kBootMagic = 0x544F4F424E564148;
constexpr uint64_t kMostDataSectors = 6;
using Kind = blkrep::Request::Kind;

uint64_t ReadU64(ByteSpan from, uint64_t at) {
  uint64_t value;
  memcpy(&value, from.data() + at, sizeof(value));
  return value;
}

void WriteU64(Bytes& to, uint64_t at, uint64_t value) { memcpy(to.data() + at, &value, sizeof(value)); }

bool OfRightSize(const Disks& disks) {
  for (uint32_t i = 0; i < kDisks; i++) {
    if (disks[i].size() != kDiskBytes[i]) return false;
  }
  return true;
}

bool IsZero(ByteSpan octets) {
  return octets[0] == 0 && memcmp(octets.data(), octets.data() + 1, octets.size() - 1) == 0;
}

/// A sector of data says which operation wrote it.
void FillSector(uint8_t* sector, const Operation& operation, uint64_t index) {
  const uint64_t words[4] = {operation.number, operation.chain, index, Mix(operation.chain, index)};
  for (uint64_t at = 0; at < kSectorBytes; at += sizeof(words)) memcpy(sector + at, words, sizeof(words));
}

}  // namespace

ModelState::ModelState() : memory{Bytes(kRamPages * kPageBytes), Bytes(kVgaPages * kPageBytes)} {}

Operation ModelState::Next(uint64_t value) const {
  return {counter() + 1, value, Mix(Mix(chain(), counter() + 1), value)};
}

std::vector<uint64_t> ModelState::Do(const Operation& operation) {
  done_.push_back(operation);
  Bytes& ram = memory[0];
  WriteU64(ram, 0, operation.number);
  WriteU64(ram, 8, operation.chain);
  WriteU64(ram, kPageBytes + operation.number % 512 * 8, operation.chain);
  std::vector<uint64_t> written = {0, 1};
  for (uint64_t i = 0; i <= operation.chain % 3; i++) {
    const uint64_t random = Mix(operation.chain, i + 1);
    // Most of a page stays, so that what is sent refers to what the backup has.
    const uint64_t page = 2 + random % (kRamPages - 2), at = (random >> 8) % (kPageBytes - 256);
    for (uint64_t o = 0; o < 256; o += 16)
      memset(&ram[page * kPageBytes + at + o], static_cast<int>(Mix(random, o)), 16);
    WriteU64(ram, page * kPageBytes, operation.chain);
    written.push_back(page);
    if (random >> 60 == 0) {  // two equal pages
      const uint64_t other = 2 + (random >> 16) % (kRamPages - 2);
      std::copy_n(ram.begin() + static_cast<ptrdiff_t>(page * kPageBytes), kPageBytes,
                  ram.begin() + static_cast<ptrdiff_t>(other * kPageBytes));
      written.push_back(other);
    }
  }
  if (operation.number % 4 == 0) {
    WriteU64(memory[1], kPageBytes, operation.chain);
    written.push_back(uint64_t{1} << 32 | 1);
  }
  return written;
}

ModelState::Write ModelState::DataOf(const Operation& operation) {
  const uint64_t sectors = 1 + operation.chain % kMostDataSectors;
  // Half of them in one place, where most write over what the one before has written.
  const bool together = (operation.chain >> 48) % 2 == 0;
  const uint64_t first = (operation.chain >> 8) % (together ? kMostDataSectors : kDataSectors - kMostDataSectors);
  Write write{1, first * kSectorBytes, Bytes(sectors * kSectorBytes)};
  constexpr Kind kKinds[8] = {Kind::kZero,  Kind::kDiscard, Kind::kWrite, Kind::kWrite,
                              Kind::kWrite, Kind::kWrite,   Kind::kWrite, Kind::kWrite};
  write.kind = kKinds[(operation.chain >> 32) % 8];
  const bool coin = (operation.chain >> 40) % 2 == 0;
  write.may_unmap = write.kind == Kind::kZero && coin;
  write.leaves_data = write.kind == Kind::kDiscard && coin;
  if (write.kind != Kind::kWrite) return write;
  for (uint64_t i = 0; i < sectors; i++) FillSector(write.data.data() + i * kSectorBytes, operation, i);
  return write;
}

ModelState::Write ModelState::LogOf(const Operation& operation) {
  Write write{0, operation.number * kSectorBytes, Bytes(kSectorBytes)};
  const uint64_t words[] = {kLogMagic, operation.number, operation.value, operation.chain};
  for (size_t i = 0; i < std::size(words); i++) WriteU64(write.data, i * 8, words[i]);
  return write;
}

Bytes ModelState::SaveDevice(uint64_t padding) const {
  Bytes out;
  ByteWriter w(out);
  w.U64(counter());
  w.U64(chain());
  w.U8(static_cast<uint8_t>(step));
  w.U8(step_done);
  w.U64(pending.number);
  w.U64(pending.value);
  w.U64(pending.chain);
  for (uint64_t i = 0; i < padding; i++) w.U8(static_cast<uint8_t>(chain() >> i % 8));
  return out;
}

void ModelState::ReadLog(const Disks& disks, uint64_t most) {
  for (uint64_t n = 1; n <= most; n++) {
    if ((n + 1) * kSectorBytes > disks[0].size()) return;
    const ByteSpan sector = ByteSpan(disks[0]).subspan(n * kSectorBytes, kSectorBytes);
    const Operation operation = Next(ReadU64(sector, 16));
    if (ReadU64(sector, 0) != kLogMagic || ReadU64(sector, 8) != n || ReadU64(sector, 24) != operation.chain) return;
    Do(operation);
  }
}

void ModelState::Data::Apply(const Write& write) {
  const auto first = static_cast<ptrdiff_t>(write.offset / kSectorBytes);
  const auto sectors = static_cast<ptrdiff_t>(write.data.size() / kSectorBytes);
  const bool discards = write.kind == Kind::kDiscard;
  std::fill_n(discarded_.begin() + first, sectors, discards);
  if (!discards)
    std::copy(write.data.begin(), write.data.end(), octets_.begin() + static_cast<ptrdiff_t>(write.offset));
}

bool ModelState::Data::Allows(uint64_t index, ByteSpan sector) const {
  const ByteSpan due = Sector(index);
  return memcmp(due.data(), sector.data(), kSectorBytes) == 0 || (discarded_[index] && IsZero(sector));
}

ModelState::Data ModelState::ExpectedData() const {
  Data expected;
  for (const Operation& operation : done_) expected.Apply(DataOf(operation));
  return expected;
}

std::vector<ModelState::Write> ModelState::Undo(const Disks& disks) const {
  const Data expected = ExpectedData();
  std::vector<Write> writes;
  for (uint64_t i = 0; i < kDataSectors; i++) {
    const ByteSpan due = expected.Sector(i);
    if (expected.Allows(i, ByteSpan(disks[1]).subspan(i * kSectorBytes, kSectorBytes))) continue;
    writes.push_back({1, i * kSectorBytes, Bytes(due.begin(), due.end())});
  }
  return writes;
}

std::string ModelState::CheckData(const Disks& disks) const {
  const Data expected = ExpectedData();
  uint64_t zeroed = 0;
  for (uint64_t i = 0; i < kDataSectors; i++) {
    const ByteSpan sector = ByteSpan(disks[1]).subspan(i * kSectorBytes, kSectorBytes);
    if (expected.Allows(i, sector)) continue;
    const uint64_t writer = ReadU64(sector, 0);
    if (writer == counter() + 1) continue;
    if (IsZero(sector) && ++zeroed <= kMostDataSectors) continue;
    return "sector " + std::to_string(i) + " of the data is of operation " + std::to_string(writer) +
           ", where the last to write was " + std::to_string(ReadU64(expected.Sector(i), 0)) + ", and " +
           std::to_string(counter()) + " are done";
  }
  return "";
}

ModelState ModelState::Load(ByteSpan device, const std::vector<ByteSpan>& memory, const Disks& disks,
                            std::string& why) {
  ModelState state;
  ByteReader r(device);
  const uint64_t counter = r.U64(), chain = r.U64();
  const auto step = static_cast<Step>(r.U8());
  const bool step_done = r.U8() != 0;
  const uint64_t number = r.U64(), value = r.U64(), pending_chain = r.U64();
  if (!r.ok() || counter > kMostOperations || !OfRightSize(disks)) {
    why = "the device state is none";
    return state;
  }
  state.ReadLog(disks, counter);
  if (state.counter() != counter) {
    why = "memory knows " + std::to_string(counter) + " operations, the log on the disk " +
          std::to_string(state.counter());
    return state;
  }
  if (state.chain() != chain) why = "the log on the disk is of another history than the memory";
  if (why.empty()) why = state.CheckData(disks);
  for (size_t i = 0; i < memory.size() && why.empty(); i++) {
    for (uint64_t at = 0; at < state.memory[i].size(); at += kPageBytes) {
      if (memcmp(&state.memory[i][at], &memory[i][at], kPageBytes) == 0) continue;
      why = "page " + std::to_string(at / kPageBytes) + " of memory " + std::to_string(i) + " is not what " +
            std::to_string(counter) + " operations have written";
      break;
    }
  }
  state.step = step;
  state.step_done = step_done;
  state.pending = {number, value, pending_chain};
  return state;
}

void ModelState::MakeBootable(std::span<uint8_t> sector) { memcpy(sector.data(), &kBootMagic, sizeof(kBootMagic)); }

bool ModelState::Bootable(const Disks& disks) {
  return disks[0].size() >= kSectorBytes && ReadU64(disks[0], 0) == kBootMagic;
}

ModelState ModelState::Boot(const Disks& disks, std::string& why) {
  ModelState state;
  if (!OfRightSize(disks)) {
    why = "a disk has another size";
    return state;
  }
  state.ReadLog(disks, kMostOperations);
  why = state.CheckData(disks);
  return state;
}

}  // namespace haven::sim
