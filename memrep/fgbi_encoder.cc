// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/fgbi_encoder.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/assert.h"
#include "memrep/delta_layout.h"
#include "memrep/record_writer.h"
#include "memrep/shared_pages.h"
#include "memrep/worker_pool.h"

namespace haven::memrep {
namespace {

/// A change that takes more than this travels as a whole page: what it saves
/// is not worth the decoder's time.
constexpr size_t kMaxChangeBytes = kPageBytes * 7 / 8;
/// Changes in a row that were too large: then the page's copy is given up ...
constexpr uint8_t kManyFails = 2;
/// ... for twice as many epochs each time, up to this.
constexpr uint8_t kMaxSkip = 14;
constexpr uint8_t kMaxWorth = 15;
constexpr size_t kLookAhead = 4;

/// What one worker does in one go.
constexpr size_t kPartPages = 64;
constexpr size_t kPackPages = 16;
/// The worst case for every page: nothing may move while spans point to it.
constexpr size_t kPartBytes = kPartPages * (kPageBytes + kCompressedHeadBytes) + kDeltaSlackBytes;
constexpr size_t kParts = wire::kMaxPagesPerRecord / kPartPages;
constexpr size_t kPackedBytes = kPageBytes + kCompressedHeadBytes;
constexpr size_t kKeptHeadsAt = kParts * kPartBytes + wire::kMaxPagesPerRecord * kPackedBytes;

/// Whether a few of a page's words are zero: a cheap look before comparing all.
bool LooksSparse(const uint8_t* page) {
  unsigned zeros = 0;
  for (size_t i = 0; i < kSamples; i++) zeros += LoadLittle64(page + SampleOffset(i)) == 0;
  return zeros >= 3;
}

void PrefetchSamples(const uint8_t* page) {
  __builtin_prefetch(page);
  for (size_t i = 0; i < kSamples; i++) __builtin_prefetch(page + SampleOffset(i));
}

}  // namespace

/// What a worker needs for itself.
struct FgbiEncoder::Worker {
  Deflater deflater;
  Bytes packed = Bytes(kPackedBytes);
};

void EncoderFigures::Add(const EncoderFigures& o) {
  pages += o.pages, unchanged += o.unchanged, zero += o.zero, run += o.run, delta += o.delta;
  sparse += o.sparse, shared += o.shared, same += o.same, assembled += o.assembled, compressed += o.compressed,
      raw += o.raw;
  cache_hits += o.cache_hits, cache_misses += o.cache_misses, changed_blocks += o.changed_blocks;
  bytes_after_blocks += o.bytes_after_blocks, bytes_after_sharing += o.bytes_after_sharing, bytes += o.bytes;
  encode_ns += o.encode_ns, compress_ns += o.compress_ns;
}

FgbiEncoder::FgbiEncoder(const EncoderOptions& options)
    : options_(options),
      kernels_(options.kernels != nullptr ? *options.kernels : BestKernels()),
      hash_(options.page_hash != nullptr ? options.page_hash : SampleHash),
      cache_(options.caching() ? options.cache_bytes : 0),
      index_(options.sharing() ? cache_.slots() : 0),
      block_index_(options.sharing_blocks() ? cache_.slots() : 0),
      compression_(options),
      zeros_(kPageBytes) {
  if (options.sharing_blocks()) block_hashes_.resize(wire::kMaxPagesPerRecord * kBlocksPerPage);
  HAVEN_ASSERT(options.block_bytes == 64 || options.block_bytes == 128 || options.block_bytes == 256);
  unsigned threads = options.workers != nullptr ? options.workers->threads() : 1;
  for (unsigned i = 0; i < threads; i++) workers_.push_back(std::make_unique<Worker>());
}

FgbiEncoder::~FgbiEncoder() = default;

void FgbiEncoder::Reset() {
  cache_.Clear();
  index_.Clear();
  block_index_.Clear();
  published_.clear();
  committed_.clear();
}

void FgbiEncoder::Committed() {
  compression_.Tick();
  for (const Published& page : committed_) options_.shared->MakeKnown(page.slot, page.hash);
  committed_.clear();
  std::swap(committed_, published_);
}

EncoderFigures FgbiEncoder::TakeFigures() { return std::exchange(figures_, {}); }

void FgbiEncoder::ForParts(size_t parts, const std::function<void(unsigned, size_t)>& work) {
  if (options_.workers != nullptr) return options_.workers->Run(parts, work);
  for (size_t part = 0; part < parts; part++) work(0, part);
}

void FgbiEncoder::Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) {
  HAVEN_ASSERT(!pages.empty() && pages.size() <= wire::kMaxPagesPerRecord);
  uint64_t start = SteadyNanoseconds();
  out.coded.resize(kKeptHeadsAt + (options_.sharing_with_others() ? wire::kMaxPagesPerRecord * kKeptHeadBytes : 0));
  Writer writer(region, pages.size(), out);
  looks_.assign(pages.size(), {});
  ForParts((pages.size() + kPartPages - 1) / kPartPages, [&](unsigned worker, size_t part) {
    LookAtPart(region, pages, part, *workers_[worker], out.coded.data() + part * kPartBytes);
  });
  EmitAlone(region, pages, writer);
  DecideWhole(region, pages, out);
  EmitWhole(pages, out, writer);
  writer.Finish();
  figures_.pages += pages.size();
  figures_.bytes += out.pages == 0 ? 0 : out.bytes;
  figures_.compress_ns += compression_.TakeNanoseconds();
  figures_.encode_ns += SteadyNanoseconds() - start;
}

