// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal.h"

#include <deque>
#include <map>

#include "blkrep/journal_format.h"
#include "blkrep/journal_recovery.h"
#include "blkrep/journal_segment.h"
#include "blkrep/journal_state.h"
#include "core/assert.h"
#include "core/crc32c.h"

namespace haven::blkrep {
namespace {

using journal::FileHeader;
using journal::Kind;
using journal::RecordHeader;
using journal::Recovered;
using journal::Segment;
using journal::Segments;
using journal::State;

/// Two segments: the active one is written on; the other is free, or holds
/// requests that are not applied yet. Reclaiming space is nothing but making
/// the other one free and going on there.
class TwoFileJournal final : public Journal {
 public:
  TwoFileJournal(Segments segments, Recovered recovered, uint64_t segment_bytes);

  Status Append(Epoch epoch, const Request& request, ByteSpan data) override;
  Status Sync() override;
  Status Commit(Epoch epoch, bool durable) override;
  std::vector<Entry> TakeCommitted() override;
  Status ReadData(const Entry& entry, std::span<uint8_t> out) override;
  Status MarkApplied(Epoch epoch) override;
  Status DiscardUncommitted() override;
  Status StartOver() override;
  uint64_t CountOf(Epoch epoch) const override;
  Epoch LastCommitted() const override;
  uint64_t FileBytes() const override { return segments_[0]->end() + segments_[1]->end(); }
  const std::string& Damage() const override { return damage_; }

 private:
  struct HandedOut {
    Epoch epoch;
    uint8_t file;
  };

  Segment& active() { return *segments_[active_]; }
  Segment& other() { return *segments_[1 - active_]; }
  Status Write(const RecordHeader& record, ByteSpan data, bool durable = false);
  Status WriteMark(Kind kind, Epoch epoch = 0, bool durable = false);
  Status WriteNext(RecordHeader record, ByteSpan data, bool durable);
  Status SwitchIfFull();
  Status Switch(const State& begin);
  Status Reclaim();

  Segments segments_;
  uint8_t active_;
  State state_;
  uint64_t next_sequence_;
  uint64_t mark_end_;
  uint64_t mark_sequence_;
  std::string damage_;
  uint64_t segment_bytes_;

