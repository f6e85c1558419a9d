// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/epoch_staging.h"

#include "core/assert.h"

namespace haven::memrep {
namespace {

Status Protocol(const std::string& why) { return {StatusCode::kProtocol, why}; }

std::vector<uint64_t> PagesOf(const GuestImage& image) {
  std::vector<uint64_t> pages;
  for (const auto& region : image.regions()) pages.push_back(region.bytes / kPageBytes);
  return pages;
}

}  // namespace

EpochStaging::EpochStaging(GuestImage& image) : image_(image), decoder_(PagesOf(image)) {
  for (const auto& region : image.regions()) {
    region_data_.push_back(region.data);
    guest_pages_ += region.bytes / kPageBytes;
  }
}

Status EpochStaging::Enter(Epoch epoch) {
  // An epoch that is applied is closed; the first copy is open until epoch 1 begins.
  bool open = epoch == epoch_ && (epoch == kSyncEpoch || epoch > image_.epoch());
  if (open) return Status::Ok();
  if (epoch != image_.epoch() + 1) {
    return Protocol("memory of epoch " + std::to_string(epoch) + " came after epoch " +
                    std::to_string(image_.epoch()));
  }
  Clear();
  epoch_ = epoch;
  return Status::Ok();
}

Status EpochStaging::AddPages(Epoch epoch, Bytes body) {
  HAVEN_RETURN_IF_ERROR(Enter(epoch));
  if (epoch == kSyncEpoch) {
    HAVEN_RETURN_IF_ERROR(decoder_.Decode(body, sync_record_));
    Write(sync_record_);
    return Status::Ok();
  }
  StagedRecord record;
  record.body = std::move(body);
  HAVEN_RETURN_IF_ERROR(decoder_.Decode(record.body, record.decoded));
  pages_ += record.decoded.pages.size();
  records_++;
  if (pages_ > guest_pages_) return Protocol("an epoch has more pages than the guest");
  staged_.push_back(std::move(record));
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
  if (offset != device_state_.size() || (offset != 0 && total != device_state_total_) ||
      r.left() == 0 || r.left() > total - offset) {
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
  for (const StagedRecord& record : staged_) {
    Write(record.decoded);
    if (image_.changes_.empty()) continue;
    for (const DecodedPage& page : record.decoded.pages) {
      image_.changes_[record.decoded.region][page.index / 64] |= uint64_t{1} << page.index % 64;
    }
  }
  std::swap(image_.device_state_, device_state_);
  image_.guest_paused_ = (end.flags & wire::kGuestPaused) != 0;
  image_.epoch_ = epoch;
  Clear();
}

void EpochStaging::Write(const DecodedRecord& record) {
  uint8_t* base = region_data_[record.region];
  for (const DecodedPage& page : record.pages) ApplyPage(page, region_data_, base + page.index * kPageBytes);
}

void EpochStaging::Clear() {
  staged_.clear();
  device_state_.clear();
  device_state_total_ = 0;
  pages_ = 0;
  records_ = 0;
}

}  // namespace haven::memrep
