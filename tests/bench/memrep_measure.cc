// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/bench/memrep_measure.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <x86intrin.h>
#include <zlib.h>

#include "core/assert.h"
#include "core/crc32c.h"
#include "memrep/fgbi_encoder.h"
#include "memrep/worker_pool.h"

extern "C" {
#include "xbzrle.h"
}

namespace haven::bench {
namespace {

using memrep::EncodedPages;
using memrep::FgbiEncoder;
using memrep::PageRef;

constexpr uint64_t kZlibPages = 256;  // it is too slow for all of them
/// What QEMU puts before an XBZRLE page: the address with flags, a flag, the length.
constexpr uint64_t kXbzrleHeadBytes = 8 + 1 + 2;
constexpr uint64_t kQemuPageHeadBytes = 8;

constexpr uint64_t kBatch = wire::kMaxPagesPerRecord;

/// The time that something takes for all pages: the best that was seen of each
/// batch, so that a batch in which something else ran does not count.
class Best {
 public:
  explicit Best(uint64_t pages) : pages_(pages), ns_((pages + kBatch - 1) / kBatch, ~uint64_t{0}) {}

  void Keep(uint64_t first_page, uint64_t ns) {
    uint64_t& best = ns_[first_page / kBatch];
    best = std::min(best, ns);
  }
  /// Calls per_page for each page.
  template <typename F>
  void Time(F&& per_page) {
    for (uint64_t first = 0; first < pages_; first += kBatch) {
      uint64_t end = std::min(first + kBatch, pages_);
      uint64_t start = memrep::SteadyNanoseconds();
      for (uint64_t i = first; i < end; i++) per_page(i);
      Keep(first, memrep::SteadyNanoseconds() - start);
    }
  }
  void Forget() { std::fill(ns_.begin(), ns_.end(), ~uint64_t{0}); }
  double per_page() const {
    return static_cast<double>(std::accumulate(ns_.begin(), ns_.end(), uint64_t{0})) / static_cast<double>(pages_);
  }

 private:
  const uint64_t pages_;
  std::vector<uint64_t> ns_;
};

template <typename F>
void ForEachRecord(std::span<const PageRef> refs, F&& fn) {
  for (size_t first = 0; first < refs.size(); first += kBatch)
    fn(first, refs.subspan(first, std::min(refs.size() - first, kBatch)));
}

/// One load with all that is measured on it.
class Bench {
 public:
  Bench(const Load& load, const memrep::EncoderOptions& options)
      : pages_(load),
        copy_(load.pages * kPageBytes),
        xbzrle_cache_(load.pages * kPageBytes),
        output_(wire::kMaxBodyBytes),
        image_pages_(load.guest_bytes / kPageBytes),
        options_(options),
        image_(load.pages * kPageBytes),
        place_of_(image_pages_),
        memcpy_(load.pages),
        memcmp_(load.pages),
        identify_(load.pages),
        identify_equal_(load.pages),
        xbzrle_(load.pages),
        xbzrle_cached_(load.pages),
        encode_(load.pages),
        encode_two_(load.pages),
        raw_send_(load.pages),
        send_(load.pages),
        decode_(load.pages),
        encode_before_decode_(load.pages) {
    for (int v = 0; v < 2; v++) refs_[v] = pages_.Refs(v);
    for (uint64_t i = 0; i < pages_.count(); i++) memcpy(copy_.data() + i * kPageBytes, pages_.page(0, i), kPageBytes);
    for (auto* encoder : {&encoder_, &send_encoder_}) *encoder = std::make_unique<FgbiEncoder>(options_);
    memrep::EncoderOptions two = options_;
    two.workers = &two_workers_;
    two_encoder_ = std::make_unique<FgbiEncoder>(two);
    for (uint64_t i = 0; i < pages_.count(); i++) place_of_[refs_[0][i].index] = static_cast<uint32_t>(i);
  }

