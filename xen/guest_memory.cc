// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/guest_memory.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <sys/mman.h>

#include "core/assert.h"
#include "core/epoch.h"

namespace haven::xen {
namespace {

constexpr uint64_t kMapBatch = 4096;
/// 16 TiB: what a bitmap of a bit for each frame is still reasonable for.
constexpr uint64_t kMaxFrames = uint64_t{1} << 32;

bool Test(std::span<const uint64_t> bitmap, uint64_t i) { return (bitmap[i / 64] >> i % 64 & 1) != 0; }
void Set(std::vector<uint64_t>& bitmap, uint64_t i) { bitmap[i / 64] |= uint64_t{1} << i % 64; }
void Clear(std::vector<uint64_t>& bitmap, uint64_t i) { bitmap[i / 64] &= ~(uint64_t{1} << i % 64); }

}  // namespace

Result<std::unique_ptr<GuestMemory>> GuestMemory::Map(Hypervisor& hypervisor, const std::vector<PageRun>& likely) {
  auto memory = std::unique_ptr<GuestMemory>(new GuestMemory(hypervisor));
  auto frames = hypervisor.GuestFrames();
  if (!frames.ok()) return frames.status();
  if (frames.value() == 0 || frames.value() > kMaxFrames) {
    return Status(StatusCode::kEnvironment, "the domain's memory ends at frame " + std::to_string(frames.value()) +
                                                ", which is not supported");
  }
  memory->frames_ = frames.value();
  HAVEN_RETURN_IF_ERROR(memory->Reserve());
  HAVEN_RETURN_IF_ERROR(memory->Search(likely));
  return memory;
}

Status GuestMemory::Reserve() {
  void* at = mmap(nullptr, frames_ * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return Status::FromErrno(errno, "cannot reserve addresses for the domain's memory");
  host_ = static_cast<uint8_t*>(at);
  const size_t words = (frames_ + 63) / 64;
  populated_.resize(words);
  pending_.resize(words);
  written_.resize(words);
  return Status::Ok();
}

GuestMemory::~GuestMemory() {
  (void)SetLog(false);
  if (host_ != nullptr) munmap(host_, frames_ * kPageBytes);
}

Status GuestMemory::Search(const std::vector<PageRun>& likely) {
  for (const PageRun& run : likely) {
    if (run.first >= frames_) continue;
    HAVEN_RETURN_IF_ERROR(MapHoles(run.first, std::min(run.count, frames_ - run.first)));
  }
  auto owned = hypervisor_.AllocatedPages();
  if (!owned.ok()) return owned.status();
  // From the top: the frames that Xen's tools reserve are there.
  uint64_t end = frames_;
  while (end > 0 && populated_frames_ < owned.value()) {
    uint64_t first = end > kMapBatch ? (end - 1) / kMapBatch * kMapBatch : 0;
    HAVEN_RETURN_IF_ERROR(MapHoles(first, end - first));
    end = first;
  }
  return Status::Ok();
}

Status GuestMemory::MapHoles(uint64_t first, uint64_t count) {
  const uint64_t end = first + count;
  while (first < end) {
    if (Test(populated_, first)) {
      first++;
      continue;
    }
    uint64_t run = 1;
    while (first + run < end && run < kMapBatch && !Test(populated_, first + run)) run++;
    HAVEN_RETURN_IF_ERROR(MapRun(first, run));
    first += run;
  }
  return Status::Ok();
}

Status GuestMemory::MapRun(uint64_t first, uint64_t count) {
  HAVEN_ASSERT(first + count <= frames_);
  bool failed[kMapBatch] = {};
  for (uint64_t at = first; at < first + count; at += kMapBatch) {
    const uint64_t batch = std::min(kMapBatch, first + count - at);
    std::span<bool> results(failed, batch);
    HAVEN_RETURN_IF_ERROR(hypervisor_.MapFrames(host_ + at * kPageBytes, at, results));
    for (uint64_t i = 0; i < batch; i++) {
      const uint64_t frame = at + i;
      if (Test(populated_, frame) == !failed[i]) continue;
      generation_++;
      if (failed[i]) {
        populated_frames_--;
        Clear(populated_, frame);
        Clear(pending_, frame);
      } else {
        populated_frames_++;
        Set(populated_, frame);
      }
    }
  }
  return Status::Ok();
}

Status GuestMemory::SetLog(bool on) {
  if (on == logging_) return Status::Ok();
  HAVEN_RETURN_IF_ERROR(hypervisor_.SetLogDirty(on));
  logging_ = on;
  pending_ = on ? populated_ : std::vector<uint64_t>(pending_.size());
  return Status::Ok();
}

Status GuestMemory::AddNewFrames(std::span<const uint64_t> written) {
  for (size_t word = 0; word < written.size(); word++) {
    uint64_t news = written[word] & ~populated_[word];
    while (news != 0) {
      uint64_t first = word * 64 + static_cast<uint64_t>(std::countr_zero(news));
      uint64_t count = static_cast<uint64_t>(std::countr_one(news >> first % 64));
      news &= first % 64 + count == 64 ? (uint64_t{1} << first % 64) - 1
                                       : ~(((uint64_t{1} << count) - 1) << first % 64);
      if (first >= frames_) break;
      HAVEN_RETURN_IF_ERROR(MapRun(first, std::min(count, frames_ - first)));
    }
  }
  return Status::Ok();
}

Status GuestMemory::Harvest(std::span<uint64_t> bitmap) {
  HAVEN_ASSERT(logging_ && bitmap.size() >= written_.size());
  std::fill(written_.begin(), written_.end(), 0);
  HAVEN_RETURN_IF_ERROR(hypervisor_.CleanLogDirty(written_, frames_));
  // The record is gone from the hypervisor: it must survive a failure below.
  for (size_t i = 0; i < written_.size(); i++) pending_[i] |= written_[i];
  HAVEN_RETURN_IF_ERROR(AddNewFrames(pending_));
  for (size_t i = 0; i < pending_.size(); i++) {
    bitmap[i] |= pending_[i] & populated_[i];
    pending_[i] = 0;
  }
  return Status::Ok();
}

Status GuestMemory::Remap(uint64_t first, uint64_t count) {
  if (first >= frames_) return Status::Ok();
  count = std::min(count, frames_ - first);
  HAVEN_RETURN_IF_ERROR(MapRun(first, count));
  if (!logging_) return Status::Ok();
  for (uint64_t frame = first; frame < first + count; frame++) {
    if (Test(populated_, frame)) Set(pending_, frame);
  }
  return Status::Ok();
}

}  // namespace haven::xen
