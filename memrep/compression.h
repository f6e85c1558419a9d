/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_COMPRESSION_H
#define HAVEN_MEMREP_COMPRESSION_H

#include <array>
#include <atomic>
#include <memory>
#include <optional>

#include "core/threads.h"
#include "core/wire.h"
#include "memrep/encoder_options.h"

namespace haven::memrep {

/// kCompressed: u8 wire::Compression, u8 wire::PageCode of the content, u16
/// octets of the content, u16 octets that follow.
constexpr size_t kCompressedHeadBytes = 6;

/// The compressors' state, kept from page to page. One thread.
class Deflater {
 public:
  Deflater();
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  /// @return the octets written to `out`, 0 if they would be more than `limit`.
  size_t Compress(wire::Compression method, ByteSpan in, uint8_t* out, size_t limit);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The opposite. One thread.
class Inflater {
 public:
  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// @param in  untrusted. @return whether it is exactly `bytes` octets, written to `out`.
  bool Decompress(wire::Compression method, ByteSpan in, uint8_t* out, size_t bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Decides for each page whether compressing it is worth the time, and how.
class CompressionChooser {
 public:
  explicit CompressionChooser(const EncoderOptions& options);

  /// Any thread. Puts a whole kCompressed payload at `out` if it travels sooner than `in`
  /// does by itself: what compressing takes, and what the link takes, as they
  /// were measured on pages like it.
  /// @param deflater  the calling thread's.
  /// @param code  what `in` is.
  /// @param out   room for in.size() + kCompressedHeadBytes.
  /// @return its octets; 0: let `in` travel.
  size_t Compress(Deflater& deflater, wire::PageCode code, ByteSpan in, uint8_t* out);

  /// What the link carries, as measured; 0: unknown, nothing is compressed.
  /// Means nothing when the options name a rate.
  void SetLinkRate(uint64_t bytes_per_second);
  /// Time passes: the budget grows.
  void Tick();
  uint64_t TakeNanoseconds();

 private:
  static constexpr size_t kMethods = 3;
  static constexpr size_t kClasses = 4;
  static constexpr size_t kRandom = kClasses - 1;  ///< content of this class is left alone

  /// What a method has cost, on one class of content, per octet of it.
  struct Experience {
    double ns = 0;     ///< it takes
    double bytes = 1;  ///< it leaves
  };

  /// 0 (few different octets) .. kRandom.
  static size_t ClassOf(ByteSpan in);
  /// The method by which content of a class travels soonest.
  size_t Nearest(size_t content_class) const;
  double NanosecondsPerByte(const Experience& experience) const {
    return experience.ns + experience.bytes * link_ns_per_byte_;
  }
  void ChooseAll();
  std::optional<size_t> MethodFor(ByteSpan in, size_t& content_class);
  size_t Try(Deflater& deflater, size_t method, size_t content_class, wire::PageCode code, ByteSpan in, uint8_t* out);
  void Learn(size_t method, size_t content_class, size_t in_bytes, size_t out_bytes, uint64_t took_ns);

  const CompressionChoice choice_;
  const uint64_t fixed_rate_;
  const uint32_t cpu_percent_;
  uint64_t (*const now_ns_)();
  uint64_t (*const cpu_ns_)();

  // Looked at without the lock, for pages that are left alone.
  std::atomic<bool> any_pays_{false};
  std::atomic<uint32_t> turns_{0};
  std::atomic<int64_t> budget_ns_{0};
  std::atomic<int> looks_left_{0};  ///< pages to look at though nothing pays

  Mutex mutex_;  ///< guards what follows
  double link_ns_per_byte_ = 0;
  std::array<std::array<Experience, kMethods>, kClasses> experience_;
  std::array<int, kClasses> best_{};          ///< method, -1: as it is
  std::array<int, kClasses> retries_left_{};  ///< of content whose compression did not pay
  uint32_t epochs_ = 0;
  uint32_t next_probe_ = 0;
  uint64_t last_tick_ns_ = 0;
  uint64_t spent_ns_ = 0;
};

uint64_t SteadyNanoseconds();
/// Of the calling thread.
uint64_t CpuNanoseconds();

}  // namespace haven::memrep

#endif
