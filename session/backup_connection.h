/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_CONNECTION_H
#define HAVEN_SESSION_BACKUP_CONNECTION_H

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/link.h"
#include "core/threads.h"
#include "session/backup_session.h"
#include "session/heartbeat.h"
#include "session/stand_still_watch.h"

namespace haven::session {

/// Says why, and leaves the peer half a second to read it before the link is closed. Blocks so long.
void RejectLink(Link& link, wire::Error code, const std::string& message);

/// One session with a primary: its three links, their threads, how it ends, and what was said on it.
/// Made for one session and never used again.
///
/// Threads: the control thread is whoever calls Run(); disk and memory connection have one each, made
/// by Attach() and joined by the control thread; a heartbeat's; one that watches for gaps.
/// Lock: `mutex_`. No lock of the owner is held when it is taken; the owner is called without it.
class BackupConnection : private BackupSession::Events {
 public:
  /// Whose guest it is. Outlives the connection; see also BackupSession::Events.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// Control thread.
    virtual Status OnIdentity(const wire::Identity& primary, wire::Identity& mine) = 0;
    /// Control thread.
    virtual Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) = 0;
    /// Control thread, when the primary's identity was accepted. The store outlives the session's threads.
    virtual Result<BackupStore*> OnLayout(const BackupConnection& connection, const wire::Layout& layout,
                                          std::vector<wire::LayoutReply::Copy>& copies) = 0;
    /// Memory thread.
    virtual void OnCommitted(Epoch epoch) = 0;
    /// Control thread. @return not Ok: the session is to end as if the primary were lost.
    virtual Status OnLiveness(const wire::Liveness& liveness) = 0;
    /// Control thread, once and last: the disk and memory threads have ended. If handed_over(), the
    /// primary waits for AnswerHandOver().
    virtual void OnEnded(BackupConnection& connection) = 0;
  };

  /// Heartbeats begin.
  /// @param control  its HELLO was answered with `agreed`: token and features of the session.
  /// @param deadline  of this side; after so long a silence the primary is lost.
  /// @param primary_deadline_ms  as the primary says, untrusted.
  BackupConnection(Owner& owner, std::unique_ptr<Link> control, const wire::HelloReply& agreed, milliseconds deadline,
                   uint32_t primary_deadline_ms);

  /// The control thread's work: all of the session. Once; the caller keeps the object until it returns.
  void Run();

  /// The disk or memory connection. Answers its HELLO with `reply`, or rejects it: there is one of each.
  /// Any thread but the session's.
  void Attach(std::unique_ptr<Link> link, wire::Connection kind, const wire::HelloReply& reply);

  /// Ends the session from outside, if it has not ended: the primary is told why. Returns at once, or
  /// when it had half a second to read that. Any thread but the control thread.
  void End(const Status& status, wire::Error code);

  /// Any thread. @return false: it was asked before.
  bool MarkHandOverAsked() { return !hand_over_asked_.exchange(true); }
  /// Asks the primary for the guest. Any thread.
  Status AskForHandOver() { return control_->Send(wire::Type::kHandOver, kSyncEpoch, ByteSpan{}); }
  /// Any thread: the guest can go on here from the checkpoint.
  void SayVerified();
  /// Control thread, when handed_over(): whether the guest runs here, or goes on at the primary. Blocks
  /// until that has read it, for about half a second.
  void AnswerHandOver(const Status& runs_here);

  // Any thread.
  const wire::Token& token() const { return token_; }
  /// That both sides have.
  uint64_t features() const { return features_; }
  /// "address:port" of the primary.
  const std::string& peer() const { return peer_; }
  /// Whether a store was made for this session's LAYOUT.
  bool has_store() const { return has_store_; }

  // Control thread.
  /// What the primary has, once that was accepted.
  const wire::Identity& primary() const { return primary_; }
  /// What the guest can see of its machine there; empty: the primary has not said.
  const std::string& machine() const { return machine_; }
  /// What it said before it went.
  const std::optional<wire::Goodbye>& goodbye() const { return goodbye_; }
  /// When the last epoch was committed, seconds since 1970; 0: none was.
  uint64_t committed_s() const { return committed_s_; }
  /// In OnEnded(): the primary has stopped the guest and waits for an answer.
  bool handed_over() const { return handed_over_; }
  /// In OnEnded(): this process stood still, for longer than a deadline, within the last two deadlines: what the
  /// primary has said meanwhile may have been missed.
  bool stood_still() const { return stood_still_; }
  /// In OnEnded(): why.
  const Status& end() const { return end_; }

 private:
  Status OnIdentity(const wire::Identity& primary, wire::Identity& mine) override;
  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) override;
  void OnMachine(std::string description) override { machine_ = std::move(description); }
  Result<BackupStore*> OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) override;
  void OnCommitted(Epoch epoch) override;
  Status OnLiveness(const wire::Liveness& liveness) override { return owner_.OnLiveness(liveness); }
  void OnGoodbye(wire::Goodbye reason) override;

  Status ReceiveControl();
  void RunDisk();
  void RunMemory();
  /// Control thread: looks for a gap since it was called last.
  void LookForGap();
  /// @return whether the session had not ended before; `status` is its end then.
  bool BeginEnd(const Status& status);
  /// Disk and memory thread: the end of their connection says nothing before
  /// the control connection was read to its end, where a GOODBYE may wait.
  void EndUnlessExplained(const Status& status);
  void CloseData();
  void JoinData();

  Owner& owner_;
  const std::unique_ptr<Link> control_;
  const milliseconds deadline_;
  const wire::Token token_;
  const uint64_t features_;
  const std::string peer_;
  BackupSession session_;  ///< each method on its connection's thread

  std::atomic<bool> has_store_{false};
  std::atomic<bool> hand_over_asked_{false};
  std::atomic<uint64_t> committed_s_{0};

  wire::Identity primary_;                ///< control thread
  std::string machine_;                   ///< control thread
  std::optional<wire::Goodbye> goodbye_;  ///< control thread
  bool handed_over_ = false;              ///< control thread
  std::optional<Instant> gap_end_;        ///< control thread: of the last time that this process stood still
  bool stood_still_ = false;              ///< control thread
  StandStillWatch watch_;

  Mutex mutex_;                          ///< guards what follows
  Condition changed_;                    ///< ended_, control_ended_
  std::unique_ptr<Link> disk_, memory_;  ///< set once; each is its own thread's then
  Thread disk_thread_, memory_thread_;
  bool ended_ = false;
  Status end_;                  ///< set once, with ended_; the control thread's after that
  bool control_ended_ = false;  ///< nothing more comes on `control_`

  Heartbeat heartbeat_;  // last: its thread uses `control_`
};

}  // namespace haven::session

#endif