// --- each page by itself ----------------------------------------------------

void FgbiEncoder::LookUp(uint32_t region, std::span<const PageRef> pages, size_t begin, size_t end) {
  if (!options_.caching()) return;
  for (size_t i = begin; i < end; i++) {
    HAVEN_ASSERT(i == 0 || pages[i - 1].index < pages[i].index);
    if (i + 8 < end) cache_.Prefetch(MakePageKey(region, pages[i + 8].index));
    looks_[i].slot = cache_.Find(MakePageKey(region, pages[i].index));
    looks_[i].found = looks_[i].slot != PageCache::kNoSlot;
    if (looks_[i].found) cache_.PrefetchSlot(looks_[i].slot);
  }
}

void FgbiEncoder::LookAtPart(uint32_t region, std::span<const PageRef> pages, size_t part, Worker& worker,
                             uint8_t* to) {
  size_t end = std::min((part + 1) * kPartPages, pages.size());
  LookUp(region, pages, part * kPartPages, end);
  auto fetch_samples = [&](size_t i) {
    if (i >= end) return;
    uint32_t slot = looks_[i].slot;
    // Compared or left alone: samples are not what is read of it.
    bool known = slot != PageCache::kNoSlot &&
                 (cache_.StateOf(slot).content != PageCache::Content::kUnknown || cache_.StateOf(slot).plain);
    if (!known) PrefetchSamples(pages[i].data);
  };
  for (size_t i = part * kPartPages; i < part * kPartPages + kLookAhead; i++) fetch_samples(i);
  for (size_t i = part * kPartPages; i < end; i++) {
    fetch_samples(i + kLookAhead);
    LookAt(pages[i], i + 1 < end ? AheadOf(pages, i) : Ahead{}, worker, to, looks_[i]);
  }
}

Ahead FgbiEncoder::AheadOf(std::span<const PageRef> pages, size_t i) {
  uint32_t slot = looks_[i].slot, next = looks_[i + 1].slot;
  Ahead ahead;
  ahead.page = pages[i + 1].data;
  ahead.page_follows = ahead.page == pages[i].data + kPageBytes;
  if (next == PageCache::kNoSlot) return ahead;
  ahead.base = cache_.Data(next);
  ahead.base_follows = slot != PageCache::kNoSlot && ahead.base == cache_.Data(slot) + kPageBytes;
  return ahead;
}

void FgbiEncoder::LookAt(const PageRef& page, const Ahead& ahead, Worker& worker, uint8_t*& to, Look& look) {
  if (look.found) {
    PageCache::State& state = cache_.StateOf(look.slot);
    bool comparable = options_.blocks() && state.content != PageCache::Content::kUnknown;
    if (comparable && LookAtChange(page, ahead, to, look)) {
      if (look.kind == Look::Kind::kAlone) CodeAlone(look.code, look.change_bytes, worker, to, look);
      return;
    }
    if (state.skip > 0 && state.plain) {
      look.kind = Look::Kind::kLeftAlone;
      return;
    }
  }
  if (IsZeroPage(page.data)) {
    look.kind = Look::Kind::kAlone;
    look.code = wire::PageCode::kZero;
    return;
  }
  if (options_.blocks() && LookWhetherSparse(page, to, look))
    return CodeAlone(look.code, look.change_bytes, worker, to, look);
  auto number = static_cast<size_t>(&look - looks_.data());
  bool others = options_.sharing_with_others() && (options_.shared->HasRoom() || others_pace_.Wants(number));
  if ((options_.sharing() && equal_pace_.Wants(number)) || others)
    look.hash = hash_(page.data) | 1;  // never 0, which is none
  if (others) options_.shared->Prefetch(look.hash);
  if (!options_.sharing_blocks() || !block_pace_.Wants(number)) return;
  HashBlocks(page.data, &block_hashes_[number * kBlocksPerPage]);
  look.blocks_hashed = true;
}

