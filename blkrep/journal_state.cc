// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal_state.h"

#include <algorithm>
#include <utility>

#include "core/assert.h"

namespace haven::blkrep::journal {

std::string State::WhyNot(Kind kind, Epoch epoch) const {
  const std::string name = "epoch " + std::to_string(epoch);
  if (epoch > kMaxEpoch) return name + " is out of range";
  switch (kind) {
    case Kind::kWrite:
    case Kind::kZero:
    case Kind::kDiscard:
      if (epoch < open_epoch_) return "a request of " + name + ", which is committed already";
      if (epoch < next_epoch_) return "a request of " + name + " after one of a later epoch";
      return {};
    case Kind::kCommit:
      if (open_epoch_ > 0 && epoch < open_epoch_ - 1) return "a commit of " + name + " after that of a later epoch";
      return {};
    case Kind::kApplied:
      if (epoch >= open_epoch_) return name + " is marked applied but not committed";
      return {};
    case Kind::kDrop:
    case Kind::kRelease: return {};
  }
  return "unknown kind";
}

void State::Take(const RecordHeader& record, uint64_t data_at, uint8_t file) {
  HAVEN_ASSERT(WhyNot(record.kind, record.epoch).empty());
  const auto first_after = [&](std::deque<Journal::Entry>& list) {
    return std::partition_point(list.begin(), list.end(),
                                [&](const Journal::Entry& entry) { return entry.epoch <= record.epoch; });
  };
  switch (record.kind) {
    case Kind::kWrite:
    case Kind::kZero:
    case Kind::kDiscard:
      staged_.push_back({record.epoch, record.ToRequest(), data_at, record.data_crc, file});
      next_epoch_ = record.epoch;
      break;
    case Kind::kCommit: {
      const auto end = first_after(staged_);
      committed_.insert(committed_.end(), staged_.begin(), end);
      staged_.erase(staged_.begin(), end);
      open_epoch_ = record.epoch + 1;
      next_epoch_ = std::max(next_epoch_, open_epoch_);
      break;
    }
    case Kind::kApplied:
      committed_.erase(committed_.begin(), first_after(committed_));
      unapplied_epoch_ = std::max(unapplied_epoch_, record.epoch + 1);
      break;
    case Kind::kDrop:
      staged_.clear();
      next_epoch_ = open_epoch_;
      break;
    case Kind::kRelease: break;
  }
}

std::deque<Journal::Entry> State::TakeCommitted() { return std::exchange(committed_, {}); }

}  // namespace haven::blkrep::journal
