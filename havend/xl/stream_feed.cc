// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/stream_feed.h"

#include <algorithm>
#include <bit>

#include "havend/xl/libxl_stream.h"

namespace haven::havend {
namespace {

/// The pages that are copied while the image is locked, when there are no more.
constexpr uint64_t kFewPages = 4096;
/// Rounds after which they are copied however many there are.
constexpr int kMaxRounds = 4;

const memrep::GuestImage::Region& Physmap(const memrep::GuestImage& image) { return image.regions().front(); }

void SetRun(std::vector<uint64_t>& bitmap, const xen::PageRun& run) {
  for (uint64_t frame = run.first; frame < run.first + run.count;) {
    if (frame % 64 == 0 && run.first + run.count - frame >= 64) {
      bitmap[frame / 64] = ~uint64_t{0};
      frame += 64;
    } else {
      bitmap[frame / 64] |= uint64_t{1} << frame % 64;
      frame++;
    }
  }
}

/// Calls `use(frame)` for each set bit, in ascending order, until it fails.
template <typename Use>
Status ForEach(const std::vector<uint64_t>& bitmap, Use use) {
  for (size_t word = 0; word < bitmap.size(); word++) {
    for (uint64_t bits = bitmap[word]; bits != 0; bits &= bits - 1) {
      HAVEN_RETURN_IF_ERROR(use(word * 64 + static_cast<uint64_t>(std::countr_zero(bits))));
    }
  }
  return Status::Ok();
}

}  // namespace

StreamFeed::StreamFeed(const memrep::GuestImage& image, Configure configure, Sink sink)
    : image_(&image),
      configure_(std::move(configure)),
      sink_(std::move(sink)),
      frames_(Physmap(image).bytes / kPageBytes),
      todo_((frames_ + 63) / 64) {}

Status StreamFeed::CheckImage(const memrep::GuestImage& image) {
  if (image.regions().size() == 1 && Physmap(image).name == xen::kPhysmapRegion) return Status::Ok();
  return {StatusCode::kRefused,
          "the primary is no Xen guest, but this host's configuration starts the guest with xl; set xl-config only "
          "for guests of Xen"};
}

Result<StreamFeed> StreamFeed::Create(const memrep::GuestImage& image, Configure configure, Sink sink) {
  HAVEN_RETURN_IF_ERROR(CheckImage(image));
  image.TrackChanges();
  return StreamFeed(image, std::move(configure), std::move(sink));
}

Result<xen::DomainState> StreamFeed::ReadState() const {
  return xen::DecodeDomainState(image_->device_state(), frames_);
}

uint64_t StreamFeed::TakeChanges(const xen::DomainState& state) {
  std::fill(todo_.begin(), todo_.end(), 0);
  image_->TakeChanges(0, todo_);
  // The peer may not make us populate frames that it did not declare.
  std::vector<uint64_t> populated(todo_.size());
  for (const xen::PageRun& run : state.populated) SetRun(populated, run);
  uint64_t count = 0;
  for (size_t i = 0; i < todo_.size(); i++) {
    todo_[i] &= populated[i];
    count += static_cast<uint64_t>(std::popcount(todo_[i]));
  }
  return count;
}

Status StreamFeed::SendHead() {
  xen::DomainState state;
  {
    std::lock_guard lock(image_->mutex());
    auto read = ReadState();
    if (!read.ok()) return read.status();
    state = std::move(read.value());
    TakeChanges(state);  // they are among all the pages that follow
  }
  auto config = configure_(state.config);
  if (!config.ok()) return config.status();
  Bytes head;
  AppendXlHeader(config.value(), head);
  AppendStreamHead(state, head);
  std::fill(todo_.begin(), todo_.end(), 0);
  for (const xen::PageRun& run : state.populated) SetRun(todo_, run);
  begun_ = true;
  return sink_(head);
}

void StreamFeed::CopyBatch(Bytes& record) const {
  AppendPageDataHead(batch_, record);
  for (uint64_t frame : batch_) {
    const uint8_t* page = Physmap(*image_).data + frame * kPageBytes;
    record.insert(record.end(), page, page + kPageBytes);
  }
}

Status StreamFeed::SendPages(const std::vector<uint64_t>& frames) {
  Bytes record;
  auto flush = [&]() -> Status {
    record.clear();
    {
      std::lock_guard lock(image_->mutex());
      CopyBatch(record);
    }
    batch_.clear();
    return sink_(record);
  };
  batch_.clear();
  HAVEN_RETURN_IF_ERROR(ForEach(frames, [&](uint64_t frame) {
    batch_.push_back(frame);
    return batch_.size() == kMaxPagesPerRecord ? flush() : Status::Ok();
  }));
  return batch_.empty() ? Status::Ok() : flush();
}

Status StreamFeed::Checkpoint() { return SendEpoch(AppendCheckpoint); }

Status StreamFeed::Plain() { return SendEpoch(AppendPlainEnd); }

Status StreamFeed::SendEpoch(void (*append)(const xen::DomainState& state, Bytes& out)) {
  if (!begun_) {
    HAVEN_RETURN_IF_ERROR(SendHead());
    HAVEN_RETURN_IF_ERROR(SendPages(todo_));
  }
  // Pages that change while they are sent are sent again: only what is copied
  // under one hold, together with the state, has to be of one epoch.
  for (int round = 1;; round++) {
    Bytes last;
    xen::DomainState state;
    Epoch epoch;
    bool few;
    {
      std::lock_guard lock(image_->mutex());
      auto read = ReadState();
      if (!read.ok()) return read.status();
      state = std::move(read.value());
      epoch = image_->epoch();
      few = TakeChanges(state) <= kFewPages || round == kMaxRounds;
      if (few) {
        batch_.clear();
        HAVEN_RETURN_IF_ERROR(ForEach(todo_, [&](uint64_t frame) {
          batch_.push_back(frame);
          if (batch_.size() == kMaxPagesPerRecord) {
            CopyBatch(last);
            batch_.clear();
          }
          return Status::Ok();
        }));
        if (!batch_.empty()) CopyBatch(last);
      }
    }
    if (!few) {
      HAVEN_RETURN_IF_ERROR(SendPages(todo_));
      continue;
    }
    append(state, last);
    HAVEN_RETURN_IF_ERROR(sink_(last));
    epoch_ = epoch;
    return Status::Ok();
  }
}

Status StreamFeed::End() {
  Bytes end;
  AppendStreamEnd(end);
  return sink_(end);
}

}  // namespace haven::havend
