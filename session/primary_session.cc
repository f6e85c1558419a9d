// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/primary_session.h"

#include "core/assert.h"
#include "core/failpoint.h"
#include "core/guarded.h"
#include "core/random_token.h"
#include "session/first_copy.h"
#include "session/guest_run.h"
#include "session/primary_agreement.h"

namespace haven::session {
namespace {

constexpr milliseconds kRetryInterval{500};
constexpr milliseconds kDiskLook{20};

PrimaryPlace PlaceOf(const PrimaryOptions& options, const std::vector<blkrep::DiskReplicator::Disk>& disks) {
  PrimaryPlace place{options.connect.guest, options.state_dir, {}, options.disk_paths};
  for (const auto& disk : disks) place.disks.push_back({disk.name, disk.bytes});
  return place;
}

PrimaryOptions WithArbiterSaid(PrimaryOptions options) {
  options.connect.arbiter = !options.arbiter.empty();
  return options;
}

}  // namespace

const char* PrimaryStateName(PrimaryState state) {
  switch (state) {
    case PrimaryState::kConnecting: return "connecting";
    case PrimaryState::kSyncing: return "syncing";
    case PrimaryState::kProtected: return "protected";
    case PrimaryState::kUnprotected: return "unprotected";
    case PrimaryState::kRefused: return "refused";
    case PrimaryState::kLost: return "lost";
    case PrimaryState::kStopped: return "stopped";
    case PrimaryState::kVerifying: return "verifying";
  }
  HAVEN_ASSERT(false);
}

PrimarySession::PrimarySession(PrimaryOptions options, Guest& guest, std::vector<blkrep::DiskReplicator::Disk> disks)
    : options_(WithArbiterSaid(std::move(options))),
      clock_(*options_.connect.clock),
      guest_(guest),
      ledger_(PlaceOf(options_, disks), options_.life),
      main_(guest),
      progress_(main_, guest, clock_),
      disks_(std::move(disks)),
      workers_(options_.threads),
      gate_(guest, options_.output_limit_bytes),
      checkpointer_(guest, gate_, disks_, clock_, &workers_),
      mode_(options_.mode),
      parts_{guest,
             clock_,
             main_,
             disks_,
             gate_,
             checkpointer_,
             report_,
             cpu_,
             mode_,
             options_.output_elsewhere,
             options_.early_from_pages},
      epochs_(parts_),
      going_alone_(options_, main_, gate_, ledger_, stop_,
                   [this](PrimaryState state, const std::string& message) { SetState(state, message); }),
      ending_alone_(options_, main_, gate_, ledger_, abandoned_,
                    [this](PrimaryState state, const std::string& message) { SetState(state, message); }) {
  layout_.instance = RandomToken();
  for (const auto& region : guest_.regions()) layout_.regions.push_back({region.name, region.bytes});
  for (const auto& disk : disks_.disks()) layout_.disks.push_back({disk.name, disk.bytes});
  driver_ = Thread([this] { Drive(); },
                   [this](const Status& status) { SetState(PrimaryState::kUnprotected, status.message()); });
}

Status PrimarySession::CheckState(const PrimaryOptions& options,
                                  const std::vector<blkrep::DiskReplicator::Disk>& disks) {
  return PrimaryLedger(PlaceOf(options, disks), options.life).Check();
}

PrimarySession::~PrimarySession() {
  stop_.Set();
  abandoned_.Set();
  std::shared_ptr<PrimaryConnection> c;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    c = connection_;
  }
  main_.Close();
  if (c) {
    (void)c->Stop();
    c->Fail(EndOf(Ended()));
  }
  going_alone_.Cancel();
  ending_alone_.Cancel();
  if (end_.joinable()) end_.join();
  if (driver_.joinable()) driver_.join();
}

// --- the driver -----------------------------------------------------------

void PrimarySession::Drive() {
  while (auto c = NewConnection()) {
    const ConnectionEnd end = RunConnection(c);
    if (!SettleConnection(*c, end)) return;
    if (stop_.SetWithin(clock_, kRetryInterval)) return;
  }
}

std::shared_ptr<PrimaryConnection> PrimarySession::NewConnection() {
  std::lock_guard lock(mutex_);
  if (stopping_) return nullptr;
  PrimaryConnection::Events& events = *this;
  connection_ = std::make_shared<PrimaryConnection>(options_.connect, disks_, events, cpu_);
  return connection_;
}

std::shared_ptr<PrimaryConnection> PrimarySession::connection() {
  std::lock_guard lock(mutex_);
  return connection_;
}