const uint8_t* FgbiEncoder::BaseOf(uint32_t slot) {
  return cache_.StateOf(slot).content == PageCache::Content::kZero ? zeros_.data() : cache_.Data(slot);
}

void FgbiEncoder::WidenBlocks(PageDiff& diff) const {
  uint64_t changed = diff.changed;
  for (uint32_t size = kBlockBytes; size < options_.block_bytes; size *= 2) {
    // Either half of a larger block: all of it.
    unsigned by = size / kBlockBytes;
    uint64_t first_halves = by == 1 ? 0x5555555555555555 : 0x3333333333333333;
    changed |= (changed & first_halves) << by | (changed & ~first_halves) >> by;
  }
  diff.changed = changed;
  for (; changed != 0; changed &= changed - 1) diff.byte_masks[std::countr_zero(changed)] = ~uint64_t{0};
}

bool FgbiEncoder::LookAtChange(const PageRef& page, const Ahead& ahead, uint8_t* to, Look& look) {
  PageCache::State& state = cache_.StateOf(look.slot);
  PageDiff diff;
  const uint8_t* base = BaseOf(look.slot);
  kernels_.compare(base, page.data, ahead, diff);
  uint64_t changed = diff.changed;
  if (changed == 0) {
    look.kind = Look::Kind::kUnchanged;
    return true;
  }
  look.changed_blocks = diff.changed_blocks;
  if (options_.whole_blocks || options_.block_bytes != kBlockBytes) WidenBlocks(diff);
  Coded coded = kernels_.encode(page.data, diff, ahead, to, kMaxChangeBytes);
  if (coded.kind == Coded::Kind::kNone) return false;
  look.kind = Look::Kind::kAlone;
  look.code = coded.kind == Coded::Kind::kRun ? wire::PageCode::kRun : wire::PageCode::kDelta;
  look.change_bytes = static_cast<uint32_t>(coded.bytes);
  if (base == zeros_.data()) memset(cache_.Data(look.slot), 0, kPageBytes);
  kernels_.copy_blocks(page.data, changed, cache_.Data(look.slot));
  state.content = PageCache::Content::kCopy;
  state.fails = 0;
  state.worth = static_cast<uint8_t>(std::min<int>(state.worth + 1, kMaxWorth));
  return true;
}

bool FgbiEncoder::LookWhetherSparse(const PageRef& page, uint8_t* to, Look& look) {
  if (!LooksSparse(page.data)) return false;
  PageDiff diff;
  kernels_.compare(zeros_.data(), page.data, {}, diff);
  if (options_.whole_blocks || options_.block_bytes != kBlockBytes) WidenBlocks(diff);
  // A run would be applied to what is there: what is sparse is always a delta.
  Coded coded = kernels_.encode(page.data, diff, {}, to, kPageBytes / 2);
  if (coded.kind != Coded::Kind::kDelta) return false;
  look.kind = Look::Kind::kAlone;
  look.code = wire::PageCode::kSparse;
  look.change_bytes = static_cast<uint32_t>(coded.bytes);
  return true;
}

void FgbiEncoder::CodeAlone(wire::PageCode code, size_t bytes, Worker& worker, uint8_t*& to, Look& look) {
  // A run is not compressed: it is either short or was not worth a delta.
  if (options_.compressing() && code != wire::PageCode::kRun) {
    size_t packed = compression_.Compress(worker.deflater, code, {to, bytes}, worker.packed.data());
    if (packed != 0) {
      look.packed = true;
      memcpy(to, worker.packed.data(), packed);
      bytes = packed;
    }
  }
  look.coded = {to, bytes};
  to += bytes;
}

// --- in the order of the pages ----------------------------------------------

uint32_t FgbiEncoder::SlotFor(PageKey key, const Look& look) {
  if (!options_.caching()) return PageCache::kNoSlot;
  // Since it was looked up, another page may have taken its place.
  if (look.found && cache_.KeyOf(look.slot) == key) return look.slot;
  return cache_.Admit(key);
}

