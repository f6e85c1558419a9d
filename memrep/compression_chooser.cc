// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <bit>
#include <ctime>
#include <utility>

#include "core/assert.h"
#include "memrep/compression.h"

namespace haven::memrep {
namespace {

constexpr wire::Compression kMethodOf[] = {wire::Compression::kLz4, wire::Compression::kZstd, wire::Compression::kZlib};
/// Shorter than this, nothing is compressed: the heads would eat what it saves.
constexpr size_t kFewBytes = 256;
/// How much a new measurement counts; more where nothing is measured between retries.
constexpr double kWeight = 1.0 / 16;
constexpr double kRetryWeight = 1.0 / 4;
constexpr double kOutlier = 4;
/// One page in so many is given to another method, to see whether it does better by now.
constexpr uint32_t kProbeEvery = 64;
/// ... and of content that looks random.
constexpr uint32_t kProbeHopelessEvery = 1024;
/// Once in so many epochs what did not pay is tried again, on a few of the first pages: a processor that
/// was busy for a moment must not end compression for long. (The first page finds its caches cold.)
constexpr uint32_t kRetryEpochs = 8;
constexpr int kRetries = 8;
constexpr int kLooks = 32;
/// Unused budget is kept for a burst of this long.
constexpr int64_t kMaxBudgetNs = 200'000'000;

}  // namespace

uint64_t SteadyNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t CpuNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec);
}

CompressionChooser::CompressionChooser(const EncoderOptions& options)
    : choice_(options.compression),
      fixed_rate_(options.link_bytes_per_second),
      cpu_percent_(options.cpu_percent),
      now_ns_(options.now_ns != nullptr ? options.now_ns : SteadyNanoseconds),
      cpu_ns_(options.now_ns != nullptr ? options.now_ns : CpuNanoseconds) {
  if (fixed_rate_ != 0) link_ns_per_byte_ = 1e9 / static_cast<double>(fixed_rate_);
  // Where to begin: what these methods take on processors of today. Corrected
  // by the first measurements.
  constexpr Experience kBegin[kMethods] = {{1.2, 0.5}, {3.0, 0.4}, {12.0, 0.4}};
  for (size_t c = 0; c < kClasses; c++) {
    for (size_t m = 0; m < kMethods; m++) {
      experience_[c][m] = kBegin[m];
      experience_[c][m].bytes = std::min(1.0, kBegin[m].bytes * (1.0 + 0.5 * static_cast<double>(c)));
    }
  }
  ChooseAll();
  last_tick_ns_ = now_ns_();
  budget_ns_ = kMaxBudgetNs * cpu_percent_ / 100;
}

void CompressionChooser::SetLinkRate(uint64_t bytes_per_second) {
  if (fixed_rate_ != 0) return;
  std::lock_guard lock(mutex_);
  link_ns_per_byte_ = bytes_per_second == 0 ? 0 : 1e9 / static_cast<double>(bytes_per_second);
  ChooseAll();
}

void CompressionChooser::Tick() {
  uint64_t now = now_ns_();
  std::lock_guard lock(mutex_);
  int64_t earned = static_cast<int64_t>(now - last_tick_ns_) * cpu_percent_ / 100;
  budget_ns_ += std::min(earned, kMaxBudgetNs - budget_ns_);
  last_tick_ns_ = now;
  if (++epochs_ % kRetryEpochs != 0) return;
  retries_left_.fill(kRetries);
  looks_left_ = kLooks;
}

uint64_t CompressionChooser::TakeNanoseconds() {
  std::lock_guard lock(mutex_);
  return std::exchange(spent_ns_, 0);
}

size_t CompressionChooser::ClassOf(ByteSpan in) {
  // How many different octets 128 samples have: of random ones 101 on average
  // and hardly ever less than 88, of text about 25.
  uint64_t seen[4] = {};
  size_t step = in.size() / 128;
  for (size_t i = 0; i < 128; i++) {
    uint8_t octet = in[i * step + (i & 1)];
    seen[octet >> 6] |= uint64_t{1} << (octet & 63);
  }
  int different = std::popcount(seen[0]) + std::popcount(seen[1]) + std::popcount(seen[2]) + std::popcount(seen[3]);
  return different < 24 ? 0 : different < 48 ? 1 : different < 84 ? 2 : 3;
}