ConnectionEnd PrimarySession::RunConnection(const std::shared_ptr<PrimaryConnection>& c) {
  PageEncoding encoding;
  CopyAll copy_all;
  ConnectionEnd end;
  bool whole = false;  // what a piece that threw would have left in `end` is not there
  const Status agreed = Guarded([&] {
    Status status = Agree(*c, encoding, copy_all, end);
    whole = true;
    return status;
  });
  if (agreed.ok()) {
    c->FailUnlessExplained(EndOf(Guarded([&] {
      c->Start(*copy_all);
      return Protect(c, encoding);
    })));
    return c->Join();
  }
  if (!whole) end = EndOf(agreed);
  // A backup that was ready is to know that nothing will come.
  c->Fail(end, copy_all ? Tell::kBackup : Tell::kNobody);
  (void)c->Join();
  return end;
}

Status PrimarySession::Agree(PrimaryConnection& c, PageEncoding& encoding, CopyAll& copy_all, ConnectionEnd& end) {
  HAVEN_RETURN_IF_ERROR(c.Open(end));
  const PrimaryLinks& links = c.links();
  const Comparison compared = CompareWithBackup(links, options_, ledger_, gate_.holding(), end);
  if (!compared.newer.empty()) report_.SetNewer(compared.newer);
  HAVEN_RETURN_IF_ERROR(compared.status);
  HAVEN_RETURN_IF_ERROR(encoding.PrepareSharing(links, options_, end));
  sharing_note_ = encoding.note();
  SetState(PrimaryState::kSyncing, sharing_note_);
  HAVEN_RETURN_IF_ERROR(TellMachine(links, options_, end));
  auto reply = SendLayout(*links.control, layout_, options_.connect.deadline, end);
  if (!reply.ok()) return reply.status();
  copy_all.emplace();
  for (auto copy : reply.value().disks) copy_all->push_back(copy == wire::LayoutReply::Copy::kAll);
  HAVEN_RETURN_IF_ERROR(RecordSession(links, options_, ledger_, end));
  std::lock_guard lock(mutex_);
  token_ = links.token;
  return Status::Ok();
}

Status PrimarySession::Protect(const std::shared_ptr<PrimaryConnection>& c, PageEncoding& encoding) {
  HAVEN_RETURN_IF_ERROR(encoding.Begin(c->links(), options_, MemoryBytes(guest_), workers_));
  MemorySender sender(guest_.regions(), encoding.encoder(), *c->links().memory,
                      (c->links().features & wire::kFeatureGuestRun) != 0);
  HAVEN_RETURN_IF_ERROR(CopyFirst(parts_, *c, sender));
  (void)encoding.encoder().TakeFigures();  // the epochs' figures are to be theirs only
  return epochs_.Run(c, sender, encoding);
}

// --- the connection's events ------------------------------------------------

void PrimarySession::OnCommitted(Epoch epoch) {
  main_.Post([this, epoch] { gate_.Release(epoch); });
}

void PrimarySession::OnVerifying() { SetState(PrimaryState::kVerifying, sharing_note_); }

void PrimarySession::OnProtected() { SetState(PrimaryState::kProtected, sharing_note_); }

void PrimarySession::Fail(ConnectionEnd end) {
  if (auto c = connection()) c->Fail(std::move(end));
}

// --- after a connection ---------------------------------------------------

bool PrimarySession::SettleConnection(PrimaryConnection& c, const ConnectionEnd& end) {
  if (stop_.IsSet()) return false;
  report_.CountLoss();
  while (true) {
    bool again = false;
    const Status settled = Guarded([&] {
      again = AfterConnection(c, end);
      return Status::Ok();
    });
    if (settled.ok()) return again;
    // The guest's output would be held for ever.
    if (stop_.SetWithin(clock_, kRetryInterval)) return false;
  }
}

