// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/fgbi_encoder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "core/assert.h"
#include "memrep/delta_layout.h"

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
/// Searches for an equal page that found none, after which only every 16th is made.
constexpr uint32_t kManyFruitless = 256;
constexpr size_t kEntryBytes = sizeof(uint64_t);
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

/// Puts entries and payload into an EncodedPages.
class FgbiEncoder::Writer {
 public:
  Writer(uint32_t region, size_t pages, EncodedPages& out) : out_(out) {
    out.head.resize(wire::kPagesHeadBytes + pages * kEntryBytes);
    out.payload.clear();
    // The worst case for every page: nothing may move while spans point to it.
    out.coded.resize(wire::kMaxPagesPerRecord * (uint64_t{kPageBytes} + kCompressedHeadBytes) + kDeltaSlackBytes);
    next_ = run_ = out.coded.data();
    StoreLittle64(out.head.data(), region);
  }

  /// Where the next coded payload goes: room for a page and kDeltaSlackBytes.
  uint8_t* next() { return next_; }

  void Coded(wire::PageCode code, uint64_t index, size_t bytes) {
    Entry(code, index);
    next_ += bytes;
  }
  void Whole(const PageRef& page) {
    Entry(wire::PageCode::kRaw, page.index);
    FlushRun();
    out_.payload.push_back({page.data, kPageBytes});
    bytes_ += kPageBytes;
  }
  void Finish() {
    FlushRun();
    out_.pages = pages_;
    out_.head.resize(wire::kPagesHeadBytes + pages_ * kEntryBytes);
    uint8_t count[8];
    StoreLittle64(count, pages_);
    memcpy(&out_.head[4], count, 4);
    out_.bytes = out_.head.size() + bytes_;
  }
  uint64_t payload_bytes() const { return bytes_ + static_cast<uint64_t>(next_ - run_); }

 private:
  void Entry(wire::PageCode code, uint64_t index) {
    StoreLittle64(&out_.head[wire::kPagesHeadBytes + pages_++ * kEntryBytes], MakePageKey(static_cast<uint32_t>(code), index));
  }
  void FlushRun() {
    if (next_ == run_) return;
    out_.payload.push_back({run_, next_});
    bytes_ += static_cast<uint64_t>(next_ - run_);
    run_ = next_;
  }

  EncodedPages& out_;
  uint8_t* next_;
  uint8_t* run_;
  uint32_t pages_ = 0;
  uint64_t bytes_ = 0;
};

