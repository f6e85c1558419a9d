/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_GUEST_H
#define HAVEN_SESSION_BACKUP_GUEST_H

#include <memory>
#include <string>
#include <vector>

#include "core/link.h"
#include "core/threads.h"
#include "session/activator.h"
#include "session/after_session.h"
#include "session/backup_connection.h"
#include "session/backup_decisions.h"
#include "session/backup_options.h"
#include "session/backup_situation.h"
#include "session/backup_status.h"
#include "session/cold_start.h"
#include "session/promotion.h"
#include "session/trial_load.h"

namespace haven::session {

/// One guest on its backup host: takes a primary's connections, keeps the
/// last committed epoch, detects the primary's silence, promotes.
/// Thread-safe. `activator` outlives it.
class BackupGuest : private BackupConnection::Owner {
 public:
  BackupGuest(BackupGuestOptions options, Activator& activator);
  /// Closes the connections and joins the threads; a running guest stays.
  ~BackupGuest() override;

  /// Brings replicas that an earlier run left behind to their last committed
  /// epoch, if they are still this guest's and nothing else has used them since. Call it once, before Attach().
  Status Recover();

  /// Takes over an accepted connection whose first record was `hello` and
  /// answers it: HELLO_REPLY, or ERROR and close. May block for about a second.
  void Attach(std::unique_ptr<Link> link, const wire::Hello& hello);

  BackupStatus Query();
  /// As Query(), but a guest that an earlier process promoted, and that runs, is promoted. Asks the
  /// activator, which may take as long as a program.
  BackupStatus QueryWithGuest();

  /// Promotes by order of a person. Blocks until the guest runs.
  /// @param force  even though the primary still answers (it is told that it
  ///               has lost) or the arbiter decided for it.
  /// @return kRefused with the reason when there is nothing to promote.
  Status Failover(bool force) { return promotion_.Failover(force); }

  /// Boots the guest from its replicas, when the checkpoint is gone. Blocks until it runs.
  /// @param force  against the arbiter, and from replicas that may be a part of an epoch.
  Status FailoverCold(bool force) { return cold_start_.Failover(force); }
  /// What that loses. @return kRefused when it is not possible.
  Result<std::string> DescribeColdStart() { return cold_start_.Describe(); }

  /// A person's words: what is here, checkpoint, generation and all, is thrown away.
  Status Discard() { return decisions_.Discard(); }
  /// ... and: the next primary is right, whatever is in the replicas, which are overwritten.
  Status Adopt() { return decisions_.Adopt(); }
  /// What is here, for people.
  Result<std::string> DescribeCopy() { return decisions_.DescribeCopy(); }

  /// This is about to end: nothing begins from here on, for good.
  /// @return kRefused when there is a session, a checkpoint that waits, or the guest runs here: all is as before.
  Status Retire() { return decisions_.Retire(); }

  /// Asks the primary for the guest, which loses nothing: it stops there after a
  /// last checkpoint and goes on here. Blocks until the guest runs here.
  /// @return kRefused with the reason when it goes on at the primary.
  Status HandOver();

 private:
  Status OnIdentity(const wire::Identity& primary, wire::Identity& mine) override;
  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) override;
  Result<BackupStore*> OnLayout(const BackupConnection& connection, const wire::Layout& layout,
                                std::vector<wire::LayoutReply::Copy>& copies) override;
  void OnCommitted(Epoch epoch) override;
  Status OnLiveness(const wire::Liveness& liveness) override;
  void OnEnded(BackupConnection& connection) override;

  Status CompareArbiters(const wire::Hello& hello) const;
  void AttachControl(std::unique_ptr<Link> link, const wire::Hello& hello);
  void AttachData(std::unique_ptr<Link> link, const wire::Hello& hello);
  wire::HelloReply ReplyTo(const wire::Hello& hello, const wire::Token& token) const;
  StoreOptions MakeStoreOptions() const;

  /// Looks at all replicas before one of them is touched.
  /// @param copies  of a disk that is not as an earlier session has left it: all of it.
  Status CheckReplicas(const blkrep::GuestRecord& record, const wire::Layout& layout,
                       std::vector<blkrep::ReplicaOptions>& how, std::vector<wire::LayoutReply::Copy>& copies);
  /// Starts what waits for the guest, and compares the machines.
  Status Prepare(const BackupConnection& connection, const blkrep::GuestRecord& record,
                 const memrep::GuestImage& image);
  Status CompareMachines(const std::string& primary);
  Status MakeStore(const BackupConnection& connection, const wire::Layout& layout,
                   std::vector<wire::LayoutReply::Copy>& copies);

  /// Memory thread, at the first commit. @param whole  whether that was written down.
  void Verify(const Status& whole);
  void Verified(BackupConnection& connection);

  /// What the end of a session has left.
  struct Left {
    SessionEnd end;
    Status finished;  ///< whether the store is that of its last epoch
    Status recorded;  ///< whether that was written down, which takes nothing from a checkpoint
  };
  // Control thread of `connection`, which is forgotten.
  void FinishStore(const BackupConnection& connection, bool goodbye, Left& left);
  // With here_.mutex, which some release:
  void FillEnd(const BackupConnection& connection, bool goodbye, Left& left) const;
  /// What follows a session was broken off, see Thread: the checkpoint that it has left is a person's to start.
  void GiveUp(const Status& why);
  void ForgetConnection();
  void WaitForAnother(const BackupConnection& connection, const Left& left, std::unique_lock<Mutex> lock);
  void HoldOrPromote(const BackupConnection& connection, const Left& left, AfterSession next,
                     std::unique_lock<Mutex> lock);
  bool MayNotBegin() const { return here_.InHand() || here_.shutting_down; }
  void TakeOver(BackupConnection& connection, std::unique_lock<Mutex> lock);
  void RefuseHandOver(BackupConnection& connection, const Left& left, std::unique_lock<Mutex> lock);

  BackupSituation here_;
  BackupDecisions decisions_{here_};
  Promotion promotion_{here_};
  ColdStart cold_start_{here_, promotion_};
  TrialLoad trial_{here_.activator};
  std::string verified_shape_;  ///< memory thread, and the trial's, which that begins: of the last one that was loaded
  Thread control_thread_;       ///< of the last session; guarded by here_.mutex until the destructor
};

}  // namespace haven::session

#endif
