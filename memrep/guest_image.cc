// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/guest_image.h"

#include <cerrno>
#include <sys/mman.h>
#include <unistd.h>

#include "core/assert.h"

namespace haven::memrep {

Result<std::unique_ptr<GuestImage>> GuestImage::Create(const wire::Layout& layout, const std::string& shared_region,
                                                       uint64_t limit_bytes) {
  uint64_t total = 0;
  for (const auto& region : layout.regions) {
    // Compared before adding: sizes come from the peer and may overflow.
    if (region.bytes > limit_bytes || total > limit_bytes - region.bytes) {
      return Status(StatusCode::kRefused,
                    "the guest's memory is over the backup's limit of " + std::to_string(limit_bytes >> 20) + " MiB");
    }
    total += region.bytes;
  }
  auto image = std::unique_ptr<GuestImage>(new GuestImage);
  for (const auto& wanted : layout.regions) {
    Region region{wanted.name, nullptr, wanted.bytes, -1};
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (wanted.name == shared_region) {
      region.fd = memfd_create("haven-ram", MFD_CLOEXEC);
      if (region.fd < 0) return Status::FromErrno(errno, "cannot create the guest's memory");
      flags = MAP_SHARED;
    }
    image->regions_.push_back(region);
    Region& placed = image->regions_.back();
    if (placed.fd >= 0 && ftruncate(placed.fd, static_cast<off_t>(placed.bytes)) != 0) {
      return Status::FromErrno(errno, "cannot size the guest's memory");
    }
    void* data = mmap(nullptr, placed.bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, placed.fd, 0);
    if (data == MAP_FAILED) return Status::FromErrno(errno, "cannot map memory region " + placed.name);
    placed.data = static_cast<uint8_t*>(data);
  }
  return image;
}

void GuestImage::TrackChanges() const {
  std::lock_guard lock(mutex_);
  changes_.clear();
  for (const Region& region : regions_) changes_.emplace_back((region.bytes / kPageBytes + 63) / 64);
}

void GuestImage::TakeChanges(size_t region, std::span<uint64_t> bitmap) const {
  std::vector<uint64_t>& changes = changes_[region];
  HAVEN_ASSERT(bitmap.size() == changes.size());
  for (size_t i = 0; i < changes.size(); i++) {
    bitmap[i] |= changes[i];
    changes[i] = 0;
  }
}

GuestImage::~GuestImage() {
  for (Region& region : regions_) {
    if (region.data != nullptr) munmap(region.data, region.bytes);
    if (region.fd >= 0) close(region.fd);
  }
}

}  // namespace haven::memrep
