/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_OPTIONS_H
#define HAVEN_SESSION_BACKUP_OPTIONS_H

#include <cstdint>
#include <map>
#include <string>

#include "core/clock.h"
#include "memrep/page_stores.h"
#include "session/arbiter.h"

namespace haven::session {

/// When a write of the guest is done, besides at its own disk.
enum class DiskAck {
  kReceived,  ///< when this side has it in memory
  kDurable,   ///< when it is on this side's stable storage
  kEpoch,     ///< at once; its epoch is not committed before this side has it in memory
};

/// How a guest is kept on its backup host, as the configuration says.
struct BackupGuestOptions {
  std::string name;
  std::string state_dir;  ///< a folder of this guest's own
  std::string ram_region = "pc.ram";
  std::map<std::string, std::string> disks;  ///< name -> path of the replica
  bool create = false;                       ///< replicas that are missing are made
  DiskAck disk_ack = DiskAck::kReceived;
  bool discard_on_new_life = false;  ///< a checkpoint gives way to another run of the guest; else a person decides
  bool other_machine = false;        ///< the guest may go on here as another machine than the primary's
  bool auto_promote = false;
  bool take_over_stuck = false;  ///< a primary whose device model hangs counts as lost; needs an arbiter
  ArbiterChoice arbiter;         ///< empty: none
  milliseconds deadline{1000};
  uint64_t memory_limit_bytes = 64ull << 30;
  uint64_t journal_limit_bytes = 16ull << 30;
  std::string share_group;                    ///< guests of it share pages; empty: it shares none ...
  memrep::PageStores* page_stores = nullptr;  ///< ... in one of these, which outlive the guest
  Clock* clock = &MonotonicClock();           ///< of promotion; a link has its own. Outlives the guest.

  bool durable() const { return disk_ack == DiskAck::kDurable; }
};

}  // namespace haven::session

#endif
