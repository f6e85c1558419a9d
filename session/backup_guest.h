/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_GUEST_H
#define HAVEN_SESSION_BACKUP_GUEST_H

#include <map>
#include <memory>
#include <string>

#include "core/threads.h"
#include "core/link.h"
#include "memrep/guest_image.h"
#include "memrep/page_stores.h"
#include "session/backup_ledger.h"
#include "session/backup_session.h"
#include "session/backup_store.h"
#include "session/haven_figures.h"
#include "session/newer_wins.h"

namespace haven::session {

/// Runs the guest from an image. Implemented by havend for a waiting QEMU,
/// later for a stock xl. Calls come one at a time, from any thread.
class Activator {
 public:
  virtual ~Activator() = default;
  /// Whether a guest may be started here: nothing else runs under its name. Touches nothing.
  /// @return kRefused with what runs, and what to do.
  virtual Status MayStart() = 0;
  /// A new image was laid out (all zero): start what waits for it. The image
  /// stays valid until Discard() or, after a successful Activate(), for ever.
  virtual Status Prepare(const memrep::GuestImage& image) = 0;
  /// The image has become that of another committed epoch; the next one may
  /// come at any time. On the memory connection's thread: must not block.
  virtual void Committed(const memrep::GuestImage& image) { (void)image; }
  /// Run the guest from the image now; Ok when it runs.
  virtual Status Activate(const memrep::GuestImage& image) = 0;
  /// Starts the guest from its disks alone, as a machine that is switched on. Nothing waits for an image. Ok when it
  /// runs.
  virtual Status Boot() = 0;
  /// Nobody waits for this image any more.
  virtual void Discard() = 0;
  /// Whether a guest that Activate() started still runs.
  virtual bool Running() = 0;
};

enum class BackupState {
  kWaiting,      ///< no primary
  kSyncing,      ///< first copy; a failover is not possible
  kProtecting,   ///< has a committed checkpoint, the primary answers
  kPrimaryLost,  ///< has a committed checkpoint, the primary is silent or gone
  kPromoting,
  kPromoted,  ///< the guest runs here
  kFailed,    ///< promotion failed; message says why
};
const char* BackupStateName(BackupState state);

struct BackupGuestOptions {
  std::string name;
  std::string state_dir;  ///< a folder of this guest's own
  std::string ram_region = "pc.ram";
  std::map<std::string, std::string> disks;  ///< name -> path of the replica
  bool create = false;                       ///< replicas that are missing are made
  bool durable = false;
  bool discard_on_new_life = false;  ///< a checkpoint gives way to another run of the guest; else a person decides
  bool auto_promote = false;
  std::string arbiter;  ///< empty: none
  milliseconds deadline{1000};
  uint64_t memory_limit_bytes = 64ull << 30;
  std::string share_group;                    ///< guests of it share pages; empty: it shares none ...
  memrep::PageStores* page_stores = nullptr;  ///< ... in one of these, which outlive the guest
  Clock* clock = &MonotonicClock();           ///< of promotion; a link has its own. Outlives the guest.
};

/// The figures of haven_figures.h.
struct BackupFigures {
#define HAVEN_MEMBER(name, unit, meaning) uint64_t name = 0;
  HAVEN_BACKUP_FIGURES(HAVEN_MEMBER)
#undef HAVEN_MEMBER
};

struct BackupStatus : BackupFigures {
  BackupState state = BackupState::kWaiting;
  Epoch epoch = 0;
  std::string message;
  std::string primary;     ///< address, empty if none
  std::string generation;  ///< 16 hex digits; empty: none
  std::string newer;       ///< NewerSide() of the last comparison; empty: there was none
};

/// One guest on its backup host: takes a primary's connections, keeps the
/// last committed epoch, detects the primary's silence, promotes.
/// Thread-safe. `activator` outlives it.
class BackupGuest : private BackupSession::Events {
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
  Status Failover(bool force);

  /// Boots the guest from its replicas, when the checkpoint is gone. Blocks until it runs.
  /// @param force  against the arbiter, and from replicas that may be a part of an epoch.
  Status FailoverCold(bool force);
  /// What that loses. @return kRefused when it is not possible.
  Result<std::string> DescribeColdStart();

  /// A person's words: what is here, checkpoint, generation and all, is thrown away.
  Status Discard();
  /// ... and: the next primary is right, whatever is in the replicas, which are overwritten.
  Status Adopt();
  /// What is here, for people.
  Result<std::string> DescribeCopy();

