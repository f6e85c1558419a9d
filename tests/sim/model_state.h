/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_MODEL_STATE_H
#define HAVEN_TESTS_SIM_MODEL_STATE_H

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "blkrep/request.h"
#include "core/bytes.h"
#include "core/epoch.h"

namespace haven::sim {

constexpr uint64_t kRamPages = 64, kVgaPages = 2;
constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kLogSectors = 256, kDataSectors = 320;
/// What the guest can see of its machine, on any host.
constexpr char kModelMachine[] = "machine = model\n";
/// The log, and the data.
constexpr uint32_t kDisks = 2;
constexpr uint64_t kDiskBytes[kDisks] = {kLogSectors * kSectorBytes, kDataSectors* kSectorBytes};
using Disks = std::array<Bytes, kDisks>;
/// A guest does no more: its log is full then.
constexpr uint64_t kMostOperations = kLogSectors - 1;

/// The guest is a database: it does one numbered operation after the other, each on order of its client. What an
/// operation writes follows from its number, a value that this copy of the guest has chosen, and all operations
/// before it. So memory and disks follow from the list of values, and two copies that went on separately differ.
struct Operation {
  uint64_t number = 0;
  uint64_t value = 0;
  uint64_t chain = 0;  ///< of it and all before it
};

/// Where the writes of an operation to the disks are, in their order.
enum class Step : uint8_t { kIdle, kData, kDataFlush, kLog, kLogFlush };

/// What the guest is made of, besides its disks.
class ModelState {
 public:
  ModelState();

  uint64_t counter() const { return done_.size(); }
  uint64_t chain() const { return done_.empty() ? 0 : done_.back().chain; }
  /// @param number  1 to counter().
  const Operation& operation(uint64_t number) const { return done_[number - 1]; }
  Operation Next(uint64_t value) const;
  /// The effect on memory. @return the pages that it has written: region in the high half.
  std::vector<uint64_t> Do(const Operation& operation);

  /// What the operation does to the disks: it writes a few sectors, zeroes or discards them, then writes its record
  /// to the log.
  struct Write {
    uint32_t disk;
    uint64_t offset;
    Bytes data;  ///< zeros, unless it writes
    blkrep::Request::Kind kind = blkrep::Request::Kind::kWrite;
    bool may_unmap = false;
    /// What is discarded stays as it was on the guest's own disk; else it reads as zeros there.
    bool leaves_data = false;
  };
  static Write DataOf(const Operation& operation);
  static Write LogOf(const Operation& operation);

  Bytes memory[2];  ///< pc.ram, vga
  Step step = Step::kIdle;
  Operation pending;  ///< step not kIdle
  bool step_done = false;

  Bytes SaveDevice(uint64_t padding) const;

  /// From what a checkpoint has: the list of operations comes from the log.
  /// @param why  filled: what is wrong, empty if all fits together.
  static ModelState Load(ByteSpan device, const std::vector<ByteSpan>& memory, const Disks& disks, std::string& why);
  /// What makes a disk one that a machine starts from: in its first sector, which no operation writes.
  static void MakeBootable(std::span<uint8_t> sector);
  static bool Bootable(const Disks& disks);
  /// After a loss of power: from the disks alone.
  static ModelState Boot(const Disks& disks, std::string& why);
  /// What an operation that was not finished has left in the data, as it was before: after Boot(), before all else.
  std::vector<Write> Undo(const Disks& disks) const;

 private:
  void ReadLog(const Disks& disks, uint64_t most);
  /// What the operations have made of the data.
  class Data {
   public:
    Data() : octets_(kDataSectors * kSectorBytes), discarded_(kDataSectors) {}
    void Apply(const Write& write);
    ByteSpan Sector(uint64_t index) const { return ByteSpan(octets_).subspan(index * kSectorBytes, kSectorBytes); }
    /// What was discarded may have become zeros, or not.
    bool Allows(uint64_t index, ByteSpan sector) const;

   private:
    Bytes octets_;
    std::vector<bool> discarded_;
  };
  Data ExpectedData() const;
  /// Whether the data are what the operations have written; of the one that comes next a part may be there.
  std::string CheckData(const Disks& disks) const;

  std::vector<Operation> done_;
};

}  // namespace haven::sim

#endif
