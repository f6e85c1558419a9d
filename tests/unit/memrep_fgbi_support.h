/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_MEMREP_FGBI_SUPPORT_H
#define HAVEN_TESTS_UNIT_MEMREP_FGBI_SUPPORT_H

#include <memory>
#include <random>
#include <string>

#include "core/assert.h"
#include "core/crc32c.h"
#include "memrep/epoch_staging.h"
#include "memrep/fgbi_encoder.h"

namespace haven::memrep {

/// All kernels that this processor can run.
inline std::vector<const DeltaKernels*> AllKernels() {
  std::vector<const DeltaKernels*> all{&PortableKernels()};
  if (Avx2Kernels() != nullptr) all.push_back(Avx2Kernels());
  if (Avx512Kernels() != nullptr) all.push_back(Avx512Kernels());
  return all;
}

/// The body of a record as it would travel.
inline Bytes Flatten(const EncodedPages& record) {
  Bytes body = record.head;
  for (ByteSpan part : record.payload) body.insert(body.end(), part.begin(), part.end());
  return body;
}

/// A guest that writes to its memory at random, in every manner that the
/// encoder treats in another way, and a backup that follows it.
class RandomGuest {
 public:
  RandomGuest(uint32_t seed, std::vector<uint64_t> region_pages)
      : random_(seed), region_pages_(std::move(region_pages)) {
    for (uint64_t pages : region_pages_) memory_.emplace_back(pages * kPageBytes);
    dirty_.resize(region_pages_.size());
    NewBackup();
  }

  /// A backup that has nothing yet.
  void NewBackup() {
    wire::Layout layout;
    for (size_t i = 0; i < region_pages_.size(); i++) {
      layout.regions.push_back({"r" + std::to_string(i), region_pages_[i] * kPageBytes});
    }
    auto image = GuestImage::Create(layout, "", 1ull << 30);
    HAVEN_ASSERT(image.ok());
    image_ = std::move(image.value());
    staging_ = std::make_unique<EpochStaging>(*image_);
    if (lease != nullptr) staging_->Share(lease);
    epoch_ = kSyncEpoch;
  }

  /// Everything goes to a new backup, as after a lost connection.
  Status Synchronise(PageEncoder& encoder) {
    NewBackup();
    encoder.Reset();
    for (uint32_t r = 0; r < memory_.size(); r++) {
      dirty_[r].clear();
      for (uint64_t p = 0; p < region_pages_[r]; p++) dirty_[r].push_back(p);
    }
    return SendPages(encoder, kSyncEpoch);
  }

  /// One epoch of random writes.
  void Run(unsigned writes) {
    for (auto& list : dirty_) list.clear();
    for (unsigned i = 0; i < writes; i++) Write();
  }

  /// Encodes, sends, commits and applies what Run() has written.
  Status Checkpoint(PageEncoder& encoder) {
    epoch_++;
    records_ = 0;
    entries_ = 0;
    HAVEN_RETURN_IF_ERROR(SendPages(encoder, epoch_));
    Bytes state;
    ByteWriter w(state);
    w.U64(1);
    w.U64(0);
    w.U8(static_cast<uint8_t>(epoch_));
    HAVEN_RETURN_IF_ERROR(staging_->AddDeviceState(epoch_, state));
    wire::EpochEnd end;
    end.pages = entries_;
    end.memory_records = records_ + 1;
    end.device_state_bytes = 1;
    HAVEN_RETURN_IF_ERROR(staging_->Check(epoch_, end));
    staging_->Apply(epoch_, end);
    encoder.EndEpoch();
    encoder.Committed();
    return Status::Ok();
  }

  /// Encodes, sends, and then the connection is lost.
  Status Abandon(PageEncoder& encoder) { return SendPages(encoder, epoch_ + 1); }

  /// Name of the first page that differs, "" if none does.
  std::string Difference() const {
    for (size_t r = 0; r < memory_.size(); r++) {
      for (uint64_t p = 0; p < region_pages_[r]; p++) {
        if (memcmp(&memory_[r][p * kPageBytes], image_->regions()[r].data + p * kPageBytes, kPageBytes) != 0) {
          return "epoch " + std::to_string(epoch_) + ", region " + std::to_string(r) + ", page " + std::to_string(p);
        }
      }
    }
    return "";
  }

  StoreLease* lease = nullptr;  ///< of backups that are made from now on; outlives them