  /// Asks the primary for the guest, which loses nothing: it stops there after a
  /// last checkpoint and goes on here. Blocks until the guest runs here.
  /// @return kRefused with the reason when it goes on at the primary.
  Status HandOver();

 private:
  /// One primary's three connections.
  struct Live;

  Status OnIdentity(const wire::Identity& primary, wire::Identity& mine) override;
  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) override;
  Result<BackupStore*> OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) override;
  void OnCommitted(Epoch epoch) override;
  void OnGoodbye(wire::Goodbye reason) override;

  void AttachControl(std::unique_ptr<Link> link, const wire::Hello& hello);
  void AttachOther(std::unique_ptr<Link> link, const wire::Hello& hello);
  void AttachQuery(std::unique_ptr<Link> link);
  /// What this side has, as of now. No lock is held.
  Result<wire::Identity> Identify();
  /// The answer to a primary that asks on a query connection.
  Result<wire::Identity> Answer(const wire::Identity& primary);
  /// Under mutex_.
  bool HoldsCheckpoint() const;
  Ruling RuleAndLetGo(Ruling (*rule)(const wire::Identity&, const wire::Identity&), const wire::Identity& primary,
                      wire::Identity& mine);
  void DropCheckpoint(const std::string& why);
  void Note(const wire::Identity& primary, const wire::Identity& mine, const std::string& refusal);
  Status RefuseWhileInUse();
  /// Under mutex_.
  Status RefuseIfPrimaryStarted();
  Status CheckColdStart(const blkrep::GuestRecord& record, bool force);
  /// No crash of this host can have left them with a part of an epoch.
  bool SurelyWhole(const blkrep::GuestRecord& record) const;
  /// Looks at all replicas before one of them is touched.
  /// @param copies  of a disk that is not as an earlier session has left it: all of it.
  Status CheckReplicas(const blkrep::GuestRecord& record, const wire::Layout& layout,
                       std::vector<blkrep::ReplicaOptions>& how, std::vector<wire::LayoutReply::Copy>& copies);
  Status MakeStore(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies);
  void ClaimArbiter(const wire::Token& token);
  void RunControl(std::shared_ptr<Live> live);
  void RunDisk(std::shared_ptr<Live> live);
  void RunMemory(std::shared_ptr<Live> live);
  /// @return whether the session had not ended before; `status` is its end then.
  static bool BeginEnd(Live& live, const Status& status);
  static void CloseAll(Live& live);
  static void CloseData(Live& live);
  /// Disk and memory thread: the end of their connection says nothing before
  /// the control connection was read to its end, where a GOODBYE may wait.
  void EndUnlessExplained(Live& live, const Status& status);
  /// Any thread but the control thread.
  void End(Live& live, const Status& status, wire::Error code);
  /// Control thread, disk and memory links closed, other threads joined.
  void AfterSession(Live& live);
  /// The primary has stopped the guest and waits for the word that it runs here.
  void TakeOver(Live& live, Status usable);
  /// Whether the arbiter is asked, and what is done while it does not answer.
  enum class Ask { kNobody, kOnce, kUntilAnswered };
  Status Promote(Ask ask);
  Status AskForPromotion(Ask ask);
  void SetState(BackupState state, const std::string& message);
  StoreOptions MakeStoreOptions() const;
  /// Those of the wire that this guest's configuration has.
  uint64_t Features() const;

  const BackupGuestOptions options_;
  Activator& activator_;
  BackupLedger ledger_;

  Mutex promote_mutex_;  ///< one promotion at a time; held across it

  Mutex mutex_;  ///< guards what follows
  Condition changed_;
  bool shutting_down_ = false;
  BackupState state_ = BackupState::kWaiting;
  std::string message_;
  std::shared_ptr<Live> live_;
  std::unique_ptr<BackupStore> store_;
  bool store_is_of_live_ = false;  ///< not of an earlier session
  int failover_wanted_ = 0;        ///< persons in Failover()
  wire::Token token_{};            ///< of the session that the store came from
  bool goodbye_ = false;
  bool hand_over_asked_ = false;  ///< of the primary of this session
  wire::Goodbye goodbye_reason_ = wire::Goodbye::kUnprotect;
  uint64_t failover_ms_ = 0;
  uint64_t committed_s_ = 0;  ///< when the last epoch was committed
  uint64_t primary_started_s_ =
      0;                         ///< when a primary was told that it may start the guest; 0: not since its last session
  wire::Identity primary_;       ///< of this session
  std::string newer_, refusal_;  ///< of the last comparison
  std::string live_peer_;        ///< of the last session
  Thread control_thread_;
};

}  // namespace haven::session

#endif
