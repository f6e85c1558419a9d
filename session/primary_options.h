/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PRIMARY_OPTIONS_H
#define HAVEN_SESSION_PRIMARY_OPTIONS_H

#include <map>
#include <string>

#include "blkrep/guest_record.h"
#include "memrep/page_codec.h"
#include "memrep/worker_pool.h"
#include "session/arbiter.h"
#include "session/policy/mode.h"
#include "session/primary_handshake.h"

namespace haven::session {

struct PrimaryOptions {
  ConnectOptions connect;
  ModeSettings mode;                              ///< to begin with
  std::string machine;                            ///< what the guest can see of it, see MACHINE; empty: not compared
  bool output_elsewhere = false;                  ///< some of the guest's output does not pass the session
  bool pause_on_loss = false;                     ///< hold output until a backup is back
  ArbiterChoice arbiter;                          ///< empty: none
  std::string state_dir;                          ///< folder of this guest's record
  std::map<std::string, std::string> disk_paths;  ///< on this host, by name; a disk that is elsewhere is missing
  wire::Token life{};                             ///< names this run of the guest
  uint32_t start_wait_s = 60;  ///< when the guest is next started: for the backup's answer, before ...
  blkrep::GuestRecord::OnStart on_start = blkrep::GuestRecord::OnStart::kWait;  ///< ... this
  uint64_t output_limit_bytes = 64ull << 20;
  memrep::EncoderOptions encoder{.cache_bytes = 0};  ///< cache_bytes 0: in proportion to the guest
  std::string shared_folder = "/dev/shm";            ///< with connect.share: where guests of this host find pages
  /// From so many pages of an epoch on some travel before its pause: their copy takes a millisecond of it or more, a
  /// look at the running guest a fraction of one.
  uint64_t early_from_pages = 2048;
  unsigned threads = memrep::UsualThreads();  ///< that encode, and copy large dirty sets in the pause
};

}  // namespace haven::session

#endif
