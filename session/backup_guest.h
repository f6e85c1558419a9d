/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_BACKUP_GUEST_H
#define HAVEN_SESSION_BACKUP_GUEST_H

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/link.h"
#include "memrep/guest_image.h"
#include "memrep/page_stores.h"
#include "session/backup_session.h"
#include "session/backup_store.h"

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
  /// Starts the guest from its disks alone, as a machine that is switched on. Nothing waits for an image. Ok when it runs.
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
  bool durable = false;
  bool create = false;  ///< a replica that is missing is made
  bool auto_promote = false;
  std::string arbiter;  ///< empty: none
  milliseconds deadline{1000};
  uint64_t memory_limit_bytes = 64ull << 30;
  std::string share_group;                      ///< guests of it share pages; empty: it shares none ...
  memrep::PageStores* page_stores = nullptr;    ///< ... in one of these, which outlive the guest
  Clock* clock = &MonotonicClock();  ///< of promotion; a link has its own. Outlives the guest.
};

struct BackupStatus {
  BackupState state = BackupState::kWaiting;
  Epoch epoch = 0;
  std::string message;
  std::string primary;                        ///< address, empty if none
  uint64_t memory_bytes = 0, disk_bytes = 0;  ///< received
  uint64_t journal_bytes = 0;
  uint64_t failover_ms = 0;  ///< from the decision to promote until the guest ran
  uint64_t promoted_epoch = 0;
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
  /// epoch. Call it once, before Attach().
  Status Recover();

  /// Takes over an accepted connection whose first record was `hello` and
  /// answers it: HELLO_REPLY, or ERROR and close. May block for about a second.
  void Attach(std::unique_ptr<Link> link, const wire::Hello& hello);

  BackupStatus Query();

  /// Promotes by order of a person. Blocks until the guest runs.
  /// @param force  even though the primary still answers (it is told that it
  ///               has lost) or the arbiter decided for it.
  /// @return kRefused with the reason when there is nothing to promote.
  Status Failover(bool force);

  /// Asks the primary for the guest, which loses nothing: it stops there after a
  /// last checkpoint and goes on here. Blocks until the guest runs here.
  /// @return kRefused with the reason when it goes on at the primary.
  Status HandOver();

 private:
  /// One primary's three connections.
  struct Live;

  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) override;
  Result<BackupStore*> OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) override;
  void OnCommitted(Epoch epoch) override;
  void OnGoodbye(wire::Goodbye reason) override;

  void AttachControl(std::unique_ptr<Link> link, const wire::Hello& hello);
  void AttachOther(std::unique_ptr<Link> link, const wire::Hello& hello);
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

  std::mutex promote_mutex_;  ///< one promotion at a time; held across it

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  bool shutting_down_ = false;
  BackupState state_ = BackupState::kWaiting;
  std::string message_;
  std::shared_ptr<Live> live_;
  std::unique_ptr<BackupStore> store_;
  bool store_is_of_live_ = false;  ///< not of an earlier session
  int failover_wanted_ = 0;        ///< persons in Failover()
  wire::Token token_{};  ///< of the session that the store came from
  bool goodbye_ = false;
  bool hand_over_asked_ = false;  ///< of the primary of this session
  wire::Goodbye goodbye_reason_ = wire::Goodbye::kUnprotect;
  uint64_t failover_ms_ = 0;
  std::thread control_thread_;
};

}  // namespace haven::session

#endif
