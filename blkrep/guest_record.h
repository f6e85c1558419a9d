/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_GUEST_RECORD_H
#define HAVEN_BLKREP_GUEST_RECORD_H

#include <optional>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/records.h"
#include "core/status.h"

namespace haven::blkrep {

/// What a host knows for good of its copy of one guest: which generation it is, what the copy is
/// used for, and which disks it is on. Kept in the file `generation` of the guest's state folder;
/// havend and the device model of one host share it. Format: docs/generations.md.
struct GuestRecord {
  /// What becomes of a guest that is started while its backup does not answer.
  enum class OnStart : uint8_t { kWait = 0, kArbiter = 1, kStart = 2 };
  struct Disk {
    std::string name;
    std::string path;
    uint64_t bytes = 0;
    std::string bond;  ///< DiskBond's text: ties this entry to one disk
    bool operator==(const Disk&) const = default;
  };

  std::string guest;
  wire::Role role = wire::Role::kNone;
  bool life_ended = false;  ///< by a GOODBYE that both sides know of
  bool partial = false;     ///< a backup's: the replicas are a part of a copy
  bool discarded = false;   ///< a person threw this copy away
  bool adopted = false;     ///< a person said that the next primary is right
  bool given = false;       ///< a primary's: a backup has this generation
  bool synced = false;      ///< a backup's: all of `epoch` is on stable storage
  wire::Token life{};
  wire::Token session{};  ///< of the last session: what an arbiter was or will be asked about
  wire::Token boot{};     ///< of the host's system, when it was written
  Epoch epoch = kSyncEpoch;
  uint64_t committed_s = 0;
  /// A backup's: when its primary was told that it may run the guest without this copy, seconds since 1970; 0: it
  /// was not. Who starts the guest here has to know.
  uint64_t primary_alone_s = 0;
  Lineage lineage;
  std::vector<Disk> disks;
  // A primary's.
  std::string backup_host, backup_port;  ///< empty: it has no backup
  std::string arbiter;
  uint32_t start_wait_s = 0;
  OnStart on_start = OnStart::kWait;
  bool operator==(const GuestRecord&) const = default;

  /// What it says of the copy, for the other side; no flags.
  wire::Identity ToIdentity() const { return {role, 0, life, epoch, committed_s, lineage}; }
  /// A person has thrown the copy away: it is nobody's, and of no generation.
  void Discard();
};

constexpr uint32_t kRecordFileMagic = 0x474E5648;  // "HVNG" in the file
constexpr uint16_t kRecordFileVersion = 1;
constexpr uint32_t kMaxRecordFileBytes = 1u << 20;

Bytes Encode(const GuestRecord& record);
/// Pure; any thread. @param in  the whole file; untrusted.
/// @return kInvalid with the reason.
Result<GuestRecord> DecodeGuestRecord(ByteSpan in);

/// @param folder  of this guest. @return nothing when there is no such file; kInvalid when it is
///         not a record: then nothing is known of the copy, and nothing may be done with it.
Result<std::optional<GuestRecord>> LoadGuestRecord(const std::string& folder);
/// Makes the folder of a guest's state, for its owner only, if it is missing; durable when it returns Ok.
Status MakeStateFolder(const std::string& folder);
/// On stable storage when it returns Ok. Makes the folder.
Status SaveGuestRecord(const std::string& folder, const GuestRecord& record);

}  // namespace haven::blkrep

#endif
