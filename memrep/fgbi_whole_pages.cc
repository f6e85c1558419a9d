// SPDX-License-Identifier: GPL-2.0-or-later
// The encoder's second half: pages that do not travel alone. In the order of the pages it
// is decided what stands for each: a reference, one assembled of blocks, or the page itself.
#include <algorithm>

#include "memrep/coded_room.h"
#include "memrep/fgbi_encoder.h"
#include "memrep/record_writer.h"
#include "memrep/shared_pages.h"

namespace haven::memrep {
namespace {

/// What one worker compresses in one go.
constexpr size_t kPackPages = 16;

/// A block joins the run before it if both continue there.
void AddBlock(std::vector<BlockRun>& runs, size_t block, uint64_t source) {
  if (!runs.empty()) {
    BlockRun& last = runs.back();
    bool follows = last.first + last.count == static_cast<int>(block) && last.source + last.count == source;
    // A run of blocks does not go on in the next page.
    if (follows && source % kBlocksPerPage != 0) {
      last.count++;
      return;
    }
  }
  runs.push_back({static_cast<uint8_t>(block), 1, source});
}

}  // namespace

// --- what stands for the page: in the order of the pages, by one thread ------

void FgbiEncoder::DecideWhole(uint32_t region, std::span<const PageRef> pages, EncodedPages& record) {
  wholes_.clear();
  for (size_t i = 0; i < pages.size(); i++) {
    PageKey key = MakePageKey(region, pages[i].index);
    auto number = static_cast<uint32_t>(i);
    if (looks_[i].kind == Look::Kind::kLeftAlone) {
      wholes_.push_back(LeaveAlone(key, number));
    } else if (looks_[i].kind == Look::Kind::kWhole) {
      wholes_.push_back(Decide(key, pages[i], number, WholeRoom(record, wholes_.size())));
    }
  }
}

inline FgbiEncoder::Whole FgbiEncoder::LeaveAlone(PageKey key, uint32_t number) {
  figures_.bytes_after_blocks += kPageBytes;
  figures_.bytes_after_sharing += kPageBytes;
  uint32_t slot = looks_[number].slot;
  if (cache_.KeyOf(slot) == key) cache_.StateOf(slot).skip--;
  return {.page = number};
}

inline FgbiEncoder::Whole FgbiEncoder::Decide(PageKey key, const PageRef& page, uint32_t number, uint8_t* to) {
  const Look& look = looks_[number];
  Whole whole{.page = number, .slot = SlotFor(key, look)};
  bool refers = ReferToEqual(key, page, look.hash, to, whole) || ReferToOthers(page, look.hash, to, whole);
  const uint32_t* hashes = look.blocks_hashed && !refers ? &block_hashes_[number * kBlocksPerPage] : nullptr;
  if (hashes != nullptr) Assemble(key, page, hashes, to, whole);
  figures_.bytes_after_blocks += kPageBytes;
  figures_.bytes_after_sharing += whole.code == wire::PageCode::kRaw ? kPageBytes : whole.coded_bytes;
  Remember(page, whole, look.hash, hashes);
  return whole;
}

inline bool FgbiEncoder::ReferToEqual(PageKey key, const PageRef& page, uint64_t hash, uint8_t* to, Whole& whole) {
  if (!options_.sharing() || hash == 0) return false;
  PageKey equal = FindEqual(key, page, hash);
  equal_pace_.Note(equal != PageCache::kNoKey);
  if (equal == PageCache::kNoKey) return false;
  StoreLittle64(to, equal);
  whole.code = wire::PageCode::kSame;
  whole.coded_bytes = sizeof(uint64_t);
  return true;
}

inline PageKey FgbiEncoder::FindEqual(PageKey key, const PageRef& page, uint64_t hash) {
  uint32_t candidate = index_.Find(hash);
  if (candidate == PageCache::kNoSlot) return PageCache::kNoKey;
  PageKey other = cache_.KeyOf(candidate);
  if (other == key || cache_.StateOf(candidate).content != PageCache::Content::kCopy) return PageCache::kNoKey;
  return memcmp(cache_.Data(candidate), page.data, kPageBytes) == 0 ? other : PageCache::kNoKey;
}

inline bool FgbiEncoder::ReferToOthers(const PageRef& page, uint64_t hash, uint8_t* to, Whole& whole) {
  if (!options_.sharing_with_others() || hash == 0) return false;
  if (others_pace_.Wants(whole.page)) {
    auto known = options_.shared->Find(hash, page.data);
    others_pace_.Note(known.has_value());
    if (known) {
      StoreLittle32(to, *known);
      whole.code = wire::PageCode::kStored;
      whole.coded_bytes = sizeof(uint32_t);
      return true;
    }
  }
  auto slot = options_.shared->Publish(page.data);
  if (!slot) return false;
  whole.keep = *slot;
  published_.push_back({*slot, hash});
  return false;
}

inline void FgbiEncoder::Assemble(PageKey key, const PageRef& page, const uint32_t* hashes, uint8_t* to, Whole& whole) {
  bool enough = FindBlocks(key, page, hashes) >= kFewSharedBlocks;
  block_pace_.Note(enough);
  if (!enough) return;
  whole.code = wire::PageCode::kAssembled;
  whole.coded_bytes = static_cast<uint32_t>(EncodeAssembled(page.data, runs_, to));
}

inline size_t FgbiEncoder::FindBlocks(PageKey key, const PageRef& page, const uint32_t* hashes) {
  runs_.clear();
  for (size_t block = 0; block < kBlocksPerPage; block++) block_index_.Prefetch(hashes[block]);
  size_t shared = 0;
  for (size_t block = 0; block < kBlocksPerPage; block++) {
    uint32_t candidate = block_index_.Find(hashes[block]);
    if (candidate == BlockIndex::kNone) continue;
    uint32_t slot = candidate / kBlocksPerPage;
    PageKey other = cache_.KeyOf(slot);
    // Its own copy is what it was, and will not be while it is assembled.
    if (other == key || cache_.StateOf(slot).content != PageCache::Content::kCopy) continue;
    const uint8_t* there = cache_.Data(slot) + candidate % kBlocksPerPage * kBlockBytes;
    if (memcmp(there, page.data + block * kBlockBytes, kBlockBytes) != 0) continue;
    shared++;
    uint64_t source =
        (other & PageCache::kNoRegion) * kBlocksPerPage + candidate % kBlocksPerPage + (other & ~PageCache::kNoRegion);
    AddBlock(runs_, block, source);
  }
  return shared;
}

inline void FgbiEncoder::Remember(const PageRef& page, const Whole& whole, uint64_t hash, const uint32_t* hashes) {
  if (whole.slot == PageCache::kNoSlot) return;
  Store(whole.slot, page);
  if (cache_.StateOf(whole.slot).content != PageCache::Content::kCopy) return;
  // An equal one is found already.
  if (whole.code != wire::PageCode::kSame && hash != 0) index_.Put(hash, whole.slot);
  if (hashes == nullptr) return;
  for (uint32_t block = 0; block < kBlocksPerPage; block++) block_index_.Put(hashes[block], whole.slot, block);
}

// --- what is left whole is compressed, by all --------------------------------

void FgbiEncoder::CompressWhole(std::span<const PageRef> pages, EncodedPages& record) {
  ForParts((wholes_.size() + kPackPages - 1) / kPackPages, [&](unsigned worker, size_t part) {
    size_t end = std::min((part + 1) * kPackPages, wholes_.size());
    for (size_t w = part * kPackPages; w < end; w++) {
      Whole& whole = wholes_[w];
      bool is_random = looks_[whole.page].kind == Look::Kind::kLeftAlone;
      if (whole.code != wire::PageCode::kRaw || is_random) continue;
      ByteSpan in{pages[whole.page].data, kPageBytes};
      size_t packed = compression_.Compress(workers_[worker]->deflater, wire::PageCode::kRaw, in, WholeRoom(record, w));
      if (packed == 0) continue;
      whole.code = wire::PageCode::kCompressed;
      whole.coded_bytes = static_cast<uint32_t>(packed);
    }
  });
}

// --- into the record ---------------------------------------------------------

void FgbiEncoder::EmitWhole(std::span<const PageRef> pages, EncodedPages& record, Writer& out) {
  for (size_t w = 0; w < wholes_.size(); w++) {
    const Whole& whole = wholes_[w];
    const PageRef& page = pages[whole.page];
    bool plain = whole.code == wire::PageCode::kRaw;
    ByteSpan payload = plain ? ByteSpan(page.data, kPageBytes) : ByteSpan(WholeRoom(record, w), whole.coded_bytes);
    if (whole.keep == kNoStoreSlot) {
      out.Add(whole.code, page.index, payload);
    } else {
      out.AddKept(whole.keep, whole.code, page.index, payload, KeptHeadRoom(record, w));
    }
    CountWhole(whole.code);
    if (whole.slot != PageCache::kNoSlot) cache_.StateOf(whole.slot).plain = plain;
  }
}

inline void FgbiEncoder::CountWhole(wire::PageCode code) {
  switch (code) {
    case wire::PageCode::kSame: figures_.same++; break;
    case wire::PageCode::kStored: figures_.shared++; break;
    case wire::PageCode::kAssembled: figures_.assembled++; break;
    case wire::PageCode::kCompressed: figures_.compressed++; break;
    default: figures_.raw++;
  }
}

}  // namespace haven::memrep
