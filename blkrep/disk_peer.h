/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_DISK_PEER_H
#define HAVEN_BLKREP_DISK_PEER_H

#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "blkrep/dirty_map.h"
#include "core/link.h"

namespace haven::blkrep {

/// One backup, as the disks see it: the requests that wait to be sent to it, and those that it has not acknowledged.
/// Callers serialise.
class DiskPeer {
 public:
  using Done = void (*)(void* arg);
  /// A record that waits to be sent.
  struct Outgoing {
    wire::Type type;
    Epoch epoch;
    Bytes head;
    std::unique_ptr<uint8_t[]> data;
    size_t data_bytes = 0;
    size_t wire_bytes() const { return wire::kHeaderBytes + head.size() + data_bytes; }
  };
  /// Who waits for its acknowledgement.
  struct InFlight {
    Done done;  ///< nullptr: nobody
    void* arg;
    bool copy = false;  ///< then this piece of this disk
    uint32_t disk = 0;
    DirtyMap::Piece piece{0, 0};
    size_t wire_bytes = 0;  ///< set by Enqueue()
  };

  /// @return a number that no request of this guest has had.
  uint64_t NewRequest() { return next_request_++; }
  void Enqueue(Outgoing outgoing, InFlight waiting, uint64_t request);
  /// @return what is to be sent next.
  Outgoing TakeNext();
  bool idle() const { return queue_.empty(); }

  /// @return none: it is not in flight.
  std::optional<InFlight> Acknowledged(uint64_t request);
  /// The backup is lost. @return all who wait, and always will.
  std::vector<InFlight> Abandon();

  uint64_t acknowledged() const { return acknowledged_; }  ///< since the beginning
  uint64_t sent_bytes() const { return sent_bytes_; }
  /// Of the requests that it has not acknowledged, sent or not.
  uint64_t unacknowledged_bytes() const { return unacknowledged_bytes_; }
  bool waiting() const { return !in_flight_.empty(); }
  /// A copy was handed out, and may still be read from the disk.
  void CopyBegins() { copies_++; }
  bool copying() const { return copies_ != 0; }

 private:
  std::deque<Outgoing> queue_;
  std::unordered_map<uint64_t, InFlight> in_flight_;
  uint64_t next_request_ = 1;
  uint64_t copies_ = 0;  ///< handed out and not acknowledged
  uint64_t sent_bytes_ = 0;
  uint64_t unacknowledged_bytes_ = 0;
  uint64_t acknowledged_ = 0;
};

}  // namespace haven::blkrep

#endif