void EncoderFigures::Add(const EncoderFigures& o) {
  pages += o.pages, unchanged += o.unchanged, zero += o.zero, run += o.run, delta += o.delta;
  sparse += o.sparse, same += o.same, compressed += o.compressed, raw += o.raw;
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
      compression_(options),
      zeros_(kPageBytes),
      packed_(kPageBytes + kCompressedHeadBytes) {
  HAVEN_ASSERT(options.block_bytes == 64 || options.block_bytes == 128 || options.block_bytes == 256);
}

FgbiEncoder::~FgbiEncoder() = default;

void FgbiEncoder::Reset() {
  cache_.Clear();
  index_.Clear();
}

EncoderFigures FgbiEncoder::TakeFigures() { return std::exchange(figures_, {}); }

void FgbiEncoder::Encode(uint32_t region, std::span<const PageRef> pages, EncodedPages& out) {
  HAVEN_ASSERT(!pages.empty() && pages.size() <= wire::kMaxPagesPerRecord);
  uint64_t start = SteadyNanoseconds();
  Writer writer(region, pages.size(), out);
  // Where the pages are in the cache is looked up some pages ahead, and what
  // is there fetched one page ahead.
  std::array<uint32_t, kLookAhead> slots;
  size_t looked_up = 0;
  auto look_up = [&](size_t until) {
    for (; looked_up < std::min(until, pages.size()); looked_up++) {
      slots[looked_up % kLookAhead] = options_.caching() ? cache_.Find(MakePageKey(region, pages[looked_up].index)) : PageCache::kNoSlot;
      if (!options_.caching()) continue;
      if (looked_up + 8 < pages.size()) cache_.Prefetch(MakePageKey(region, pages[looked_up + 8].index));
      uint32_t slot = slots[looked_up % kLookAhead];
      bool compared = slot != PageCache::kNoSlot && cache_.StateOf(slot).content != PageCache::Content::kUnknown;
      if (!compared) PrefetchSamples(pages[looked_up].data);
    }
  };
  for (size_t i = 0; i < pages.size(); i++) {
    look_up(i + kLookAhead);
    const PageRef& next = pages[std::min(i + 1, pages.size() - 1)];
    uint32_t next_slot = i + 1 < pages.size() ? slots[(i + 1) % kLookAhead] : PageCache::kNoSlot;
    Ahead ahead{next_slot != PageCache::kNoSlot ? cache_.Data(next_slot) : next.data, next.data};
    EncodePage(MakePageKey(region, pages[i].index), slots[i % kLookAhead], pages[i], ahead, writer);
  }
  writer.Finish();
  figures_.pages += pages.size();
  figures_.bytes += out.pages == 0 ? 0 : out.bytes;
  figures_.compress_ns += compression_.TakeNanoseconds();
  figures_.encode_ns += SteadyNanoseconds() - start;
}

void FgbiEncoder::EncodePage(PageKey key, uint32_t slot, const PageRef& page, const Ahead& ahead, Writer& out) {
  if (options_.caching()) {
    // Since it was looked up, a page before may have taken its place, or the
    // same page may have come before and got one.
    if (slot == PageCache::kNoSlot || cache_.KeyOf(slot) != key) slot = cache_.Find(key);
    if (slot == PageCache::kNoSlot) {
      figures_.cache_misses++;
      slot = cache_.Admit(key);
    } else {
      figures_.cache_hits++;
      if (options_.blocks() && EncodeChange(slot, page, ahead, out)) return;
    }
  }
  EncodeWhole(slot, key, page, out);
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

bool FgbiEncoder::EncodeChange(uint32_t slot, const PageRef& page, const Ahead& ahead, Writer& out) {
  PageCache::State& state = cache_.StateOf(slot);
  if (state.content == PageCache::Content::kUnknown) return false;
  PageDiff diff;
  const uint8_t* base = BaseOf(slot);
  kernels_.compare(base, page.data, ahead, diff);
  uint64_t changed = diff.changed;
  if (changed == 0) {
    figures_.unchanged++;
    return true;
  }
  auto blocks = static_cast<uint64_t>(std::popcount(changed));
  figures_.changed_blocks += blocks;
  if (options_.whole_blocks || options_.block_bytes != kBlockBytes) WidenBlocks(diff);
  memrep::Coded coded = kernels_.encode(page.data, diff, ahead, out.next(), kMaxChangeBytes);
  if (coded.kind == memrep::Coded::Kind::kNone) return false;

  figures_.bytes_after_blocks += coded.bytes;
  figures_.bytes_after_sharing += coded.bytes;
  auto code = coded.kind == memrep::Coded::Kind::kRun ? wire::PageCode::kRun : wire::PageCode::kDelta;
  (code == wire::PageCode::kRun ? figures_.run : figures_.delta)++;
  if (base == zeros_.data()) memset(cache_.Data(slot), 0, kPageBytes);
  kernels_.copy_blocks(page.data, changed, cache_.Data(slot));
  state.content = PageCache::Content::kCopy;
  state.fails = 0;
  state.worth = static_cast<uint8_t>(std::min<int>(state.worth + 1, kMaxWorth));
  EmitChange(code, page.index, coded.bytes, out);
  return true;
}

void FgbiEncoder::EmitChange(wire::PageCode code, uint64_t index, size_t bytes, Writer& out) {
  // A run is not compressed: it is either short or was not worth a delta.
  if (options_.compressing() && code != wire::PageCode::kRun) {
    size_t packed = compression_.Compress(code, {out.next(), bytes}, packed_.data());
    if (packed != 0) {
      figures_.compressed++;
      memcpy(out.next(), packed_.data(), packed);
      code = wire::PageCode::kCompressed;
      bytes = packed;
    }
  }
  out.Coded(code, index, bytes);
}

void FgbiEncoder::EncodeWhole(uint32_t slot, PageKey key, const PageRef& page, Writer& out) {
  if (IsZeroPage(page.data)) {
    figures_.zero++;
    if (slot != PageCache::kNoSlot) cache_.StateOf(slot).content = PageCache::Content::kZero;
    out.Coded(wire::PageCode::kZero, page.index, 0);
    return;
  }
  if (options_.blocks() && EncodeSparse(slot, page, out)) return;
  figures_.bytes_after_blocks += kPageBytes;
  bool search = options_.sharing() && (fruitless_ < kManyFruitless || fruitless_ % 16 == 0);
  uint64_t hash = search ? hash_(page.data) : 0;
  if (options_.sharing()) fruitless_++;
  if (search && EncodeSame(key, page, hash, out)) {
    if (slot != PageCache::kNoSlot) Store(slot, page);
    return;
  }
  figures_.bytes_after_sharing += kPageBytes;
  if (slot != PageCache::kNoSlot) {
    Store(slot, page);
    if (search && cache_.StateOf(slot).content == PageCache::Content::kCopy) index_.Put(hash, slot);
  }
  if (options_.compressing()) {
    size_t bytes = compression_.Compress(wire::PageCode::kRaw, {page.data, kPageBytes}, out.next());
    if (bytes != 0) {
      figures_.compressed++;
      out.Coded(wire::PageCode::kCompressed, page.index, bytes);
      return;
    }
  }
  figures_.raw++;
  out.Whole(page);
}

bool FgbiEncoder::EncodeSparse(uint32_t slot, const PageRef& page, Writer& out) {
  if (!LooksSparse(page.data)) return false;
  PageDiff diff;
  kernels_.compare(zeros_.data(), page.data, {zeros_.data(), page.data}, diff);
  if (options_.whole_blocks || options_.block_bytes != kBlockBytes) WidenBlocks(diff);
  // A run would be applied to what is there: what is sparse is always a delta.
  memrep::Coded coded = kernels_.encode(page.data, diff, {page.data, page.data}, out.next(), kPageBytes / 2);
  if (coded.kind != memrep::Coded::Kind::kDelta) return false;
  figures_.sparse++;
  figures_.bytes_after_blocks += coded.bytes;
  figures_.bytes_after_sharing += coded.bytes;
  EmitChange(wire::PageCode::kSparse, page.index, coded.bytes, out);
  if (slot != PageCache::kNoSlot) Store(slot, page);
  return true;
}

bool FgbiEncoder::EncodeSame(PageKey key, const PageRef& page, uint64_t hash, Writer& out) {
  uint32_t candidate = index_.Find(hash);
  if (candidate == PageCache::kNoSlot) return false;
  PageKey other = cache_.KeyOf(candidate);
  if (other == key || cache_.StateOf(candidate).content != PageCache::Content::kCopy) return false;
  if (memcmp(cache_.Data(candidate), page.data, kPageBytes) != 0) return false;
  fruitless_ = 0;
  figures_.same++;
  figures_.bytes_after_sharing += sizeof(uint64_t);
  StoreLittle64(out.next(), other);
  out.Coded(wire::PageCode::kSame, page.index, sizeof(uint64_t));
  return true;
}

void FgbiEncoder::Store(uint32_t slot, const PageRef& page) {
  PageCache::State& state = cache_.StateOf(slot);
  if (state.content != PageCache::Content::kUnknown && options_.blocks() && ++state.fails >= kManyFails) {
    // It changes wholly each time: copying and comparing it is for nothing.
    state.content = PageCache::Content::kUnknown;
    state.skip = static_cast<uint8_t>(std::min<unsigned>(kMaxSkip, 1u << std::min<unsigned>(state.fails - kManyFails, 4)));
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