  std::deque<HandedOut> handed_out_;
  std::map<Epoch, uint64_t> counts_;
  uint64_t live_[2] = {0, 0};  ///< requests of each segment still needed
  bool drop_due_ = false;      ///< dropped requests are still in the files
  bool synced_ = true;         ///< the segments may hold what somebody knows to be durable
  Status sync_failure_;
};

Status Misuse(StatusCode code, const std::string& why) { return Status(code, "the journal was given " + why); }

TwoFileJournal::TwoFileJournal(Segments segments, Recovered recovered, uint64_t segment_bytes)
    : segments_(std::move(segments)),
      active_(recovered.active),
      state_(std::move(recovered.state)),
      next_sequence_(recovered.next_sequence),
      mark_end_(recovered.mark_end),
      mark_sequence_(recovered.mark_sequence),
      damage_(std::move(recovered.damage)),
      segment_bytes_(segment_bytes) {
  for (const Entry& entry : state_.staged()) live_[entry.file]++;
  for (const Entry& entry : state_.committed()) live_[entry.file]++;
}

Status TwoFileJournal::Append(Epoch epoch, const Request& request, ByteSpan data) {
  RecordHeader record = RecordHeader::Of(epoch, request);
  const std::string why_not = state_.WhyNot(record.kind, epoch);
  if (!why_not.empty()) return Misuse(StatusCode::kProtocol, why_not);
  if (request.bytes > INT64_MAX || request.offset > INT64_MAX - request.bytes)
    return Misuse(StatusCode::kProtocol, "a request that ends beyond any disk");
  if (data.size() != record.DataBytes()) {
    return Misuse(StatusCode::kProtocol,
                  std::to_string(data.size()) + " octets for a request of " + std::to_string(record.DataBytes()));
  }
  HAVEN_RETURN_IF_ERROR(SwitchIfFull());
  record.data_crc = Crc32c(data);
  HAVEN_RETURN_IF_ERROR(Write(record, data));
  live_[active_]++;
  counts_[epoch]++;
  return Status::Ok();
}

/// Requests that were dropped must be disowned before anything can follow
/// them: a later commit of the same epoch number would include them.
Status TwoFileJournal::Write(const RecordHeader& record, ByteSpan data, bool durable) {
  if (drop_due_) {
    RecordHeader drop;
    drop.kind = Kind::kDrop;
    HAVEN_RETURN_IF_ERROR(WriteNext(drop, {}, false));
    drop_due_ = false;
  }
  return WriteNext(record, data, durable);
}

Status TwoFileJournal::WriteMark(Kind kind, Epoch epoch, bool durable) {
  RecordHeader mark;
  mark.kind = kind;
  mark.epoch = epoch;
  return Write(mark, {}, durable);
}

Status TwoFileJournal::WriteNext(RecordHeader record, ByteSpan data, bool durable) {
  const uint64_t begin = active().end();
  record.sequence = next_sequence_;
  HAVEN_RETURN_IF_ERROR(active().Append(record, data));
  if (durable) {
    const Status synced = Sync();
    if (!synced.ok()) {
      // A commit that is reported as failed must not come true at a failover.
      return active().Cut(begin).ok() ? synced : synced.With("the journal may be ahead");
    }
  }
  next_sequence_++;
  state_.Take(record, active().end() - data.size(), active_);
  if (!record.IsRequest()) {
    mark_end_ = active().end();
    mark_sequence_ = next_sequence_;
  }
  return Status::Ok();
}

Status TwoFileJournal::Sync() {
  if (!sync_failure_.ok()) return sync_failure_;
  synced_ = true;
  // In the order of writing: the active segment may need the other.
  sync_failure_ = other().Sync();
  if (sync_failure_.ok()) sync_failure_ = active().Sync();
  return sync_failure_;
}

Status TwoFileJournal::Commit(Epoch epoch, bool durable) {
  const std::string why_not = state_.WhyNot(Kind::kCommit, epoch);
  if (!why_not.empty()) return Misuse(StatusCode::kProtocol, why_not);
  if (durable && !sync_failure_.ok()) return sync_failure_;
  HAVEN_RETURN_IF_ERROR(WriteMark(Kind::kCommit, epoch, durable));
  counts_.erase(counts_.begin(), counts_.lower_bound(epoch));
  return Status::Ok();
}

std::vector<Journal::Entry> TwoFileJournal::TakeCommitted() {
  const std::deque<Entry> taken = state_.TakeCommitted();
  for (const Entry& entry : taken) handed_out_.push_back({entry.epoch, entry.file});
  return {taken.begin(), taken.end()};
}

Status TwoFileJournal::ReadData(const Entry& entry, std::span<uint8_t> out) {
  HAVEN_ASSERT(entry.request.kind == Request::Kind::kWrite && entry.file < 2 && out.size() == entry.request.bytes);
  HAVEN_RETURN_IF_ERROR(segments_[entry.file]->Read(entry.data_at, out));
  if (Crc32c(out) == entry.data_crc) return Status::Ok();
  return Status(StatusCode::kEnvironment, "the journal " + segments_[entry.file]->path() + ", data at octet " +
                                              std::to_string(entry.data_at) +
                                              ": it does not match its checksum any more; check the storage under it");
}

Status TwoFileJournal::MarkApplied(Epoch epoch) {
  const std::string why_not = state_.WhyNot(Kind::kApplied, epoch);
  if (!why_not.empty()) return Misuse(StatusCode::kInvalid, why_not);
  if (!state_.committed().empty() && state_.committed().front().epoch <= epoch) {
    return Misuse(StatusCode::kInvalid,
                  "an applied mark for epoch " + std::to_string(epoch) + ", whose requests were not all taken");
  }
  if (epoch >= state_.unapplied_epoch()) HAVEN_RETURN_IF_ERROR(WriteMark(Kind::kApplied, epoch));
  while (!handed_out_.empty() && handed_out_.front().epoch <= epoch) {
    live_[handed_out_.front().file]--;
    handed_out_.pop_front();
  }
  return Reclaim();
}

/// What follows the active segment's last mark is cut off. What lies before
/// it, or in the other segment, is disowned by the next record: here nothing
/// has to be written, so a full disk does not stand in the way of a failover.
Status TwoFileJournal::DiscardUncommitted() {
  for (const Entry& entry : state_.staged()) live_[entry.file]--;
  uint64_t left = 0;
  for (const Entry& entry : state_.staged()) left += entry.file != active_ || entry.data_at < mark_end_;
  const bool any = !state_.staged().empty();
  RecordHeader drop;
  drop.kind = Kind::kDrop;
  state_.Take(drop, 0, active_);
  counts_.erase(counts_.lower_bound(state_.open_epoch()), counts_.end());
  if (any && active().Cut(mark_end_).ok()) {
    next_sequence_ = mark_sequence_;
  } else {
    left += any;
  }
  drop_due_ = drop_due_ || left > 0;
  // Space that cannot be reclaimed now is reclaimed by the next MarkApplied().
  [[maybe_unused]] const Status reclaimed = Reclaim();
  return Status::Ok();
}

Status TwoFileJournal::StartOver() {
  if (!state_.committed().empty() || !handed_out_.empty()) {
    return Misuse(StatusCode::kInvalid, "the order to start over while committed requests are not applied");
  }
  HAVEN_RETURN_IF_ERROR(DiscardUncommitted());
  HAVEN_RETURN_IF_ERROR(Reclaim());
  counts_.clear();
  return Switch(State());
}

/// Goes on in the other segment, with `begin` in front of its first record.
Status TwoFileJournal::Switch(const State& begin) {
  HAVEN_ASSERT(other().free());
  FileHeader header;
  header.needs_previous = live_[active_] > 0;
  header.generation = active().header().generation + 1;
  header.first_sequence = next_sequence_;
  header.open_epoch = begin.open_epoch();
  header.unapplied_epoch = begin.unapplied_epoch();
  // The new header is on stable storage at once. If what lies before it were
  // not, a crash of the host would look like damage.
  if (synced_) HAVEN_RETURN_IF_ERROR(Sync());
  HAVEN_RETURN_IF_ERROR(other().Begin(header));
  active_ = 1 - active_;
  // One that stands alone begins with all that was durable in its header.
  synced_ = synced_ && header.needs_previous;
  mark_end_ = active().end();
  mark_sequence_ = next_sequence_;
  if (header.needs_previous) return Status::Ok();
  // The new one stands alone, and all before it is gone with the old one.
  state_ = begin;
  drop_due_ = false;
  return other().Clear();
}

Status TwoFileJournal::SwitchIfFull() {
  if (active().end() < segment_bytes_ || !other().free()) return Status::Ok();
  return Switch(state_);
}

Status TwoFileJournal::Reclaim() {
  if (!other().free() && live_[1 - active_] == 0) {
    HAVEN_RETURN_IF_ERROR(WriteMark(Kind::kRelease));
    // Durable commits in the active segment would be lost with the other one
    // if the mark that makes them independent of it were lost.
    if (synced_) HAVEN_RETURN_IF_ERROR(Sync());
    HAVEN_RETURN_IF_ERROR(other().Clear());
  }
  return live_[active_] == 0 ? SwitchIfFull() : Status::Ok();
}

uint64_t TwoFileJournal::CountOf(Epoch epoch) const {
  const auto found = counts_.find(epoch);
  return found == counts_.end() ? 0 : found->second;
}

Epoch TwoFileJournal::LastCommitted() const { return state_.open_epoch() == 0 ? 0 : state_.open_epoch() - 1; }

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path, uint64_t segment_bytes) {
  Segments segments;
  for (int i = 0; i < 2; i++) {
    Result<std::unique_ptr<Segment>> opened = Segment::Open(i == 0 ? path : path + ".2");
    if (!opened.ok()) return opened.status();
    segments[i] = std::move(opened.value());
  }
  Result<Recovered> recovered = journal::Recover(segments);
  if (!recovered.ok()) return recovered.status();
  auto journal = std::make_unique<TwoFileJournal>(std::move(segments), std::move(recovered.value()), segment_bytes);
  HAVEN_RETURN_IF_ERROR(journal->DiscardUncommitted());
  return Result<std::unique_ptr<Journal>>(std::unique_ptr<Journal>(std::move(journal)));
}

}  // namespace haven::blkrep
