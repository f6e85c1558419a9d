// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/epoch_staging.h"

#include "core/assert.h"
#include "memrep/compression.h"

namespace haven::memrep {
namespace {

Status Protocol(const std::string& why) { return {StatusCode::kProtocol, why}; }

/// So many pages are written by all workers: below it waking them costs more
/// than they save.
constexpr uint64_t kManyPages = 1024;
/// Pages of a neighbourhood are written by the same worker.
constexpr uint64_t kNeighbours = 64;
/// Whose memory is kept for the next epochs: at most some 64 MiB.
constexpr size_t kKeptRecords = 16;

std::vector<uint64_t> PagesOf(const GuestImage& image) {
  std::vector<uint64_t> pages;
  for (const auto& region : image.regions()) pages.push_back(region.bytes / kPageBytes);
  return pages;
}

}  // namespace

EpochStaging::EpochStaging(GuestImage& image, WorkerPool* workers)
    : image_(image), workers_(workers), decoder_(PagesOf(image), workers) {
  for (const auto& region : image.regions()) {
    region_data_.push_back(region.data);
    guest_pages_ += region.bytes / kPageBytes;
  }
}

void EpochStaging::Share(StoreLease* lease) {
  lease_ = lease;
  decoder_.Share(lease);
}

Status EpochStaging::Enter(Epoch epoch) {
  // An epoch that is applied is closed; the first copy is open until epoch 1 begins.
  bool open = epoch == epoch_ && (epoch == kSyncEpoch || epoch > image_.epoch());
  if (open) return Status::Ok();
  if (epoch != image_.epoch() + 1) {
    return Protocol("memory of epoch " + std::to_string(epoch) + " came after epoch " + std::to_string(image_.epoch()));
  }
  Clear();
  epoch_ = epoch;
  decode_ns_ = 0;
  return Status::Ok();
}

Status EpochStaging::AddPages(Epoch epoch, Bytes& body) {
  HAVEN_RETURN_IF_ERROR(Enter(epoch));
  if (epoch == kSyncEpoch) {
    HAVEN_RETURN_IF_ERROR(decoder_.Decode(body, sync_record_));
    Write({&sync_record_, 0, sync_record_.pages.size()});
    return Status::Ok();
  }
  if (staged_count_ == staged_.size()) staged_.emplace_back();
  StagedRecord& record = staged_[staged_count_];
  std::swap(record.body, body);
  uint64_t start = SteadyNanoseconds();
  HAVEN_RETURN_IF_ERROR(decoder_.Decode(record.body, record.decoded));
  decode_ns_ += SteadyNanoseconds() - start;
  pages_ += record.decoded.pages.size();
  records_++;
  // Each may come early, and once more.
  if (pages_ > 2 * guest_pages_) return Protocol("an epoch has more than twice the pages of the guest");
  staged_count_++;
  return Status::Ok();
}

Status EpochStaging::AddDeviceState(Epoch epoch, ByteSpan body) {
  if (epoch == kSyncEpoch) return Protocol("device state outside of an epoch");
  HAVEN_RETURN_IF_ERROR(Enter(epoch));
  ByteReader r(body);
  uint64_t total = r.U64();
  uint64_t offset = r.U64();
  if (!r.ok()) return Protocol("DEVICE_STATE record: too short");
  if (total > wire::kMaxDeviceStateBytes) return Protocol("DEVICE_STATE record: over the limit");
  if (offset != device_state_.size() || (offset != 0 && total != device_state_total_) || r.left() == 0 ||
      r.left() > total - offset) {
    return Protocol("DEVICE_STATE record: pieces do not fit together");
  }
  device_state_total_ = total;
  ByteSpan data = r.Raw(r.left());
  device_state_.insert(device_state_.end(), data.begin(), data.end());
  records_++;
  return Status::Ok();
}

Status EpochStaging::Check(Epoch epoch, const wire::EpochEnd& end) const {
  if (epoch == kSyncEpoch || epoch != epoch_ || epoch != image_.epoch() + 1) {
    return Protocol("EPOCH_END of epoch " + std::to_string(epoch) + " is out of order");
  }
  if (end.pages != pages_) {
    return Protocol("EPOCH_END counts " + std::to_string(end.pages) + " pages, " + std::to_string(pages_) + " came");
  }
  if (end.memory_records != records_) {
    return Protocol("EPOCH_END counts " + std::to_string(end.memory_records) + " memory records, " +
                    std::to_string(records_) + " came");
  }
  if (device_state_.empty() || end.device_state_bytes != device_state_.size() ||
      device_state_total_ != device_state_.size()) {
    return Protocol("the device state is not complete");
  }
  return Status::Ok();
}

void EpochStaging::Apply(Epoch epoch, const wire::EpochEnd& end) {
  HAVEN_ASSERT(Check(epoch, end).ok());
  std::lock_guard lock(image_.mutex_);
  WriteStaged();
  for (size_t i = 0; i < staged_count_ && !image_.changes_.empty(); i++) {
    const DecodedRecord& record = staged_[i].decoded;
    for (const DecodedPage& page : record.pages) {
      image_.changes_[record.region][page.index / 64] |= uint64_t{1} << page.index % 64;
    }
  }
  std::swap(image_.device_state_, device_state_);
  image_.guest_paused_ = (end.flags & wire::kGuestPaused) != 0;
  image_.guest_run_ = end.run;
  image_.epoch_ = epoch;
  Clear();
}

void EpochStaging::WriteStaged() {
  std::vector<Stretch> alone;
  uint64_t alone_pages = 0;
  for (size_t i = 0; i < staged_count_; i++) {
    const DecodedRecord& record = staged_[i].decoded;
    size_t begin = 0;
    for (size_t at = 0; at < record.pages.size(); at++) {
      wire::PageCode code = record.pages[at].code;
      if (code != wire::PageCode::kSame && code != wire::PageCode::kAssembled) continue;
      // What it refers to is what the entries before make of it.
      alone.push_back({&record, begin, at});
      WriteAlone(alone, alone_pages + at - begin);
      alone.clear();
      alone_pages = 0;
      Write({&record, at, at + 1});
      begin = at + 1;
    }
    alone.push_back({&record, begin, record.pages.size()});
    alone_pages += record.pages.size() - begin;
  }
  WriteAlone(alone, alone_pages);
}

void EpochStaging::WriteAlone(std::span<const Stretch> stretches, uint64_t pages) {
  if (workers_ == nullptr || workers_->threads() == 1 || pages < kManyPages) {
    for (const Stretch& stretch : stretches) Write(stretch);
    return;
  }
  // Each worker has its own pages, so that those that come twice keep their order.
  const size_t parts = workers_->threads();
  workers_->Run(parts, [&](unsigned, size_t part) {
    for (const Stretch& stretch : stretches) {
      uint8_t* base = region_data_[stretch.record->region];
      for (size_t i = stretch.begin; i < stretch.end; i++) {
        const DecodedPage& page = stretch.record->pages[i];
        if (page.index / kNeighbours % parts == part) Make(page, base);
      }
    }
  });
}

void EpochStaging::Write(const Stretch& stretch) {
  uint8_t* base = region_data_[stretch.record->region];
  for (size_t i = stretch.begin; i < stretch.end; i++) {
    Make(stretch.record->pages[i], base);
  }
}

void EpochStaging::Make(const DecodedPage& page, uint8_t* region) {
  uint8_t* to = region + page.index * kPageBytes;
  ApplyPage(page, region_data_, to);
  if (page.keep != kNoStoreSlot) lease_->Keep(page.keep, to);
}

void EpochStaging::Clear() {
  if (staged_.size() > kKeptRecords) staged_.resize(kKeptRecords);
  staged_count_ = 0;
  device_state_.clear();
  device_state_total_ = 0;
  pages_ = 0;
  records_ = 0;
}

}  // namespace haven::memrep
