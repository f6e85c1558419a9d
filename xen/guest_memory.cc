// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/guest_memory.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <sys/mman.h>

#include "core/assert.h"
#include "core/epoch.h"

namespace haven::xen {
namespace {

/// Memory is mapped in whole chunks of so many frames, also when only one frame
/// has changed: the kernel does not let go a part of a mapping of this kind.
constexpr uint64_t kChunkFrames = 4096;
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
    return Status(StatusCode::kEnvironment,
                  "the domain's memory ends at frame " + std::to_string(frames.value()) + ", which is not supported");
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
  const uint64_t chunks = (frames_ + kChunkFrames - 1) / kChunkFrames;
  std::vector<bool> searched(chunks);
  for (const PageRun& run : likely) {
    if (run.count == 0 || run.first >= frames_) continue;
    const uint64_t last = run.first + std::min(run.count, frames_ - run.first) - 1;
    for (uint64_t chunk = run.first / kChunkFrames; chunk <= last / kChunkFrames; chunk++) {
      if (searched[chunk]) continue;
      searched[chunk] = true;
      HAVEN_RETURN_IF_ERROR(MapChunk(chunk));
    }
  }
  auto owned = hypervisor_.AllocatedPages();
  if (!owned.ok()) return owned.status();
  // From the top: the frames that Xen's tools reserve are there.
  for (uint64_t chunk = chunks; chunk-- > 0 && populated_frames_ < owned.value();) {
    if (!searched[chunk]) HAVEN_RETURN_IF_ERROR(MapChunk(chunk));
  }
  return Status::Ok();
}

Status GuestMemory::MapChunk(uint64_t chunk) {
  bool failed[kChunkFrames] = {};
  const uint64_t first = chunk * kChunkFrames;
  HAVEN_ASSERT(first < frames_);
  const uint64_t count = std::min(kChunkFrames, frames_ - first);
  HAVEN_RETURN_IF_ERROR(hypervisor_.MapFrames(host_ + first * kPageBytes, first, {failed, count}));
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t frame = first + i;
    if (Test(populated_, frame) == !failed[i]) continue;
    generation_++;
    if (failed[i]) {
      populated_frames_--;
      Clear(populated_, frame);
    } else {
      populated_frames_++;
      Set(populated_, frame);
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

Status GuestMemory::FollowChanges() {
  std::set<uint64_t> chunks;
  for (const PageRun& run : moved_) {
    for (uint64_t frame = run.first; frame < run.first + run.count; frame++) {
      chunks.insert(frame / kChunkFrames);
      Set(pending_, frame);
    }
  }
  for (size_t word = 0; word < pending_.size(); word++) {
    if ((pending_[word] & ~populated_[word]) != 0) chunks.insert(word * 64 / kChunkFrames);
  }
  for (uint64_t chunk : chunks) HAVEN_RETURN_IF_ERROR(MapChunk(chunk));
  moved_.clear();
  return Status::Ok();
}

Status GuestMemory::Harvest(std::span<uint64_t> bitmap, bool keep) {
  HAVEN_ASSERT(logging_ && bitmap.size() >= written_.size());
  std::fill(written_.begin(), written_.end(), 0);
  HAVEN_RETURN_IF_ERROR(hypervisor_.ReadLogDirty(written_, frames_, keep && !hole_in_record_));
  // The record may be gone from the hypervisor: it must survive a failure below.
  for (size_t i = 0; i < written_.size(); i++) pending_[i] |= written_[i];
  HAVEN_RETURN_IF_ERROR(FollowChanges());
  hole_in_record_ = false;
  for (size_t i = 0; i < pending_.size(); i++) {
    hole_in_record_ |= (pending_[i] & ~populated_[i]) != 0;
    bitmap[i] |= pending_[i] & populated_[i];
    pending_[i] = 0;
  }
  return Status::Ok();
}

void GuestMemory::Moved(uint64_t first, uint64_t count) {
  if (first < frames_ && count > 0) moved_.push_back({first, std::min(count, frames_ - first)});
}

}  // namespace haven::xen