  Measured Run(unsigned rounds) {
    // The first rounds fill the caches, and let the encoder learn. Each contender runs
    // to the new pages and back before the next one: it finds in the processor's caches
    // what it left there itself, whatever the others need.
    constexpr unsigned kWarmUp = 2;
    for (unsigned round = 0; round < rounds + kWarmUp; round++) {
      if (round == kWarmUp) ForgetTimes();
      for (auto contender :
           {&Bench::Limits, &Bench::Xbzrle, &Bench::Encode, &Bench::EncodeOnTwoThreads, &Bench::Send}) {
        for (int to : {1, 0}) {
          to_ = to;
          (this->*contender)();
        }
      }
      if (round == kWarmUp) Zlib();
    }
    out_.changed_block_bytes = pages_.changed_blocks() * memrep::kBlockBytes;
    out_.memcpy_ns = memcpy_.per_page();
    out_.memcmp_ns = memcmp_.per_page();
    out_.identify_ns = identify_.per_page();
    out_.identify_equal_ns = identify_equal_.per_page();
    out_.xbzrle_ns = xbzrle_.per_page();
    out_.xbzrle_cached_ns = xbzrle_cached_.per_page();
    out_.encode_ns = encode_.per_page();
    out_.encode_two_ns = encode_two_.per_page();
    out_.raw_send_ns = raw_send_.per_page();
    out_.send_ns = send_.per_page();
    out_.decode_ns = decode_.per_page();
    out_.encode_before_decode_ns = encode_before_decode_.per_page();
    return out_;
  }

 private:
  uint64_t count() const { return pages_.count(); }

  void ForgetTimes() {
    for (Best* best : {&memcpy_, &memcmp_, &identify_, &identify_equal_, &xbzrle_, &xbzrle_cached_, &encode_,
                       &encode_two_, &raw_send_, &send_, &decode_, &encode_before_decode_}) {
      best->Forget();
    }
    out_ = {};
  }

  void Limits() {
    memcpy_.Time([&](uint64_t i) { memcpy(xbzrle_cache_.data() + i * kPageBytes, pages_.page(to_, i), kPageBytes); });
    int differ = 0;
    memcmp_.Time(
        [&](uint64_t i) { differ += memcmp(pages_.page(0, i), copy_.data() + i * kPageBytes, kPageBytes) != 0; });
    HAVEN_ASSERT(differ == 0);
    const memrep::DeltaKernels& kernels = memrep::BestKernels();
    memrep::PageDiff diff;
    auto compare = [&](uint8_t* a, uint8_t* b) {
      kernels.compare(a, b, {}, diff);
      asm volatile("" : : "r"(&diff) : "memory");
    };
    identify_equal_.Time([&](uint64_t i) { compare(pages_.page(0, i), copy_.data() + i * kPageBytes); });
    identify_.Time([&](uint64_t i) { compare(pages_.page(1 - to_, i), pages_.page(to_, i)); });
  }

  void Xbzrle() {
    uint64_t bytes = 0;
    auto encode = [&](uint64_t i, uint8_t* old) {
      uint8_t* dst = output_.data() + i % kBatch * kPageBytes;
      int n = xbzrle_encode_buffer(old, pages_.page(to_, i), kPageBytes, dst, kPageBytes);
      bytes += n < 0 ? kQemuPageHeadBytes + kPageBytes : n == 0 ? 0 : kXbzrleHeadBytes + static_cast<uint64_t>(n);
      return n;
    };
    xbzrle_.Time([&](uint64_t i) { encode(i, pages_.page(1 - to_, i)); });
    // As QEMU uses it: looks for zero pages before, and keeps its cache.
    bytes = 0;
    xbzrle_cached_.Time([&](uint64_t i) {
      uint8_t* old = xbzrle_cache_.data() + i * kPageBytes;
      if (memrep::IsZeroPage(pages_.page(to_, i))) {
        bytes += kQemuPageHeadBytes + 1;
        memset(old, 0, kPageBytes);
      } else if (encode(i, old) != 0) {
        memcpy(old, pages_.page(to_, i), kPageBytes);
      }
    });
    out_.xbzrle_bytes = bytes;
  }

