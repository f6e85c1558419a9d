/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_EPOCH_LOOP_H
#define HAVEN_SESSION_EPOCH_LOOP_H

#include <deque>
#include <memory>

#include "session/checkpointer.h"
#include "session/early_looks.h"
#include "session/memory_sender.h"
#include "session/mode_switch.h"
#include "session/page_encoding.h"
#include "session/primary_connection.h"
#include "session/primary_report.h"

namespace haven::session {

/// The parts of a primary that its steps work with; they outlive these.
struct PrimaryParts {
  Guest& guest;
  Clock& clock;  ///< of all deadlines and periods
  MainThread& main;
  blkrep::DiskReplicator& disks;
  OutputGate& gate;
  Checkpointer& checkpointer;  ///< main thread during Take() and Harvest(), driver otherwise
  PrimaryReport& report;
  CpuTime& cpu;
  ModeSwitch& mode;
  const bool output_elsewhere;
  const uint64_t early_from_pages;
};

/// Takes one epoch after the other, of one connection after the other. The next one need not wait for the commit of
/// the last: as many as the mode says are in flight. They are encoded, sent and committed in their order.
/// Driver thread, but where it says otherwise.
class EpochLoop {
 public:
  explicit EpochLoop(PrimaryParts parts)
      : parts_(parts), looks_(parts.checkpointer, parts.main, parts.clock, parts.early_from_pages) {}

  /// Until the connection's end, or until the guest is the backup's.
  Status Run(const std::shared_ptr<PrimaryConnection>& connection, MemorySender& sender, PageEncoding& encoding);

  /// Main thread: the answer to Guest::MakeReady(). Takes the checkpoint if the
  /// status is ok. @return whether it was still wanted and the guest runs again;
  ///         else the caller lets the guest go on.
  bool GuestReady(const Status& status);
  /// Main thread: no checkpoint is waited for any more.
  void Forget() { awaiting_.reset(); }
  /// Whether an administrator had paused the guest when the last checkpoint was taken. Driver, or main thread when
  /// the driver takes none.
  bool guest_paused() const { return checkpoint_.guest_paused; }

 private:
  /// What one connection's epochs are taken with.
  struct Way {
    const std::shared_ptr<PrimaryConnection>& connection;
    MemorySender& sender;
    PageEncoding& encoding;
  };

  /// An epoch that was sent, and is not committed.
  struct InFlight {
    Epoch epoch;
    EpochFigures figures;
    Instant sent, cut;
    std::optional<Instant> output_since;  ///< its first output, if there was any
  };

  void Begin(const Way& way);
  void ReadMode();
  /// Of the epoch in which the guest runs.
  void Plan();
  bool HasRoom(const Way& way) const;
  std::optional<Instant> OldestSent() const;
  /// @return kTryAgain: put off.
  Status OneEpoch(Way& way, Checkpointer::Then then);
  Status Send(Way& way, microseconds ran);
  void TakeCommit(Way& way);
  /// Until nothing is in flight.
  Status AwaitCommits(Way& way);
  Status TakeCheckpoint(Way& way, Checkpointer::Then then);
  /// Main thread.
  Status TakeNow(PrimaryConnection& c);
  /// The backup has asked for the guest: a last epoch, after which it stays
  /// stopped here, and the word that it is the backup's now.
  Status HandOver(Way& way);

  const PrimaryParts parts_;
  ModeSettings mode_;
  std::unique_ptr<EpochPolicy> policy_;
  EarlyLooks looks_;
  std::deque<InFlight> in_flight_;
  Instant resumed_;                 ///< since the last checkpoint that was taken the guest runs
  std::optional<Instant> put_off_;  ///< until then, for the last one was no moment for it
  EpochDue due_{};                  ///< of the epoch in which the guest runs
  Checkpoint checkpoint_;           ///< main thread while it is taken, driver otherwise

  // Main thread only.
  std::shared_ptr<PrimaryConnection> awaiting_;  ///< whose checkpoint waits for GuestReady()
  Instant guest_asked_;
  Checkpointer::Then then_ = Checkpointer::Then::kResume;  ///< after the checkpoint that was asked for
};

}  // namespace haven::session

#endif
