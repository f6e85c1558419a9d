// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/plan.h"

#include <algorithm>

#include "core/assert.h"
#include "core/records.h"
#include "tests/sim/points.h"
#include "tests/sim/switches.h"

namespace haven::sim {
namespace {

using Kind = Fault::Kind;
using std::chrono::microseconds;
using Time = std::chrono::milliseconds;

/// What a primary sends, and what a backup.
constexpr wire::Type kFromPrimary[] = {wire::Type::kHello,     wire::Type::kIdentity,    wire::Type::kLayout,
                                       wire::Type::kDiskWrite, wire::Type::kDiskFlush,   wire::Type::kPages,
                                       wire::Type::kPages,     wire::Type::kDeviceState, wire::Type::kEpochEnd,
                                       wire::Type::kEpochEnd,  wire::Type::kHeartbeat};
constexpr wire::Type kFromBackup[] = {wire::Type::kHelloReply, wire::Type::kIdentity,  wire::Type::kLayoutReply,
                                      wire::Type::kDiskAck,    wire::Type::kCommitted, wire::Type::kCommitted,
                                      wire::Type::kCommitted,  wire::Type::kHeartbeat};

Settings MakeSettings(Random& random) {
  Settings settings;
  settings.arbiter = random.Percent(80);
  settings.auto_promote = settings.arbiter;
  settings.durable = random.Percent(40);
  settings.ack_by_epoch = random.Percent(50);
  settings.take_over_stuck = settings.arbiter && random.Percent(50);
  settings.waits_beside = random.Percent(75);
  settings.deadline = milliseconds(random.Between(3, 12) * 100);
  if (settings.arbiter && random.Percent(40)) settings.on_start = blkrep::GuestRecord::OnStart::kArbiter;
  settings.delay = microseconds(random.Percent(80) ? random.Between(20, 500) : random.Between(500, 8000));
  settings.longest_pause_us = random.Percent(50) ? 4000 : 40000;
  settings.far = random.Percent(45);
  // Else no epoch would have more than one of them.
  if (random.Percent(settings.far ? 80 : 40)) {
    settings.ahead = random.Between(1, 6);
    settings.longest_pause_us = 40'000 * (1 + settings.ahead);
  }
  if (settings.far) {
    settings.delay = microseconds(random.Between(2000, 8000));
    settings.patience = milliseconds(random.Between(1, 5));
  }
  settings.mode = MakeMode(settings.far, random);
  return settings;
}

Duration ShortOrLong(Random& random) {
  return random.Percent(50) ? Time(random.Between(5, 400)) : Time(random.Between(400, 4000));
}

/// Which change, or sync, of which file. The narrower, the fewer there are.
void ChooseFile(Fault& fault, Random& random) {
  using File = Fault::File;
  constexpr File kFiles[] = {File::kAny, File::kAny, File::kJournal, File::kJournal, File::kDisk, File::kRecord};
  fault.file = kFiles[random.Below(std::size(kFiles))];
  fault.synced = random.Percent(40);
  uint64_t most = fault.file == File::kAny ? 120 : fault.file == File::kRecord ? 12 : 50;
  if (fault.synced) most /= 3;
  fault.count = random.Between(1, random.Percent(30) ? 4 : most);
}

void ChooseMoment(Fault& fault, Random& random) {
  const bool early = random.Percent(25);
  using Moment = Network::Moment;
  constexpr Moment kMoments[] = {Moment::kBefore, Moment::kBefore, Moment::kMiddle, Moment::kAfter, Moment::kAfter};
  fault.moment = kMoments[random.Below(std::size(kMoments))];
  fault.type = fault.host == 0 ? kFromPrimary[random.Below(std::size(kFromPrimary))]
                               : kFromBackup[random.Below(std::size(kFromBackup))];
  fault.count = random.Between(1, early ? 3 : 25);
  // These come once or three times in a session.
  const bool once = fault.type < wire::Type::kLayoutReply || fault.type == wire::Type::kLayoutReply;
  if (once && fault.kind == Kind::kAtRecord) fault.count = random.Between(1, 4);
  if (fault.kind == Kind::kAtFile) ChooseFile(fault, random);
  fault.then = static_cast<Fault::Then>(random.Percent(75) ? random.Below(2) : 2 + random.Below(2));
}

Fault MakeFault(Kind kind, Random& random) {
  Fault fault;
  fault.kind = kind;
  fault.host = static_cast<unsigned>(random.Below(2));
  fault.at = Time(random.Percent(75) ? random.Below(900) : random.Between(900, 5000));
  fault.time = ShortOrLong(random);
  fault.both = random.Percent(50);
  if (fault.IsArmed()) ChooseMoment(fault, random);
  if (kind == Kind::kSetMode) fault.mode = MakeMode(random.Percent(30), random);
  if (kind == Kind::kFailWrites || kind == Kind::kFailSyncs || kind == Kind::kFailStart)
    fault.count = random.Between(1, 3);
  if (kind == Kind::kOctet) {
    const uint64_t most = random.Percent(30) ? 400 : random.Percent(50) ? 20'000 : 400'000;
    fault.octet = {static_cast<Network::Fault::Kind>(random.Below(3)), static_cast<unsigned>(random.Below(4)),
                   random.Percent(40), random.Below(most)};
  }
  return fault;
}

/// What ends the primary, or makes the backup believe so.
Fault MakeLoss(Random& random) {
  constexpr Kind kLosses[] = {Kind::kKillGuest, Kind::kPowerOff, Kind::kAtRecord, Kind::kAtRecord,
                              Kind::kAtFile,    Kind::kCut,      Kind::kFreeze,   Kind::kBlackout};
  Fault fault = MakeFault(kLosses[random.Below(std::size(kLosses))], random);
  fault.host = 0;
  if (fault.kind == Kind::kAtRecord) ChooseMoment(fault, random);
  if (fault.kind == Kind::kCut) fault.both = random.Percent(70);
  if (fault.kind == Kind::kCut || fault.kind == Kind::kFreeze) fault.time = Time(random.Between(1300, 5000));
  fault.at = Time(random.Between(50, 700));
  return fault;
}

bool g_silence_decides = false;

void PlanSilence(Plan& plan) {
  plan.settings.arbiter = false;
  plan.settings.auto_promote = true;
  plan.settings.take_over_stuck = false;
  plan.primary_never_back = plan.settings.pause_on_loss = false;
  for (Fault& fault : plan.faults) {
    if (fault.IsArmed() && fault.then == Fault::Then::kCut) fault.then = Fault::Then::kFreeze;
  }
  std::erase_if(plan.faults, [](const Fault& fault) {
    if (fault.kind == Kind::kSetMode) return false;
    return fault.kind >= Kind::kFull || fault.kind == Kind::kCut || fault.kind == Kind::kSlow ||
           fault.kind == Kind::kOctet;
  });
}

/// The primary holds its output as long as it has no backup. A person starts the guest there, it ends, and the
/// old primary comes back to what is newer than it.
void PlanPause(Plan& plan, Random& random) {
  plan.settings.pause_on_loss = true;
  Fault cut = MakeFault(Kind::kCut, random);
  cut.host = 0;
  cut.both = true;
  cut.at = Time(random.Between(50, 600));
  cut.time = Time(random.Between(4000, 7000));
  Fault order = MakeFault(Kind::kFailover, random);
  order.host = 1;
  order.at = cut.at + plan.settings.deadline + Time(random.Between(100, 800));
  Fault end = MakeFault(Kind::kKillGuest, random);
  end.host = 1;
  end.both = false;
  end.at = order.at + Time(random.Between(10, 1500));
  plan.faults = {cut, order, end};
}

/// The primary's device model hangs, for less or more time than makes it stuck, and moves again.
void PlanHang(Plan& plan, Random& random) {
  Fault hang = MakeFault(random.Percent(60) ? Kind::kHangDisk : Kind::kHangMain, random);
  hang.host = 0;
  hang.at = Time(random.Between(50, 700));
  hang.time = plan.settings.deadline * random.Between(2, 12);
  const auto meanwhile = [&](Fault fault) {
    fault.at = hang.at + Time(random.Below(static_cast<uint64_t>(hang.time / Time(1)) + 500));
    return fault;
  };
  plan.faults = {hang};
  if (random.Percent(50)) plan.faults.push_back(meanwhile(MakeLoss(random)));
  if (random.Percent(20)) plan.faults.push_back(MakeFault(static_cast<Kind>(random.Below(Fault::kKinds)), random));
}

/// The arbiter gives no verdict to one side, or to both, when the other is lost.
void PlanNoVerdict(Plan& plan, Random& random) {
  const unsigned first = static_cast<unsigned>(random.Below(2));
  for (unsigned i = 0; i < random.Between(1, 2); i++) {
    Fault fault = MakeFault(random.Percent(70) ? Kind::kArbiterUnknown : Kind::kArbiterSilent, random);
    fault.host = i == 0 ? first : 1 - first;
    fault.at = plan.faults.front().at - std::min<Duration>(plan.faults.front().at, Time(random.Below(200)));
    fault.time = Time(random.Between(500, 5000));
    plan.faults.push_back(fault);
  }
}

/// A connection ends, nobody dies, and what is sent then goes on from what the backup has; later the primary is lost.
void PlanHiccup(Plan& plan, Random& random) {
  std::vector<Fault> ends;
  for (uint64_t more = random.Between(1, 2); more > 0; more--) {
    Fault end = MakeFault(Kind::kOctet, random);
    end.octet.kind = random.Percent(50) ? Network::Fault::Kind::kFlip : Network::Fault::Kind::kEnd;
    // As many early as late ones: a connection has some hundred octets, or some hundred thousand.
    end.octet.octet = random.Below(uint64_t{1} << random.Between(8, 18));
    ends.push_back(end);
  }
  plan.faults.front().at += Time(random.Between(500, 3000));
  if (plan.faults.front().IsArmed()) plan.faults.front().count *= 3;
  plan.faults.insert(plan.faults.begin(), ends.begin(), ends.end());
}

/// The copy that has taken over is lost, too.
void PlanSecondAct(Plan& plan, Random& random) {
  std::vector<Fault> faults = {MakeLoss(random)};
  if (random.Percent(50)) faults.push_back(MakeFault(static_cast<Kind>(random.Below(Fault::kKinds)), random));
  for (Fault& fault : faults) {
    fault.act = 1;
    plan.faults.push_back(fault);
  }
}

/// What comes at a time comes during the first copy.
void BeginEarly(Plan& plan, unsigned act, Random& random) {
  plan.early[act] = true;
  for (Fault& fault : plan.faults) {
    if (fault.act == act && random.Percent(70)) fault.at = microseconds(random.Below(80'000));
  }
}

}  // namespace

Plan MakePlan(uint64_t seed) {
  Random random(Mix(seed, 7));
  Plan plan;
  plan.settings = MakeSettings(random);
  plan.faults.push_back(MakeLoss(random));
  if (random.Percent(30)) {
    plan.faults.front() = MakeFault(Kind::kAtRecord, random);
    MoveToAnyPoint(plan.faults.front(), random);
  }
  for (uint64_t more = random.Below(4); more > 0; more--) {
    plan.faults.push_back(MakeFault(static_cast<Kind>(random.Below(Fault::kKinds)), random));
  }
  // A person who is wrong is rarer than a machine that fails.
  std::erase_if(plan.faults, [&](const Fault& fault) {
    const bool rash = fault.kind == Kind::kFailoverForce || fault.kind == Kind::kDiscard;
    return rash && random.Percent(70);
  });
  if (random.Percent(15)) PlanHiccup(plan, random);
  if (random.Percent(15)) PlanHang(plan, random);
  if (plan.settings.arbiter && random.Percent(20)) PlanNoVerdict(plan, random);
  if (!plan.settings.arbiter && random.Percent(50)) PlanPause(plan, random);
  if (plan.settings.arbiter && random.Percent(25)) {
    // The backup loses what it has in memory, then the primary is lost for good.
    plan.primary_never_back = true;
    constexpr Kind kHits[] = {Kind::kAtRecord, Kind::kAtRecord, Kind::kAtFile, Kind::kAtFile, Kind::kPowerOff};
    Fault hit = MakeFault(kHits[random.Below(std::size(kHits))], random);
    hit.host = 1;
    hit.at = Time(random.Between(100, 600));
    hit.then = random.Percent(50) ? Fault::Then::kPowerOff : Fault::Then::kKill;
    hit.type = random.Percent(70) ? wire::Type::kCommitted : wire::Type::kDiskAck;
    if (hit.kind == Kind::kAtFile && hit.file == Fault::File::kAny) hit.count = random.Between(20, 160);
    plan.faults = {hit};
    if (random.Percent(30)) {
      Fault order = MakeFault(Kind::kFailoverCold, random);
      order.host = 1;
      order.at = hit.at + Time(random.Between(0, 2500));
      plan.faults.push_back(order);
    }
    // After a crash of its host a replica is booted without more ado only if all was stable before it was acknowledged.
    plan.settings.durable = random.Percent(hit.then == Fault::Then::kPowerOff || hit.kind == Kind::kPowerOff ? 85 : 30);
    plan.at_once = random.Percent(60);
  }
  plan.failback = random.Percent(45) && !plan.primary_never_back;
  if (plan.failback) PlanSecondAct(plan, random);
  for (unsigned act = 0; act < 2; act++) {
    if (random.Percent(25)) BeginEarly(plan, act, random);
  }
  PlanSwitches(plan, random);
  if (g_silence_decides) PlanSilence(plan);
  return plan;
}

void LetSilenceDecide() { g_silence_decides = true; }

const char* KindName(Kind kind) {
  constexpr const char* kNames[Fault::kKinds] = {"kill-guest",
                                                 "kill-daemon",
                                                 "power-off",
                                                 "blackout",
                                                 "cut",
                                                 "freeze",
                                                 "hang-disk",
                                                 "hang-main",
                                                 "slow",
                                                 "octet",
                                                 "at-record",
                                                 "at-file",
                                                 "full",
                                                 "read-only",
                                                 "fail-writes",
                                                 "fail-syncs",
                                                 "arbiter-silent",
                                                 "arbiter-unknown",
                                                 "fail-start",
                                                 "restart-daemon",
                                                 "restart-guest",
                                                 "switch-on",
                                                 "protect",
                                                 "unprotect",
                                                 "failover",
                                                 "failover-force",
                                                 "failover-cold",
                                                 "discard",
                                                 "hand-over",
                                                 "set-mode"};
  return kNames[static_cast<size_t>(kind)];
}

std::string Describe(const Fault& fault) {
  const auto ms = [](Duration time) { return std::to_string(std::chrono::duration_cast<Time>(time).count()) + " ms"; };
  const char* place = fault.act == 0    ? fault.host == 0 ? " host a" : " host b"
                      : fault.host == 0 ? " in the second act, the guest's host"
                                        : " in the second act, the other host";
  std::string text = std::string(KindName(fault.kind)) + place + " at " + ms(fault.at) + " for " + ms(fault.time) +
                     (fault.both ? " (both)" : "");
  constexpr const char* kMoments[] = {"before", "in", "after"};
  constexpr const char* kThen[] = {"kill", "power off", "cut", "freeze", "set-mode"};
  constexpr const char* kFiles[] = {"a file", "the journal", "the disk", "a record"};
  const std::string which = " the " + std::to_string(fault.count) + ". ";
  if (fault.kind == Kind::kAtRecord) {
    text += std::string(", ") + kMoments[static_cast<size_t>(fault.moment)] + which + wire::TypeName(fault.type);
  }
  if (fault.kind == Kind::kAtFile) {
    text += (fault.synced ? ", after" + which + "sync of " : ", before" + which + "change of ") +
            kFiles[static_cast<size_t>(fault.file)];
  }
  if (fault.IsArmed()) text += std::string(": ") + kThen[static_cast<size_t>(fault.then)];
  if (fault.SetsMode()) {
    text += std::string(", ") + session::ModeName(fault.mode.mode) + ": " + session::DescribeMode(fault.mode, false);
  }
  if (fault.kind == Kind::kOctet) {
    constexpr const char* kWhat[] = {"flip", "end", "stall"};
    text += std::string(", ") + kWhat[static_cast<size_t>(fault.octet.kind)] + " octet " +
            std::to_string(fault.octet.octet) + " of connection " + std::to_string(fault.octet.connection) +
            (fault.octet.back ? ", back" : "");
  }
  return text;
}

}  // namespace haven::sim