  void Encode() {
    uint64_t bytes = 0;
    encoder_->TakeFigures();
    ForEachRecord(refs_[to_], [&](uint64_t first, auto batch) {
      uint64_t start = memrep::SteadyNanoseconds();
      encoder_->Encode(0, batch, encoded_);
      encode_.Keep(first, memrep::SteadyNanoseconds() - start);
      if (encoded_.pages != 0) bytes += wire::kHeaderBytes + encoded_.bytes;
    });
    encoder_->EndEpoch();
    encoder_->Committed();
    out_.bytes = bytes;
    out_.figures = encoder_->TakeFigures();
  }

  void EncodeOnTwoThreads() {
    ForEachRecord(refs_[to_], [&](uint64_t first, auto batch) {
      uint64_t start = memrep::SteadyNanoseconds();
      two_encoder_->Encode(0, batch, encoded_);
      encode_two_.Keep(first, memrep::SteadyNanoseconds() - start);
    });
    two_encoder_->EndEpoch();
    two_encoder_->Committed();
  }

  /// What the connection does to a record: checksum, then copy to the kernel.
  size_t Emit(const EncodedPages& record) {
    uint32_t crc = Crc32c(record.head, 0);
    for (ByteSpan part : record.payload) crc = Crc32c(part, crc);
    uint8_t* to = output_.data();
    memcpy(to, record.head.data(), record.head.size());
    to += record.head.size();
    for (ByteSpan part : record.payload) {
      memcpy(to, part.data(), part.size());
      to += part.size();
    }
    asm volatile("" : : "r"(crc) : "memory");
    return static_cast<size_t>(to - output_.data());
  }

  void Send() {
    memrep::RawPageEncoder raw;
    ForEachRecord(refs_[to_], [&](uint64_t first, auto batch) {
      uint64_t start = memrep::SteadyNanoseconds();
      raw.Encode(0, batch, encoded_);
      Emit(encoded_);
      raw_send_.Keep(first, memrep::SteadyNanoseconds() - start);
    });
    memrep::PageDecoder decoder({image_pages_});
    ForEachRecord(refs_[to_], [&](uint64_t first, auto batch) {
      uint64_t start = memrep::SteadyNanoseconds();
      send_encoder_->Encode(0, batch, encoded_);
      uint64_t encoded = memrep::SteadyNanoseconds();
      size_t bytes = Emit(encoded_);
      uint64_t sent = memrep::SteadyNanoseconds();
      if (encoded_.pages != 0) Decode(decoder, {output_.data(), bytes});
      decode_.Keep(first, memrep::SteadyNanoseconds() - sent);
      encode_before_decode_.Keep(first, encoded - start);
      send_.Keep(first, sent - start);
    });
    send_encoder_->EndEpoch();
    send_encoder_->Committed();
    for (uint64_t i = 0; i < count(); i++) {
      HAVEN_ASSERT(memcmp(image_.data() + i * kPageBytes, pages_.page(to_, i), kPageBytes) == 0);
    }
  }

  void Decode(memrep::PageDecoder& decoder, ByteSpan body) {
    Status status = decoder.Decode(body, decoded_);
    HAVEN_ASSERT(status.ok());
    uint8_t* regions[] = {image_.data()};
    for (const auto& page : decoded_.pages) {
      memrep::ApplyPage(page, regions, image_.data() + place_of_[page.index] * kPageBytes);
    }
  }

  void Zlib() {
    uint64_t n = std::min(count(), kZlibPages);
    uint64_t bytes = 0;
    memrep::Deflater deflater;
    Best best(n);
    best.Time([&](uint64_t i) {
      size_t packed =
          deflater.Compress(wire::Compression::kZlib, {pages_.page(to_, i), kPageBytes}, output_.data(), kPageBytes);
      bytes += 8 + (packed != 0 ? packed : kPageBytes);
    });
    out_.zlib_ns = best.per_page();
    out_.zlib_bytes = bytes * count() / n;
  }

