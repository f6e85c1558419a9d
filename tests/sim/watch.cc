// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/sim/watch.h"

#include "core/assert.h"
#include "tests/sim/backup_daemon.h"
#include "tests/sim/device_model.h"

namespace haven::sim {
namespace {

HostState OfGuest(const DeviceModel& model) {
  if (model.halted()) return HostState::kHalted;
  if (model.Stuck() > Duration{}) return HostState::kStuck;
  if (!model.started()) return model.incoming() ? HostState::kStarting : HostState::kHeld;
  if (!model.session_state()) return HostState::kRuns;
  switch (*model.session_state()) {
    case session::PrimaryState::kConnecting: return HostState::kConnecting;
    case session::PrimaryState::kSyncing: return HostState::kSyncing;
    case session::PrimaryState::kVerifying:
    case session::PrimaryState::kProtected: return HostState::kProtected;
    case session::PrimaryState::kUnprotected: return HostState::kUnprotected;
    case session::PrimaryState::kRefused: return HostState::kRefused;
    case session::PrimaryState::kLost: return HostState::kLost;
    case session::PrimaryState::kStopped: return HostState::kStopped;
  }
  HAVEN_ASSERT(false);
}

}  // namespace

HostState Watch::StateOf(const Host& host) const {
  if (!host.up) return HostState::kOff;
  const DeviceModel* model = world_.ModelOn(host);
  const BackupDaemon* daemon = world_.DaemonOn(host);
  if (model != nullptr) return model->process().frozen ? HostState::kFrozen : OfGuest(*model);
  if (daemon == nullptr) return HostState::kNothing;
  return daemon->process().frozen ? HostState::kFrozen : daemon->state();
}

void Watch::Sent(unsigned host, wire::Type type) {
  if (type == wire::Type::kHeartbeat) return;
  // Records of a stream of many are no news.
  if (last_[host] != type) met_.insert(MetStates(StateOf(world_.hosts[0]), StateOf(world_.hosts[1]), NoEvent()));
  last_[host] = type;
  if (type == wire::Type::kHello) {
    sent_ = 0;
    commits_.clear();
  }
  if (type == wire::Type::kEpochEnd) sent_++;
  if (type == wire::Type::kCommitted) commits_.push_back(world_.scheduler.world_now() + world_.settings.delay);
}

/// As the primary sees it, nearly: a link may be slower than it is configured.
unsigned Watch::InFlight() {
  while (!commits_.empty() && commits_.front() <= world_.scheduler.world_now()) {
    commits_.pop_front();
    if (sent_ > 0) sent_--;
  }
  return sent_;
}

void Watch::MeetAtPoint(const Fault& fault) {
  const DeviceModel* model = world_.Protected();
  if (model == nullptr || !fault.IsArmed()) return;
  const bool at_primary = &model->process().host == &world_.hosts[fault.host];
  if (const auto point = MetPoint(fault, at_primary, model->mode(), InFlight())) met_.insert(*point);
}

void Watch::Meet(const Fault& fault) {
  met_.insert(MetStates(StateOf(world_.hosts[0]), StateOf(world_.hosts[1]), EventOf(fault)));
  met_.insert(MetRecords(last_[0], last_[1], EventOf(fault)));
  MeetAtPoint(fault);
}

}  // namespace haven::sim