void FgbiEncoder::EmitAlone(uint32_t region, std::span<const PageRef> pages, Writer& out) {
  for (size_t i = 0; i < pages.size(); i++) {
    const Look& look = looks_[i];
    (look.found ? figures_.cache_hits : figures_.cache_misses) += options_.caching();
    figures_.changed_blocks += look.changed_blocks;
    if (look.kind == Look::Kind::kUnchanged) figures_.unchanged++;
    if (look.kind != Look::Kind::kAlone) continue;
    figures_.bytes_after_blocks += look.change_bytes;
    figures_.bytes_after_sharing += look.change_bytes;
    figures_.compressed += look.packed;
    switch (look.code) {
      case wire::PageCode::kZero: {
        figures_.zero++;
        uint32_t slot = SlotFor(MakePageKey(region, pages[i].index), look);
        if (slot != PageCache::kNoSlot) cache_.StateOf(slot).content = PageCache::Content::kZero;
        break;
      }
      case wire::PageCode::kSparse: {
        figures_.sparse++;
        uint32_t slot = SlotFor(MakePageKey(region, pages[i].index), look);
        if (slot != PageCache::kNoSlot) Store(slot, pages[i]);
        break;
      }
      default: (look.code == wire::PageCode::kRun ? figures_.run : figures_.delta)++;
    }
    out.Add(look.packed ? wire::PageCode::kCompressed : look.code, pages[i].index, look.coded);
  }
}

void FgbiEncoder::ShareWithOthers(const PageRef& page, uint64_t hash, Whole& whole) {
  if (others_pace_.Wants(whole.page)) {
    auto slot = options_.shared->Find(hash, page.data);
    others_pace_.Note(slot.has_value());
    if (slot) {
      whole.stored = *slot;
      return;
    }
  }
  auto slot = options_.shared->Publish(page.data);
  if (!slot) return;
  whole.keep = *slot;
  published_.push_back({*slot, hash});
}

void FgbiEncoder::DecideWhole(uint32_t region, std::span<const PageRef> pages, EncodedPages& record) {
  wholes_.clear();
  for (size_t i = 0; i < pages.size(); i++) {
    const Look& look = looks_[i];
    if (look.kind != Look::Kind::kWhole && look.kind != Look::Kind::kLeftAlone) continue;
    PageKey key = MakePageKey(region, pages[i].index);
    figures_.bytes_after_blocks += kPageBytes;
    if (look.kind == Look::Kind::kLeftAlone) {
      figures_.bytes_after_sharing += kPageBytes;
      if (cache_.KeyOf(look.slot) == key) cache_.StateOf(look.slot).skip--;
      wholes_.push_back({.page = static_cast<uint32_t>(i)});
      continue;
    }
    Whole whole{static_cast<uint32_t>(i), PageCache::kNoKey, SlotFor(key, look)};
    bool searched = options_.sharing() && look.hash != 0;
    if (searched) whole.equal = FindEqual(key, pages[i], look.hash);
    bool equal = whole.equal != PageCache::kNoKey;
    if (searched) equal_pace_.Note(equal);
    if (options_.sharing_with_others() && !equal && look.hash != 0) ShareWithOthers(pages[i], look.hash, whole);
    bool stored = whole.stored != kNoStoreSlot;
    const uint32_t* hashes = look.blocks_hashed && !equal && !stored ? &block_hashes_[i * kBlocksPerPage] : nullptr;
    if (hashes != nullptr) {
      whole.assembled = FindBlocks(key, pages[i], hashes) >= kFewSharedBlocks;
      block_pace_.Note(whole.assembled);
    }
    if (whole.assembled) {
      uint8_t* to = record.coded.data() + kParts * kPartBytes + wholes_.size() * kPackedBytes;
      whole.coded_bytes = static_cast<uint32_t>(EncodeAssembled(pages[i].data, runs_, to));
    }
    figures_.bytes_after_sharing += equal             ? sizeof(uint64_t)
                                    : stored          ? sizeof(uint32_t)
                                    : whole.assembled ? whole.coded_bytes
                                                      : kPageBytes;
    if (whole.slot != PageCache::kNoSlot) {
      Store(whole.slot, pages[i]);
      bool is_copy = cache_.StateOf(whole.slot).content == PageCache::Content::kCopy;
      if (!equal && look.hash != 0 && is_copy) index_.Put(look.hash, whole.slot);
      for (uint32_t block = 0; hashes != nullptr && is_copy && block < kBlocksPerPage; block++) {
        block_index_.Put(hashes[block], whole.slot, block);
      }
    }
    wholes_.push_back(whole);
  }
}

