/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_NETREP_OUTPUT_BUFFER_H
#define HAVEN_NETREP_OUTPUT_BUFFER_H

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <sys/uio.h>

#include "core/clock.h"
#include "core/epoch.h"

namespace haven::netrep {

/// A frame of the guest, of any ethertype, on its way out.
struct Frame {
  void* nic;       ///< the device model's; handed back as it came
  unsigned flags;  ///< the device model's; handed back as they came
  std::unique_ptr<uint8_t[]> data;
  size_t bytes;
  Epoch epoch;
  Instant held_since;
};

/// Holds what the guest sends until the epoch that produced it is committed.
/// Callers serialise (the device model's main thread).
class OutputBuffer {
 public:
  using Sink = std::function<void(const Frame&)>;

  /// @param limit_bytes  of memory for held frames; what does not fit is
  ///                     dropped, as a full queue of a network card does.
  explicit OutputBuffer(uint64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  /// @return false if the frame had to be dropped.
  bool Hold(void* nic, unsigned flags, const iovec* iov, int iov_count, Instant now);

  /// Closes the current epoch: frames from now on belong to the next.
  /// @return the epoch that was closed.
  Epoch Cut() { return current_++; }

  /// Hands the frames of all epochs up to `committed` to the sink, in order.
  void Release(Epoch committed, const Sink& sink);

  /// Hands out everything, committed or not: only for a guest that is not
  /// protected any more.
  void ReleaseAll(const Sink& sink);

  /// Starts over with epoch `current`; what is still held becomes part of it.
  void Restart(Epoch current);

  bool empty() const { return frames_.empty(); }
  /// Whether a frame of the current epoch is held.
  bool waits() const { return !frames_.empty() && frames_.back().epoch == current_; }
  Epoch current() const { return current_; }
  uint64_t held() const { return frames_.size(); }
  /// The memory that held frames take: also frames of no octets come to their limit.
  uint64_t held_bytes() const { return held_bytes_; }
  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t released() const { return released_; }
  uint64_t dropped() const { return dropped_; }
  /// Age of the oldest held frame, 0 if there is none.
  microseconds Lag(Instant now) const;

 private:
  void SendFront(const Sink& sink);

  const uint64_t limit_bytes_;
  uint64_t held_bytes_ = 0;
  Epoch current_ = 1;
  std::deque<Frame> frames_;
  uint64_t released_ = 0, dropped_ = 0;
};

}  // namespace haven::netrep

#endif