void CompressionChooser::ChooseAll() {
  bool any = false;
  for (size_t c = 0; c < kClasses; c++) {
    size_t nearest = Nearest(c);
    bool pays = c != kRandom && NanosecondsPerByte(experience_[c][nearest]) < link_ns_per_byte_;
    best_[c] = pays ? static_cast<int>(nearest) : -1;
    any |= best_[c] >= 0;
  }
  any_pays_ = any;
}

size_t CompressionChooser::Nearest(size_t c) const {
  size_t best = 0;
  for (size_t m = 1; m < kMethods; m++) {
    if (NanosecondsPerByte(experience_[c][m]) < NanosecondsPerByte(experience_[c][best])) best = m;
  }
  return best;
}

size_t CompressionChooser::Compress(Deflater& deflater, wire::PageCode code, ByteSpan in, uint8_t* out) {
  if (in.size() < kFewBytes) return 0;
  switch (choice_) {
    case CompressionChoice::kLz4Only: return Try(deflater, 0, 0, code, in, out);
    case CompressionChoice::kZstdOnly: return Try(deflater, 1, 0, code, in, out);
    case CompressionChoice::kZlibOnly: return Try(deflater, 2, 0, code, in, out);
    case CompressionChoice::kAdaptive: break;
  }
  size_t c = 0;
  auto method = MethodFor(in, c);
  return method ? Try(deflater, *method, c, code, in, out) : 0;
}

std::optional<size_t> CompressionChooser::MethodFor(ByteSpan in, size_t& c) {
  if (budget_ns_.load(std::memory_order_relaxed) <= 0) return std::nullopt;
  // One measurement must not shut out what was left alone for ever: content,
  // the link and the processor's load change.
  uint32_t turn = turns_.fetch_add(1, std::memory_order_relaxed) + 1;
  bool probe = turn % kProbeHopelessEvery == 0;
  bool look =
      looks_left_.load(std::memory_order_relaxed) > 0 && looks_left_.fetch_sub(1, std::memory_order_relaxed) > 0;
  if (!any_pays_.load(std::memory_order_relaxed) && !probe && !look) return std::nullopt;
  c = ClassOf(in);
  std::lock_guard lock(mutex_);
  if (link_ns_per_byte_ == 0) return std::nullopt;
  int method = best_[c];
  if (method < 0 && c != kRandom && retries_left_[c] > 0) {
    retries_left_[c]--;
    return Nearest(c);
  }
  if (method < 0 && !probe) return std::nullopt;
  if (method < 0 || turn % kProbeEvery == 0) method = static_cast<int>(next_probe_++ % kMethods);
  return static_cast<size_t>(method);
}

size_t CompressionChooser::Try(Deflater& deflater, size_t method, size_t c, wire::PageCode code, ByteSpan in,
                               uint8_t* out) {
  uint64_t start = cpu_ns_();  // not the time in which another thread ran
  size_t limit = in.size() - in.size() / 16 - kCompressedHeadBytes;
  size_t bytes = deflater.Compress(kMethodOf[method], in, out + kCompressedHeadBytes, limit);
  Learn(method, c, in.size(), bytes != 0 ? bytes + kCompressedHeadBytes : in.size(), cpu_ns_() - start);
  if (bytes == 0) return 0;
  out[0] = static_cast<uint8_t>(kMethodOf[method]);
  out[1] = static_cast<uint8_t>(code);
  out[2] = static_cast<uint8_t>(in.size());
  out[3] = static_cast<uint8_t>(in.size() >> 8);
  out[4] = static_cast<uint8_t>(bytes);
  out[5] = static_cast<uint8_t>(bytes >> 8);
  return kCompressedHeadBytes + bytes;
}

void CompressionChooser::Learn(size_t method, size_t c, size_t in_bytes, size_t out_bytes, uint64_t took_ns) {
  budget_ns_ -= static_cast<int64_t>(took_ns);
  auto size = static_cast<double>(in_bytes);
  std::lock_guard lock(mutex_);
  spent_ns_ += took_ns;
  Experience& e = experience_[c][method];
  double weight = best_[c] < 0 ? kRetryWeight : kWeight;
  // One page that took far too long says nothing of the method.
  e.ns += (std::min(static_cast<double>(took_ns) / size, kOutlier * e.ns) - e.ns) * weight;
  e.bytes += (static_cast<double>(out_bytes) / size - e.bytes) * weight;
  ChooseAll();
}

}  // namespace haven::memrep
