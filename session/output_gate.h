/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_OUTPUT_GATE_H
#define HAVEN_SESSION_OUTPUT_GATE_H

#include <atomic>

#include "netrep/output_buffer.h"
#include "session/guest.h"

namespace haven::session {

/// Where the guest's output leaves, or waits: the frames that pass the session and what is held
/// elsewhere (Guest::CutOutput() and what goes with it). Nothing else gives orders to output.
/// Main thread, but for holding().
class OutputGate {
 public:
  OutputGate(Guest& guest, uint64_t limit_bytes) : guest_(guest), buffer_(limit_bytes) {}

  /// A frame of the guest. @return false: it may leave at once.
  bool Hold(void* nic, unsigned flags, const iovec* iov, int iov_count);
  /// The guest stands still: what it has sent belongs to the epoch that this ends.
  Result<Epoch> Cut();
  /// From here on the backup may come to hold a checkpoint, and the right to go on from it.
  void Close() { holding_ = true; }
  /// The backup has committed this epoch.
  void Release(Epoch committed);
  /// Nobody else has the right to go on: everything leaves, and what comes does so at once.
  void Open();
  /// A new connection begins with epoch 1. What is held stays so.
  Status Restart();

  /// Any thread. Output waits for commits: the backup may have a checkpoint.
  bool holding() const { return holding_; }
  const netrep::OutputBuffer& buffer() const { return buffer_; }

 private:
  netrep::OutputBuffer::Sink sink() {
    return [this](const netrep::Frame& frame) { guest_.SendFrame(frame); };
  }

  Guest& guest_;
  netrep::OutputBuffer buffer_;
  std::atomic<bool> holding_{false};
};

}  // namespace haven::session

#endif
