// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/fgbi_encoder.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/assert.h"
#include "memrep/coded_room.h"
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
  ended_.clear();
  committed_.clear();
}

void FgbiEncoder::EndEpoch() {
  compression_.Tick();
  ended_.push_back(std::exchange(published_, {}));
}

void FgbiEncoder::Committed() {
  HAVEN_ASSERT(!ended_.empty());
  for (const Published& page : committed_) options_.shared->MakeKnown(page.slot, page.hash);
  committed_ = std::move(ended_.front());
  ended_.pop_front();
}

EncoderFigures FgbiEncoder::TakeFigures() { return std::exchange(figures_, {}); }

void FgbiEncoder::ForParts(size_t parts, const std::function<void(unsigned, size_t)>& work) {
  if (options_.workers != nullptr) return options_.workers->Run(parts, work);
  for (size_t part = 0; part < parts; part++) work(0, part);
}

void FgbiEncoder::Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) {
  HAVEN_ASSERT(!pages.empty() && pages.size() <= wire::kMaxPagesPerRecord);
  uint64_t start = SteadyNanoseconds();
  MakeRoom(out, options_.sharing_with_others());
  Writer writer(region, pages.size(), out);
  looks_.assign(pages.size(), {});
  ForParts((pages.size() + kPartPages - 1) / kPartPages, [&](unsigned worker, size_t part) {
    LookAtPart(region, pages, part, *workers_[worker], PartRoom(out, part));
  });
  EmitAlone(region, pages, writer);
  DecideWhole(region, pages, out);
  if (options_.compressing()) CompressWhole(pages, out);
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
