// SPDX-License-Identifier: GPL-2.0-or-later
#include "netrep/output_buffer.h"

#include <cstring>

#include "core/assert.h"

namespace haven::netrep {
namespace {

uint64_t Taken(size_t frame_bytes) { return sizeof(Frame) + frame_bytes; }

}  // namespace

bool OutputBuffer::Hold(void* nic, unsigned flags, const iovec* iov, int iov_count, Instant now) {
  size_t bytes = 0;
  for (int i = 0; i < iov_count; i++) bytes += iov[i].iov_len;
  if (held_bytes_ + Taken(bytes) > limit_bytes_) {
    dropped_++;
    return false;
  }
  Frame frame{nic, flags, std::make_unique_for_overwrite<uint8_t[]>(bytes), bytes, current_, now};
  size_t at = 0;
  for (int i = 0; i < iov_count; i++) {
    memcpy(frame.data.get() + at, iov[i].iov_base, iov[i].iov_len);
    at += iov[i].iov_len;
  }
  frames_.push_back(std::move(frame));
  held_bytes_ += Taken(bytes);
  return true;
}

void OutputBuffer::SendFront(const Sink& sink) {
  // Taken out before it is sent: the sink may come back with a new frame.
  Frame frame = std::move(frames_.front());
  frames_.pop_front();
  held_bytes_ -= Taken(frame.bytes);
  released_++;
  sink(frame);
}

void OutputBuffer::Release(Epoch committed, const Sink& sink) {
  HAVEN_ASSERT(committed < current_);
  while (!frames_.empty() && frames_.front().epoch <= committed) SendFront(sink);
}

void OutputBuffer::ReleaseAll(const Sink& sink) {
  for (size_t left = frames_.size(); left > 0; left--) SendFront(sink);
}

void OutputBuffer::Restart(Epoch current) {
  current_ = current;
  for (Frame& frame : frames_) frame.epoch = current;
}

microseconds OutputBuffer::Lag(Instant now) const {
  return frames_.empty() ? microseconds(0) : MicrosSince(frames_.front().held_since, now);
}

}  // namespace haven::netrep
