/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_CONFIG_H
#define HAVEN_HAVEND_CONFIG_H

#include <map>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/status.h"
#include "session/backup_options.h"

namespace haven::havend {

struct GuestConfig {
  std::string name;
  std::vector<std::string> command;  ///< argv of the device model; [0] is an absolute path; empty under Xen
  std::string xl_config;             ///< a guest of Xen: its xl.cfg on this host; else empty
  std::string xl_text;               ///< what LoadConfig() has found in that
  bool trial = false;                ///< of Xen: a trial domain proves that it can go on here
  std::string ram_region = "pc.ram";
  std::map<std::string, std::string> disks;  ///< name on the primary -> path of the replica
  session::DiskAck disk_ack = session::DiskAck::kReceived;
  bool create = false;               ///< replicas that are missing are made
  bool take_over_stuck = false;      ///< a primary that hangs counts as lost
  bool discard_on_new_life = false;  ///< a checkpoint gives way to another run of the guest
  bool other_machine = false;        ///< the guest may go on as another machine
  bool auto_promote = false;
  std::string arbiter;  ///< empty: none
  std::string share;    ///< the group of guests that it shares pages with; empty: none
  milliseconds deadline{1000};
  uint64_t memory_limit_bytes = 64ull << 30;
  uint64_t journal_limit_bytes = 16ull << 30;

  bool operator==(const GuestConfig&) const = default;
};

struct Config {
  std::string file;        ///< that it was read from
  std::string host, port;  ///< to listen on
  std::string state_dir = "/var/lib/haven";
  std::string run_dir = "/run/haven";
  uint32_t share_memory_mib = 256;  ///< of each store of shared pages
  uint32_t half_open_limit = 64;    ///< of connections that have not said HELLO
  std::vector<GuestConfig> guests;

  std::string GuestStateDir(const GuestConfig& guest) const { return state_dir + "/" + guest.name; }
  std::string QmpPath(const GuestConfig& guest) const { return run_dir + "/" + guest.name + ".qmp"; }
};

/// Reads a configuration; everything that is not known is an error.
/// @param file  named in messages only.
/// @return kInvalid with one sentence: file, line, group, key, what is wrong.
Result<Config> ParseConfig(const std::string& text, const std::string& file);

/// Whether what is configured for single guests can be together: no disk is written by two.
/// @return kInvalid with one sentence: group, key, what is wrong.
Status CheckTogether(const Config& config);

/// ParseConfig() of a file, and checks that the commands can be executed.
Result<Config> LoadConfig(const std::string& file);

}  // namespace haven::havend

#endif