PageKey FgbiEncoder::FindEqual(PageKey key, const PageRef& page, uint64_t hash) {
  uint32_t candidate = index_.Find(hash);
  if (candidate == PageCache::kNoSlot) return PageCache::kNoKey;
  PageKey other = cache_.KeyOf(candidate);
  if (other == key || cache_.StateOf(candidate).content != PageCache::Content::kCopy) return PageCache::kNoKey;
  return memcmp(cache_.Data(candidate), page.data, kPageBytes) == 0 ? other : PageCache::kNoKey;
}

size_t FgbiEncoder::FindBlocks(PageKey key, const PageRef& page, const uint32_t* hashes) {
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
    BlockRun* last = runs_.empty() ? nullptr : &runs_.back();
    bool follows = last != nullptr && last->first + last->count == static_cast<int>(block) &&
                   last->source + last->count == source && source % kBlocksPerPage != 0;
    if (follows) {
      last->count++;
    } else {
      runs_.push_back({static_cast<uint8_t>(block), 1, source});
    }
  }
  return shared;
}

void FgbiEncoder::EmitWhole(std::span<const PageRef> pages, EncodedPages& record, Writer& out) {
  uint8_t* packed = record.coded.data() + kParts * kPartBytes;
  auto pack = [&](unsigned worker, size_t part) {
    for (size_t w = part * kPackPages; w < std::min((part + 1) * kPackPages, wholes_.size()); w++) {
      Whole& whole = wholes_[w];
      bool decided = whole.equal != PageCache::kNoKey || whole.stored != kNoStoreSlot || whole.assembled;
      if (decided || looks_[whole.page].kind == Look::Kind::kLeftAlone) continue;
      ByteSpan in{pages[whole.page].data, kPageBytes};
      whole.coded_bytes = static_cast<uint32_t>(
          compression_.Compress(workers_[worker]->deflater, wire::PageCode::kRaw, in, packed + w * kPackedBytes));
    }
  };
  if (options_.compressing()) ForParts((wholes_.size() + kPackPages - 1) / kPackPages, pack);

  for (size_t w = 0; w < wholes_.size(); w++) {
    const Whole& whole = wholes_[w];
    const PageRef& page = pages[whole.page];
    bool plain = false;
    if (whole.equal != PageCache::kNoKey) {
      figures_.same++;
      StoreLittle64(packed + w * kPackedBytes, whole.equal);
      out.Add(wire::PageCode::kSame, page.index, {packed + w * kPackedBytes, sizeof(uint64_t)});
    } else if (whole.stored != kNoStoreSlot) {
      figures_.shared++;
      StoreLittle32(packed + w * kPackedBytes, whole.stored);
      out.Add(wire::PageCode::kStored, page.index, {packed + w * kPackedBytes, sizeof(uint32_t)});
    } else {
      plain = whole.coded_bytes == 0;
      (plain ? figures_.raw : whole.assembled ? figures_.assembled : figures_.compressed)++;
      auto code = plain             ? wire::PageCode::kRaw
                  : whole.assembled ? wire::PageCode::kAssembled
                                    : wire::PageCode::kCompressed;
      ByteSpan payload =
          plain ? ByteSpan(page.data, kPageBytes) : ByteSpan(packed + w * kPackedBytes, whole.coded_bytes);
      if (whole.keep == kNoStoreSlot) {
        out.Add(code, page.index, payload);
      } else {
        out.AddKept(whole.keep, code, page.index, payload, record.coded.data() + kKeptHeadsAt + w * kKeptHeadBytes);
      }
    }
    if (whole.slot != PageCache::kNoSlot) cache_.StateOf(whole.slot).plain = plain;
  }
}

void FgbiEncoder::Store(uint32_t slot, const PageRef& page) {
  PageCache::State& state = cache_.StateOf(slot);
  if (state.content != PageCache::Content::kUnknown && options_.blocks() && ++state.fails >= kManyFails) {
    // It changes wholly each time: copying and comparing it is for nothing.
    state.content = PageCache::Content::kUnknown;
    state.skip =
        static_cast<uint8_t>(std::min<unsigned>(kMaxSkip, 1u << std::min<unsigned>(state.fails - kManyFails, 4)));
    state.worth = 0;
    return;
  }
  if (state.skip > 0) {
    state.skip--;
    state.content = PageCache::Content::kUnknown;
    return;
  }
  memcpy(cache_.Data(slot), page.data, kPageBytes);
  state.content = PageCache::Content::kCopy;
}

}  // namespace haven::memrep