  DirtyPages pages_;
  Arena copy_;
  Arena xbzrle_cache_;
  Bytes output_;
  const uint64_t image_pages_;
  const memrep::EncoderOptions options_;
  std::vector<PageRef> refs_[2];
  memrep::WorkerPool two_workers_{2};
  std::unique_ptr<FgbiEncoder> encoder_, send_encoder_, two_encoder_;
  EncodedPages encoded_;
  memrep::DecodedRecord decoded_;
  Arena image_;  ///< without the pages that are never dirty
  std::vector<uint32_t> place_of_;
  Best memcpy_, memcmp_, identify_, identify_equal_, xbzrle_, xbzrle_cached_, encode_, encode_two_, raw_send_, send_,
      decode_, encode_before_decode_;
  int to_ = 0;
  Measured out_;
};

}  // namespace

Measured Measure(const Load& load, const memrep::EncoderOptions& options, unsigned rounds) {
  return std::make_unique<Bench>(load, options)->Run(rounds);
}

StageCycles MeasureStages(const Load& load, const memrep::EncoderOptions& options, unsigned rounds) {
  DirtyPages pages(load);
  std::vector<PageRef> refs[2] = {pages.Refs(0), pages.Refs(1)};
  memrep::PageCache cache(options.cache_bytes);
  FgbiEncoder encoder(options);
  const memrep::DeltaKernels& kernels = memrep::BestKernels();
  std::vector<uint32_t> slots;
  for (const PageRef& ref : refs[0]) {
    slots.push_back(cache.Admit(ref.index));
    HAVEN_ASSERT(slots.back() != memrep::PageCache::kNoSlot);
  }
  std::vector<memrep::PageDiff> diffs(pages.count());
  Bytes coded(wire::kMaxBodyBytes);
  EncodedPages encoded;
  Best lookup(pages.count()), compare(pages.count()), code(pages.count()), update(pages.count()), all(pages.count());
  uint64_t begin_ns = memrep::SteadyNanoseconds();
  uint64_t begin_cycles = __rdtsc();
  for (unsigned round = 0; round < rounds + 4; round++) {
    if (round == 4) {
      for (Best* best : {&lookup, &compare, &code, &update, &all}) best->Forget();
    }
    const auto& now = refs[round & 1];
    lookup.Time([&](uint64_t i) {
      cache.Prefetch(now[std::min<size_t>(i + 8, now.size() - 1)].index);
      slots[i] = cache.Find(now[i].index);
    });
    compare.Time([&](uint64_t i) { kernels.compare(cache.Data(slots[i]), now[i].data, {}, diffs[i]); });
    code.Time([&](uint64_t i) {
      if (diffs[i].changed == 0) return;
      (void)kernels.encode(now[i].data, diffs[i], {}, coded.data() + i % 512 * (kPageBytes + 64), kPageBytes * 7 / 8);
    });
    update.Time([&](uint64_t i) { kernels.copy_blocks(now[i].data, diffs[i].changed, cache.Data(slots[i])); });
    ForEachRecord(now, [&](uint64_t first, auto batch) {
      uint64_t start = memrep::SteadyNanoseconds();
      encoder.Encode(0, batch, encoded);
      all.Keep(first, memrep::SteadyNanoseconds() - start);
    });
  }
  double cycles_per_ns =
      static_cast<double>(__rdtsc() - begin_cycles) / static_cast<double>(memrep::SteadyNanoseconds() - begin_ns);
  return {lookup.per_page() * cycles_per_ns, compare.per_page() * cycles_per_ns, code.per_page() * cycles_per_ns,
          update.per_page() * cycles_per_ns, all.per_page() * cycles_per_ns};
}

}  // namespace haven::bench
