// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/director.h"

#include <algorithm>

#include "core/records.h"
#include "tests/sim/backup_daemon.h"
#include "tests/sim/client.h"
#include "tests/sim/device_model.h"

namespace haven::sim {
namespace {

using Kind = Fault::Kind;
using std::chrono::milliseconds;

constexpr Duration kStart = milliseconds(3000);
/// From the first commit until what goes wrong has begun and is mended.
constexpr Duration kTrouble = milliseconds(4000);
constexpr Duration kSettle = milliseconds(8000);
constexpr Duration kHangs = milliseconds(20'000);
constexpr Duration kLook = milliseconds(50);
constexpr Duration kRestart = milliseconds(1000);

}  // namespace

void Director::Start() {
  world_.network.on_record = [this](wire::Type type, Network::Moment moment) { return OnRecord(type, moment); };
  world_.files.on_change = [this](SimFiles::Moment moment, const std::string& path) { OnChange(moment, path); };
  world_.scheduler.Spawn(nullptr, "director", [this] { Play(); });
  (new Client(world_))->Start();
}

void Director::Play() {
  for (const Fault& fault : plan_.faults) world_.Note("plan", Describe(fault));
  for (Host& host : world_.hosts) BackupDaemon::SwitchOn(world_, host);
  world_.scheduler.SleepUntil(world_.scheduler.world_now() + milliseconds(5));
  Arm(0, world_.hosts[0]);
  DeviceModel::SwitchOn(world_, world_.hosts[0], true);
  if (!plan_.early[0]) (void)Await(kStart, [this] { return watch_.last(1) == wire::Type::kCommitted; });
  Act(0);
  if (plan_.failback && ProtectTheCopy()) Act(1);
  world_.End("");
}

/// The faults of an act. What comes at a time comes by Act().
void Director::Arm(unsigned act, Host& runs) {
  home_ = &runs;
  for (Fault fault : plan_.faults) {
    if (fault.act != act) continue;
    if (&runs == &world_.hosts[1]) fault.host = 1 - fault.host;
    fault.act = 0;  // its host is a host now
    if (fault.kind == Kind::kOctet) {
      world_.network.Add(fault.octet);
      world_.only_hangs = false;
    }
    if (fault.IsArmed()) armed_.push_back(fault);
    begun_[act].push_back(fault);
  }
}

void Director::Act(unsigned act) {
  Duration last{};
  for (const Fault& fault : begun_[act]) {
    world_.After(fault.at, [this, &fault] { Begin(fault); });
    last = std::max(last, fault.at);
  }
  world_.scheduler.SleepUntil(world_.scheduler.world_now() + last + milliseconds(1));
  world_.scheduler.SleepUntil(world_.scheduler.world_now() + milliseconds(world_.faults.Between(100, 4000)));
  Mend();
  Persons();
  Audit();
}

// --- what goes wrong ----------------------------------------------------------------

bool Director::OnRecord(wire::Type type, Network::Moment moment) {
  Process& process = *world_.scheduler.current();
  const auto host = static_cast<unsigned>(&process.host - world_.hosts);
  if (moment == Network::Moment::kBefore) watch_.Sent(host, type);
  bool in_two = false;
  for (size_t i = 0; i < armed_.size(); i++) {
    Fault& fault = armed_[i];
    if (fault.kind != Kind::kAtRecord || fault.host != host || fault.type != type) continue;
    if (moment == Network::Moment::kBefore) {
      if (fault.count > 0) fault.count--;
      in_two |= fault.count == 0 && fault.moment == Network::Moment::kMiddle;
    }
    if (fault.count > 0 || fault.moment != moment) continue;
    const Fault hit = fault;
    armed_.erase(armed_.begin() + static_cast<ptrdiff_t>(i));
    Hit(hit, process);
    if (!hit.SetsMode()) return false;
    i--;
  }
  return in_two;
}

void Director::OnChange(SimFiles::Moment moment, const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  const auto file = name == kDiskNames[0] || name == kDiskNames[1] ? Fault::File::kDisk
                    : name.starts_with("journal")                  ? Fault::File::kJournal
                                                                   : Fault::File::kRecord;
  Process& process = *world_.scheduler.current();
  const auto host = static_cast<unsigned>(&process.host - world_.hosts);
  for (size_t i = 0; i < armed_.size(); i++) {
    Fault& fault = armed_[i];
    if (fault.kind != Kind::kAtFile || fault.host != host) continue;
    if (fault.synced != (moment == SimFiles::Moment::kSynced)) continue;
    if ((fault.file != Fault::File::kAny && fault.file != file) || --fault.count > 0) continue;
    Fault hit = fault;
    hit.file = file;
    armed_.erase(armed_.begin() + static_cast<ptrdiff_t>(i));
    Hit(hit, process);
    if (!hit.SetsMode()) return;
    i--;
  }
}

/// Soon after the backup was hit.
void Director::BurnPrimary(const Fault& fault) {
  if (!plan_.primary_never_back || fault.host != 1) return;
  // At once: what was on its way may have arrived, and no more.
  const uint64_t most_us = plan_.at_once ? 8000 : 400'000;
  world_.After(std::chrono::microseconds(world_.faults.Below(most_us)), [this] { world_.PowerOff(world_.hosts[0]); });
}

/// On the thread that it hits, which may go no further.
void Director::Hit(const Fault& fault, Process& process) {
  watch_.Meet(fault);
  if (fault.SetsMode()) return SetMode(fault);
  world_.only_hangs = false;
  BurnPrimary(fault);
  world_.Note("fault", Describe(fault));
  Host& host = process.host;
  switch (fault.then) {
    case Fault::Then::kKill: return world_.Kill(process);
    case Fault::Then::kPowerOff: return world_.PowerOff(host);
    case Fault::Then::kFreeze: return world_.Freeze(host, fault.time, fault.both);
    default: break;
  }
  Host& other = world_.other(host);
  world_.network.Cut(host, other, true);
  if (fault.both) world_.network.Cut(other, host, true);
  world_.After(fault.time, [this, &host, &other] {
    world_.network.Cut(host, other, false);
    world_.network.Cut(other, host, false);
  });
}

void Director::SetMode(const Fault& fault) {
  world_.Note("person", Describe(fault));
  if (DeviceModel* model = world_.Protected()) model->Post([model, mode = fault.mode] { model->SetMode(mode); });
}

void Director::Begin(const Fault& fault) {
  if (fault.IsArmed() || fault.kind == Kind::kOctet) return;
  Host& host = world_.hosts[fault.host];
  Host& other = world_.other(host);
  watch_.Meet(fault);
  if (fault.SetsMode()) return SetMode(fault);
  const bool arbiters = fault.kind == Kind::kArbiterSilent || fault.kind == Kind::kArbiterUnknown;
  world_.only_hangs &= fault.Hangs() || arbiters;
  BurnPrimary(fault);
  world_.Note("fault", Describe(fault));
  SimFiles::Trouble& trouble = world_.files.TroubleOf(host);
  const auto later = [&](std::function<void()> act) { world_.After(fault.time, std::move(act)); };
  switch (fault.kind) {
    case Kind::kKillGuest:
      if (DeviceModel* model = world_.ModelOn(host)) world_.Kill(model->process());
      if (fault.both) later([this, &host] { DeviceModel::SwitchOn(world_, host, true); });
      break;
    case Kind::kKillDaemon:
      if (BackupDaemon* daemon = world_.DaemonOn(host)) world_.Kill(daemon->process());
      later([this, &host] { BackupDaemon::SwitchOn(world_, host); });
      break;
    case Kind::kPowerOff:
      world_.PowerOff(host);
      later([this, &host] { Boot(host); });
      break;
    case Kind::kBlackout:
      world_.PowerOff(host);
      world_.PowerOff(other);
      later([this, &host] { Boot(host); });
      world_.After(fault.both ? fault.time : fault.time * 2, [this, &other] { Boot(other); });
      break;
    case Kind::kCut:
      world_.network.Cut(host, other, true);
      if (fault.both) world_.network.Cut(other, host, true);
      later([this, &host, &other] {
        world_.network.Cut(host, other, false);
        world_.network.Cut(other, host, false);
      });
      break;
    case Kind::kFreeze: world_.Freeze(host, fault.time, fault.both); break;
    case Kind::kSlow:
      world_.network.SetDelay(milliseconds(fault.both ? 300 : 40));
      later([this] { world_.network.SetDelay(world_.settings.delay); });
      break;
    case Kind::kFull:
      trouble.full = true;
      later([&trouble] { trouble.full = false; });
      break;
    case Kind::kReadOnly:
      trouble.read_only = true;
      later([&trouble] { trouble.read_only = false; });
      break;
    case Kind::kFailWrites: trouble.failing_writes = static_cast<unsigned>(fault.count); break;
    case Kind::kFailSyncs: trouble.failing_syncs = static_cast<unsigned>(fault.count); break;
    case Kind::kFailStart: world_.failing_starts[&host] = static_cast<unsigned>(fault.count); break;
    case Kind::kHangDisk:
    case Kind::kHangMain: return Hang(fault, host);
    case Kind::kArbiterUnknown: world_.ArbiterUnknownUntil(host) = world_.scheduler.world_now() + fault.time; break;
    case Kind::kArbiterSilent: world_.ArbiterSilentUntil(host) = world_.scheduler.world_now() + fault.time; break;
    default: BeginOrder(fault, host);
  }
}

void Director::Hang(const Fault& fault, Host& host) {
  if (fault.kind == Kind::kHangDisk) {
    Instant& until = world_.DiskHangsUntil(host);
    until = std::max(until, world_.scheduler.world_now() + fault.time);
  } else if (DeviceModel* model = world_.ModelOn(host)) {
    model->HangMain(fault.time);
  }
  if (BackupDaemon* daemon = world_.DaemonOn(world_.other(host))) daemon->WatchStuck(fault.time + kSettle);
}

/// A host with what its boot scripts start.
void Director::Boot(Host& host) {
  world_.PowerOn(host);
  BackupDaemon::SwitchOn(world_, host);
  if (&host == &world_.hosts[0]) DeviceModel::SwitchOn(world_, host, true);
}

/// What somebody orders, whether it is the moment for it or not.
void Director::BeginOrder(const Fault& fault, Host& host) {
  DeviceModel* model = world_.ModelOn(host);
  BackupDaemon* daemon = world_.DaemonOn(host);
  if (fault.kind == Kind::kSwitchOn) return DeviceModel::SwitchOn(world_, host, fault.both);
  if (fault.kind == Kind::kProtect && model != nullptr) return model->Post([model] { model->Protect(); });
  if (fault.kind == Kind::kUnprotect && model != nullptr) {
    return model->Post([model] { model->End(wire::Goodbye::kUnprotect); });
  }
  if (fault.kind == Kind::kRestartGuest && model != nullptr) {
    return model->Post([model, off = fault.time] { model->End(wire::Goodbye::kGuestPoweredOff, off); });
  }
  if (daemon == nullptr) return;
  switch (fault.kind) {
    case Kind::kRestartDaemon:
      daemon->End();
      return world_.After(fault.time, [this, &host] { BackupDaemon::SwitchOn(world_, host); });
    case Kind::kFailover:
      // Without an arbiter, who orders it has to know that the primary is gone, or holds its output.
      if (!world_.settings.arbiter && !world_.settings.pause_on_loss)
        world_.checker.Forgive("failover without an arbiter");
      return daemon->Order("failover", [](session::BackupGuest& guest) { return guest.Failover(false); });
    case Kind::kFailoverCold:
      if (!world_.settings.arbiter) world_.checker.Forgive("failover --cold without an arbiter");
      return daemon->Order("failover --cold", [](session::BackupGuest& guest) { return guest.FailoverCold(false); });
    case Kind::kFailoverForce:
      world_.checker.Forgive("failover --force");
      return daemon->Order("failover --force", [](session::BackupGuest& guest) { return guest.Failover(true); });
    case Kind::kDiscard:
      if (model != nullptr) return;  // the order would reach that one
      world_.checker.Forgive("discard");
      return daemon->Order("discard", [](session::BackupGuest& guest) { return guest.Discard(); });
    case Kind::kHandOver:
      return daemon->Order("failover --planned", [](session::BackupGuest& guest) { return guest.HandOver(); });
    default: return;
  }
}

// --- what is mended, and what people do then ------------------------------------------

bool Director::Await(Duration most, const std::function<bool()>& condition) {
  const Instant end = world_.scheduler.world_now() + most;
  while (!condition() && world_.scheduler.world_now() < end) {
    world_.scheduler.SleepUntil(world_.scheduler.world_now() + kLook);
  }
  return condition();
}

void Director::SwitchOnAll() {
  for (Host& host : world_.hosts) {
    if (plan_.primary_never_back && &host == &world_.hosts[0] && !host.up) continue;
    world_.PowerOn(host);
    BackupDaemon::SwitchOn(world_, host);
  }
}

void Director::Mend() {
  world_.Note("director", "all is mended");
  armed_.clear();
  for (Host& host : world_.hosts) {
    world_.network.Cut(host, world_.other(host), false);
    world_.files.TroubleOf(host) = {};
    world_.failing_starts[&host] = 0;
    world_.ArbiterSilentUntil(host) = world_.ArbiterUnknownUntil(host) = {};
  }
  world_.network.SetDelay(world_.settings.delay);
  // What was frozen, or hangs, goes on by itself.
  (void)Await(kTrouble, [this] {
    return std::none_of(world_.processes.begin(), world_.processes.end(),
                        [](const auto& process) { return process->alive && process->frozen; });
  });
  (void)Await(kHangs, [this] {
    const bool disks = std::any_of(std::begin(world_.hosts), std::end(world_.hosts),
                                   [this](const Host& host) { return world_.DiskHangs(host); });
    return !disks && std::none_of(world_.models.begin(), world_.models.end(), [](const auto& model) {
      return model->process().alive && model->Stuck() > Duration{};
    });
  });
  SwitchOnAll();
}

unsigned Director::Running() const {
  return static_cast<unsigned>(std::count_if(world_.models.begin(), world_.models.end(), [](const auto& model) {
    return model->process().alive && model->running();
  }));
}

DeviceModel* Director::TheCopy() {
  for (const auto& model : world_.models) {
    if (model->process().alive && model->running()) return model.get();
  }
  return nullptr;
}

/// Somebody wants the guest to run again, and does what loses nothing before what may.
void Director::Persons() {
  const auto runs = [this] { return Running() > 0; };
  if (Await(kRestart, runs)) return;
  world_.only_hangs = false;
  const auto order = [&](const char* name, bool alone_is_lost, Status (*act)(session::BackupGuest&)) {
    for (Host& host : world_.hosts) {
      BackupDaemon* daemon = world_.DaemonOn(host);
      if (daemon == nullptr) continue;
      if (alone_is_lost) world_.checker.ForgiveAlone(host.name);
      daemon->Order(name, act);
      if (Await(kRestart * 2, runs)) return true;
    }
    return false;
  };
  if (order("failover", !world_.settings.arbiter, [](session::BackupGuest& guest) { return guest.Failover(false); })) {
    return;
  }
  for (Host& host : world_.hosts) DeviceModel::SwitchOn(world_, host, false);
  if (Await(kSettle, runs)) return;
  for (Host& host : world_.hosts) {
    if (DeviceModel* model = world_.ModelOn(host); model != nullptr && !model->running()) world_.Kill(model->process());
  }
  if (order("failover --cold", false, [](session::BackupGuest& guest) { return guest.FailoverCold(false); })) return;
  if (!world_.hosts[0].up || !world_.hosts[1].up) return world_.Note("director", "no copy runs, and a host is gone");
  AdoptTheCopyAtHome();
  if (!Await(kSettle, runs)) world_.checker.Broken("stuck: no order starts the guest, though both hosts are there");
}

/// What the refusals name: the arbiter has decided for a copy that has died, or no record says how new one is.
void Director::AdoptTheCopyAtHome() {
  world_.checker.Forgive("adopt");
  DeviceModel::SwitchOn(world_, *home_, false);
  if (Await(kRestart, [this] { return Running() > 0; })) return;
  if (DeviceModel* model = world_.ModelOn(*home_)) model->Post([model] { model->Adopt(); });
}

bool Director::AllAnswered() const {
  return std::all_of(world_.daemons.begin(), world_.daemons.end(),
                     [](const auto& daemon) { return !daemon->process().alive || daemon->orders() == 0; });
}

/// No side was lost: the guest has gone on where it was, and is protected there.
void Director::AuditHang() {
  const bool hung = std::any_of(begun_[0].begin(), begun_[0].end(), [](const Fault& fault) { return fault.Hangs(); });
  if (!hung || !world_.only_hangs || world_.failovers > 0) return;
  const uint64_t before = world_.checker.last();
  const auto goes_on = [&] {
    const DeviceModel* model = world_.Protected();
    return model != nullptr && model->session_state() == session::PrimaryState::kProtected &&
           (world_.checker.last() > before || before >= kMostOperations);
  };
  if (!Await(kSettle, goes_on)) world_.checker.Broken("stuck: what has hung moves again, and the guest does not go on");
}

void Director::Audit() {
  AuditHang();
  if (!Await(kSettle, [this] { return AllAnswered(); })) world_.checker.Broken("hang: a person's order has no answer");
  const auto waits = [](const auto& model) { return model->process().alive && model->WaitsForWord(); };
  if (!Await(kSettle, [&] { return std::none_of(world_.models.begin(), world_.models.end(), waits); }))
    world_.checker.Broken("hang: a primary holds its output, and hears from nobody whether it may go on");
  const uint64_t before = world_.checker.last();
  (void)Await(kSettle, [&] { return world_.checker.last() > before || before >= kMostOperations; });
  // One that asks whether it may go on does not run, but stands by.
  (void)Await(kSettle, [this] { return Running() <= 1; });
  if (Running() > 1) {
    if (world_.settings.arbiter && !world_.checker.forgiven()) {
      world_.checker.Broken("two copies: both hosts run the guest");
    }
    return;
  }
  DeviceModel* model = TheCopy();
  if (model == nullptr) return;
  model->Post([model] { model->Audit(); });
  world_.scheduler.SleepUntil(world_.scheduler.world_now() + milliseconds(300));
}

/// The copy that runs now, by the other host. @return whether it is, or is about to be.
bool Director::ProtectTheCopy() {
  DeviceModel* model = TheCopy();
  if (model == nullptr) return false;
  for (const auto& other : world_.models) {
    if (other.get() != model && other->process().alive) world_.Kill(other->process());
  }
  Arm(1, model->process().host);
  model->Post([model] { model->Protect(); });
  if (plan_.early[1]) return true;
  return Await(kSettle, [model] {
    return model->process().alive && model->session_state() == session::PrimaryState::kProtected;
  });
}

}  // namespace haven::sim
