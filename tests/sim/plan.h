/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_SIM_PLAN_H
#define HAVEN_TESTS_SIM_PLAN_H

#include <string>
#include <vector>

#include "core/wire.h"
#include "tests/sim/network.h"
#include "tests/sim/world.h"

namespace haven::sim {

/// One thing that goes wrong, or that somebody does.
struct Fault {
  enum class Kind : uint8_t {
    kKillGuest,  ///< the device model of a host
    kKillDaemon,
    kPowerOff,
    kBlackout,  ///< both hosts lose power at once
    kCut,       ///< from this host to the other; `both`: and back
    kFreeze,    ///< `both`: its clock too
    kHangDisk,  ///< the guest's own disk on a host answers nothing for a time
    kHangMain,  ///< the main thread of the device model gets nowhere for a time
    kSlow,
    kOctet,     ///< flip, end or stall
    kAtRecord,  ///< when this host sends a record: see `then`
    kAtFile,    ///< before this host changes a file, or when it has synced one
    kFull,
    kReadOnly,
    kFailWrites,
    kFailSyncs,
    kArbiterSilent,
    kArbiterUnknown,  ///< it ends at once, and gives no verdict
    kFailStart,       ///< the backup's next start of the guest
    kRestartDaemon,   ///< in good order
    kRestartGuest,    ///< in good order: the guest is powered off, and on again
    kSwitchOn,        ///< the guest, on this host, as a boot script does
    kProtect,
    kUnprotect,
    kFailover,
    kFailoverForce,
    kFailoverCold,
    kDiscard,
    kHandOver,
    kSetMode,  ///< the guest's, wherever it runs, to `mode`
  };
  static constexpr size_t kKinds = static_cast<size_t>(Kind::kSetMode) + 1;

  Kind kind = Kind::kKillGuest;
  unsigned act = 0;   ///< 1: the copy that has taken over is protected by the other host, which is number 1 then
  unsigned host = 0;  ///< 0: where the guest runs when the act begins
  Duration at{};      ///< since the guest was protected
  Duration time{};    ///< how long, or until it is repaired
  bool both = false;
  // Of kAtRecord and kAtFile, and of what fails some times.
  wire::Type type = wire::Type::kHello;
  Network::Moment moment = Network::Moment::kBefore;
  enum class File : uint8_t { kAny, kJournal, kDisk, kRecord } file = File::kAny;
  bool synced = false;  ///< kAtFile: a sync has been made, not: a change is to be made
  uint64_t count = 0;
  enum class Then : uint8_t { kKill, kPowerOff, kCut, kFreeze, kSetMode } then = Then::kKill;
  static constexpr size_t kThens = static_cast<size_t>(Then::kSetMode) + 1;
  Network::Fault octet{};
  session::ModeSettings mode{};

  /// It comes by what a host does, not by time.
  bool IsArmed() const { return kind == Kind::kAtRecord || kind == Kind::kAtFile; }
  /// The device model lives on, and gets nowhere.
  bool Hangs() const { return kind == Kind::kHangDisk || kind == Kind::kHangMain; }
  bool SetsMode() const { return IsArmed() ? then == Then::kSetMode : kind == Kind::kSetMode; }
};

/// All that a seed decides before a run begins.
struct Plan {
  Settings settings;
  std::vector<Fault> faults;
  bool primary_never_back = false;  ///< its host has burnt down; a person boots the backup's replicas if need be
  bool at_once = false;             ///< it has no time to notice that its backup was hit
  bool failback = false;            ///< a second act
  bool early[2] = {};               ///< the act does not wait until the guest is protected, but begins with the copy
};

Plan MakePlan(uint64_t seed);
/// From here on there is no arbiter, and silence decides (promote = auto): only deaths and freezes are planned.
void LetSilenceDecide();
const char* KindName(Fault::Kind kind);
std::string Describe(const Fault& fault);

}  // namespace haven::sim

#endif
