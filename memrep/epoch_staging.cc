// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/epoch_staging.h"

#include "core/assert.h"

namespace haven::memrep {
namespace {

Status Protocol(const std::string& why) { return {StatusCode::kProtocol, why}; }

}  // namespace

EpochStaging::EpochStaging(GuestImage& image) : image_(image) {
  for (const auto& region : image.regions()) {
    region_pages_.push_back(region.bytes / kPageBytes);
    guest_pages_ += region.bytes / kPageBytes;
  }
}

Status EpochStaging::Enter(Epoch epoch) {
  if (epoch == epoch_) return Status::Ok();
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
  StagedRecord record;
  record.body = std::move(body);
  auto region = DecodePages(record.body, region_pages_, record.pages);
  if (!region.ok()) return region.status();
  record.region = region.value();
  if (epoch == kSyncEpoch) {
    Write(record.region, record.pages);
    return Status::Ok();
  }
  pages_ += record.pages.size();
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
  for (const StagedRecord& record : staged_) {
    Write(record.region, record.pages);
    if (image_.changes_.empty()) continue;
    for (const DecodedPage& page : record.pages) {
      image_.changes_[record.region][page.index / 64] |= uint64_t{1} << page.index % 64;
    }
  }
  std::swap(image_.device_state_, device_state_);
  image_.guest_paused_ = (end.flags & wire::kGuestPaused) != 0;
  image_.epoch_ = epoch;
  Clear();
}

void EpochStaging::Write(uint32_t region, const std::vector<DecodedPage>& pages) {
  uint8_t* base = image_.regions_[region].data;
  for (const DecodedPage& page : pages) {
    uint8_t* to = base + page.index * kPageBytes;
    if (page.data != nullptr) {
      memcpy(to, page.data, kPageBytes);
    } else if (!IsZeroPage(to)) {
      memset(to, 0, kPageBytes);  // not written when zero: keeps the memory sparse
    }
  }
}

void EpochStaging::Clear() {
  staged_.clear();
  device_state_.clear();
  device_state_total_ = 0;
  pages_ = 0;
  records_ = 0;
}

}  // namespace haven::memrep