bool PrimarySession::AfterConnection(PrimaryConnection& c, const ConnectionEnd& end) {
  (void)main_.Call([this] {
    epochs_.Forget();
    (void)guest_.SetDirtyLog(false);
  });
  // The backup may have ended the connection because of that disk: it takes over, or nobody goes on before the disk.
  while (end.kind != ConnectionEnd::Kind::kPromoted && DiskHangs()) {
    if (stop_.SetWithin(clock_, kDiskLook)) return false;
  }
  // Only now: the main thread may have been in a checkpoint.
  const HandOverStage stage = c.hand_over();
  const bool refused = end.kind == ConnectionEnd::Kind::kRefused;
  LossFacts facts;
  facts.held = gate_.holding();
  facts.pause_on_loss = options_.pause_on_loss && !refused;
  if (stage == HandOverStage::kSaid) facts.guest = LossFacts::Guest::kGiven;
  if (end.kind == ConnectionEnd::Kind::kPromoted) facts.backup = LossFacts::Backup::kHasIt;
  const auto resume = [&] {
    if (stage < HandOverStage::kStopped || epochs_.guest_paused()) return;
    main_.Post([this] { guest_.Resume(); });
    c.SetHandOver(HandOverStage::kNone);
  };
  // What it does is held.
  if (facts.backup != LossFacts::Backup::kHasIt && stage != HandOverStage::kSaid) resume();
  std::string why = end.status.message();
  wire::Token token;
  {
    std::lock_guard lock(mutex_);
    token = token_;
  }
  const auto settled = going_alone_.Settle(facts, token, why);
  if (!settled) return false;
  if (*settled == AfterLoss::kHalt) {
    if (facts.guest == LossFacts::Guest::kGiven && options_.arbiter.empty() &&
        end.kind != ConnectionEnd::Kind::kPromoted) {
      why = "the guest was given to the backup, which did not confirm that it runs there (" + why +
            "): see whether it does; this copy stays halted";
    }
    SetState(PrimaryState::kLost, why);
    main_.Post([this] { HaltGuest(); });
    return false;
  }
  if (stage == HandOverStage::kSaid) resume();
  SetState(refused ? PrimaryState::kRefused : PrimaryState::kUnprotected, why);
  return !refused;
}

bool PrimarySession::DiskHangs() {
  if (BreakRequested("alone-while-disk-hangs")) return false;
  milliseconds stall{0};
  (void)main_.Call([&] { stall = guest_.DiskStall(); });
  return stall > milliseconds(0);
}

void PrimarySession::HaltGuest() {
  gate_.Close();  // nothing that is held, or still comes, may leave
  guest_.Halt();
}

// --- the main thread's calls ----------------------------------------------

bool PrimarySession::Output(void* nic, unsigned flags, const iovec* iov, int iov_count) {
  const bool first = !gate_.buffer().waits();
  if (!gate_.Hold(nic, flags, iov, iov_count)) return false;
  if (!first) return true;
  if (auto c = connection()) c->OutputWaits();
  return true;
}

Status PrimarySession::SetMode(const ModeSettings& settings) {
  HAVEN_RETURN_IF_ERROR(CheckMode(settings, options_.output_elsewhere));
  mode_.Set(settings);
  if (BreakRequested("release-at-switch")) main_.Post([this] { gate_.Release(gate_.buffer().current() - 1); });
  if (auto c = connection()) c->ChangeMode();
  return Status::Ok();
}

bool PrimarySession::GuestReady(const Status& status) { return !stopped_ && epochs_.GuestReady(status); }

PrimaryStatus PrimarySession::Query() {
  PrimaryStatus status;
  status.disk_wire_bytes = disks_.sent_bytes();
  const netrep::OutputBuffer& output = gate_.buffer();
  status.frames_held = output.held();
  status.output_held_bytes = output.held_bytes();
  status.output_limit_bytes = output.limit_bytes();
  status.frames_released = output.released();
  status.frames_dropped = output.dropped();
  status.lag_us = static_cast<uint64_t>(output.Lag(SteadyClock::now()).count());
  status.cpu_us = cpu_.us() + workers_.helpers_cpu_ns() / 1000;
  report_.Fill(status, disks_.SyncLeftBytes());
  const ModeSettings mode = mode_.Get();
  status.mode = ModeName(mode.mode);
  status.mode_settings = DescribeMode(mode, options_.output_elsewhere);
  if (disks_.ack() == blkrep::DiskReplicator::Ack::kEpoch) status.mode_settings += ", disk-ack epoch";
  status.commit_lag_limit_us = static_cast<uint64_t>(microseconds(options_.connect.lag_limit).count());
  if (auto c = connection()) {
    status.epoch = c->committed();
    status.commit_lag_us = static_cast<uint64_t>(c->commit_lag().count());
  }
  status.run_state = GuestRunName(guest_.RunState());
  return status;
}

void PrimarySession::SetState(PrimaryState state, const std::string& message) {
  if (!report_.Set(state, message)) return;
  main_.Post([this] { guest_.StateChanged(Query()); });
}

}  // namespace haven::session
