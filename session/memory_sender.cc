// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/memory_sender.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/failpoint.h"
#include "core/room.h"

namespace haven::session {
namespace {

constexpr uint64_t kDeviceStatePieceBytes = 1u << 20;
/// Between two questions whether it is enough: 1 MiB.
constexpr size_t kEarlyPagesAtOnce = 256;

/// A page that the guest may be writing to: then it is sent again.
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread"))) void CopyLivePage(uint8_t* to, const volatile uint8_t* from) {
  for (size_t i = 0; i < kPageBytes; i++) to[i] = from[i];
}
#else
void CopyLivePage(uint8_t* to, const uint8_t* from) { memcpy(to, from, kPageBytes); }
#endif

}  // namespace

Status MemorySender::SendPages(Epoch epoch, uint32_t region, std::span<const memrep::PageRef> pages) {
  if (const uint64_t rate = link_.DeliveryRate(); rate != 0) rate_.Add(rate);
  encoder_.SetLinkRate(rate_.Median());
  encoder_.Encode(region, pages, encoded_);
  if (encoded_.pages == 0) return Status::Ok();  // the backup has them all
  std::vector<ByteSpan> parts;
  parts.reserve(encoded_.payload.size() + 1);
  parts.push_back(encoded_.head);
  parts.insert(parts.end(), encoded_.payload.begin(), encoded_.payload.end());
  if (epoch != kSyncEpoch) {
    wire_bytes_ += encoded_.bytes;
    entries_ += encoded_.pages;
    records_++;
  }
  return link_.Send(wire::Type::kPages, epoch, parts);
}

/// Copied before they are sent: a page that changes between its checksum and its sending would look like a broken
/// connection.
Status MemorySender::SendCopies(Epoch epoch, PageSets& pages, size_t at_once,
                                const std::function<bool(uint64_t)>& go_on) {
  const Room copies(at_once * uint64_t{kPageBytes});
  std::vector<memrep::PageRef> batch;
  bool more = true;
  for (uint32_t r = 0; r < regions_.size() && more; r++) {
    auto flush = [&]() -> Status {
      if (batch.empty()) return Status::Ok();
      more = go_on(batch.size());
      Status sent = SendPages(epoch, r, batch);
      batch.clear();
      return sent;
    };
    for (uint64_t word = 0; word < pages[r].size() && more; word++) {
      for (uint64_t& bits = pages[r][word]; bits != 0 && more; bits &= bits - 1) {
        uint64_t page = word * 64 + static_cast<uint64_t>(std::countr_zero(bits));
        if (page >= regions_[r].pages()) {
          bits = 0;
          break;
        }
        uint8_t* copy = copies.data() + batch.size() * kPageBytes;
        CopyLivePage(copy, regions_[r].host + page * kPageBytes);
        batch.push_back({page, copy});
        if (batch.size() == at_once) HAVEN_RETURN_IF_ERROR(flush());
      }
    }
    HAVEN_RETURN_IF_ERROR(flush());
  }
  return Status::Ok();
}

Status MemorySender::SendLive(PageSets& pages, const std::function<void(uint64_t)>& progress) {
  return SendCopies(kSyncEpoch, pages, wire::kMaxPagesPerRecord, [&](uint64_t count) {
    progress(count * kPageBytes);
    return true;
  });
}

Result<uint64_t> MemorySender::SendEarly(Epoch epoch, PageSets& pages, uint64_t most,
                                         const std::function<bool()>& enough) {
  uint64_t sent = 0;
  const uint64_t at_once = std::min<uint64_t>(kEarlyPagesAtOnce, most);
  if (at_once == 0) return sent;
  HAVEN_RETURN_IF_ERROR(SendCopies(epoch, pages, at_once, [&](uint64_t count) {
    sent += count;
    return sent + at_once <= most && !enough();
  }));
  return sent;
}

Status MemorySender::SendDeviceState(const Checkpoint& checkpoint) {
  const Bytes& state = checkpoint.device_state;
  for (uint64_t at = 0; at < state.size(); at += kDeviceStatePieceBytes) {
    Bytes head;
    ByteWriter w(head);
    w.U64(state.size());
    w.U64(at);
    ByteSpan parts[] = {head, ByteSpan(state).subspan(at, std::min(kDeviceStatePieceBytes, state.size() - at))};
    records_++;
    HAVEN_RETURN_IF_ERROR(link_.Send(wire::Type::kDeviceState, checkpoint.epoch, parts));
  }
  wire_bytes_ += state.size();
  return Status::Ok();
}

Status MemorySender::SendEpoch(const Checkpoint& checkpoint, const memrep::PageSnapshot& snapshot) {
  FailPoint("before-first-byte");
  bool first = true;
  for (const auto& group : snapshot.groups()) {
    std::span<const memrep::PageRef> pages = group.pages;
    while (!pages.empty()) {
      auto batch = pages.first(std::min<size_t>(pages.size(), wire::kMaxPagesPerRecord));
      HAVEN_RETURN_IF_ERROR(SendPages(checkpoint.epoch, group.region, batch));
      pages = pages.subspan(batch.size());
      if (std::exchange(first, false)) FailPoint("after-first-byte");
    }
  }
  return SendDeviceState(checkpoint);
}

Result<uint64_t> MemorySender::SendEnd(const Checkpoint& checkpoint) {
  wire::EpochEnd end;
  end.pages = std::exchange(entries_, 0);
  end.disk_records = checkpoint.disk_records;
  end.device_state_bytes = checkpoint.device_state.size();
  end.memory_records = std::exchange(records_, 0);
  end.flags = checkpoint.guest_paused ? wire::kGuestPaused : 0;
  if (tell_run_) end.run = checkpoint.run;
  FailPoint("before-epoch-end");
  HAVEN_RETURN_IF_ERROR(link_.Send(wire::Type::kEpochEnd, checkpoint.epoch, wire::Encode(end)));
  FailPoint("after-epoch-end");
  return std::exchange(wire_bytes_, 0);
}

microseconds MemorySender::TransferTime(uint64_t bytes) const {
  const uint64_t rate = rate_.Median();
  return microseconds(rate == 0 ? 0 : bytes * 1'000'000 / rate);
}

}  // namespace haven::session