  uint64_t wire_bytes() const { return wire_bytes_; }
  /// Of all that was sent.
  uint32_t wire_crc() const { return wire_crc_; }
  uint8_t* page(uint32_t region, uint64_t index) { return &memory_[region][index * kPageBytes]; }
  void MarkDirty(uint32_t region, uint64_t index) { dirty_[region].push_back(index); }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  void Fill(uint8_t* to, uint64_t bytes, unsigned content) {
    static constexpr char kText[] = "the quick brown fox jumps over the lazy dog; ";
    for (uint64_t i = 0; i < bytes; i++) {
      switch (content) {
        case 0: to[i] = 0; break;
        case 1: to[i] = static_cast<uint8_t>(random_()); break;
        case 2: to[i] = static_cast<uint8_t>(kText[(i + random_() % 3) % (sizeof(kText) - 1)]); break;
        default: to[i] = i % 8 < 3 ? static_cast<uint8_t>(random_()) : 0x80; break;  // like pointers
      }
    }
  }

  void Write() {
    auto region = static_cast<uint32_t>(Below(memory_.size()));
    // Half of the writes go to few pages, so that pages are dirty again.
    uint64_t pages = region_pages_[region];
    uint64_t index = Below(2) == 0 ? Below(std::max<uint64_t>(pages / 8, 1)) : Below(pages);
    uint8_t* to = page(region, index);
    auto content = static_cast<unsigned>(Below(4));
    switch (Below(10)) {
      case 0: Fill(to, kPageBytes, content); break;
      case 1: {  // one run
        uint64_t at = Below(kPageBytes);
        Fill(to + at, 1 + Below(kPageBytes - at), content);
        break;
      }
      case 2:  // scattered words
        for (uint64_t n = 1 + Below(64); n > 0; n--) Fill(to + 8 * Below(kPageBytes / 8), 8, content);
        break;
      case 3:  // scattered octets
        for (uint64_t n = 1 + Below(64); n > 0; n--) Fill(to + Below(kPageBytes), 1, content);
        break;
      case 4:  // scattered blocks
        for (uint64_t n = 1 + Below(20); n > 0; n--) Fill(to + 64 * Below(64), 64, content);
        break;
      case 5: memcpy(to, page(region, Below(pages)), 1); break;
      case 6: memmove(to, page(region, Below(pages)), kPageBytes); break;  // an equal page
      case 7: to[kPageBytes - 1]++; break;
      case 8: {  // blocks of another page among new ones
        Fill(to, kPageBytes, 1);
        uint64_t blocks = 1 + Below(50), from = Below(64 - blocks), at = Below(64 - blocks);
        memmove(to + at * 64, page(region, Below(pages)) + from * 64, blocks * 64);
        break;
      }
      default: break;  // dirty, but as before
    }
    MarkDirty(region, index);
  }

  Status SendPages(PageEncoder& encoder, Epoch epoch) {
    for (uint32_t r = 0; r < memory_.size(); r++) {
      std::sort(dirty_[r].begin(), dirty_[r].end());
      dirty_[r].erase(std::unique(dirty_[r].begin(), dirty_[r].end()), dirty_[r].end());
      std::vector<PageRef> refs;
      for (uint64_t index : dirty_[r]) refs.push_back({index, page(r, index)});
      std::span<const PageRef> left = refs;
      while (!left.empty()) {
        size_t n = std::min<size_t>(left.size(), 1 + Below(wire::kMaxPagesPerRecord));
        encoder.Encode(r, left.first(n), encoded_);
        left = left.subspan(n);
        if (encoded_.pages == 0) continue;
        Bytes body = Flatten(encoded_);
        HAVEN_ASSERT(body.size() == encoded_.bytes && body.size() <= wire::kMaxBodyBytes);
        wire_bytes_ += body.size();
        wire_crc_ = Crc32c(body, wire_crc_);
        records_++;
        entries_ += encoded_.pages;
        HAVEN_RETURN_IF_ERROR(staging_->AddPages(epoch, body));
      }
    }
    return Status::Ok();
  }

  std::mt19937 random_;
  const std::vector<uint64_t> region_pages_;
  std::vector<Bytes> memory_;
  std::vector<std::vector<uint64_t>> dirty_;
  std::unique_ptr<GuestImage> image_;
  std::unique_ptr<EpochStaging> staging_;
  EncodedPages encoded_;
  Epoch epoch_ = kSyncEpoch;
  uint32_t records_ = 0;
  uint64_t entries_ = 0;
  uint64_t wire_bytes_ = 0;
  uint32_t wire_crc_ = 0;
};

}  // namespace haven::memrep

#endif
