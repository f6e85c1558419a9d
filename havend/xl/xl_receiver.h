/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_XL_RECEIVER_H
#define HAVEN_HAVEND_XL_XL_RECEIVER_H

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "core/threads.h"
#include "os/interrupt.h"
#include "session/activator.h"
#include "havend/xl/stream_reader.h"
#include "havend/xl/stream_feed.h"

namespace haven::havend {

struct XlOptions {
  std::string name;  ///< of the guest, for messages
  std::string xl = "/usr/sbin/xl";
  std::string config_path;          ///< the domain's xl.cfg on this host
  std::string state_dir;            ///< of this guest: xl.log, xl.pid
  bool trial = false;               ///< the first checkpoint is loaded before the guest counts as protected
  milliseconds feed_interval{500};  ///< between two checkpoints for xl, at least
  std::function<void(const std::string&)> log;

  std::string LogPath() const { return state_dir + "/xl.log"; }
  std::string RecordPath() const { return state_dir + "/xl.pid"; }
};

/// The Activator under Xen: keeps a stock `xl migrate-receive -r` supplied with
/// committed epochs, so that the domain's memory is here before it is needed,
/// and lets it run the last one at Activate(). A trial is a domain of its own, which is gone before the one that waits
/// is made: two would need the guest's memory twice. Calls one at a time, from any
/// thread, as Activator says; Committed() on its own.
class XlReceiver : public session::Activator {
 public:
  explicit XlReceiver(XlOptions options);
  /// Ends an xl that waits; a domain that runs goes on.
  ~XlReceiver() override;

  /// Once, before all else: ends what an earlier run has left waiting, and
  /// finds the domain if that runs here.
  Status Recover();

  Status MayStart() override;
  Status Prepare(const memrep::GuestImage& image) override;
  Status TryLoad(const memrep::GuestImage& image) override;
  void EndTrial() override { trial_interrupt_.Raise(); }
  void Committed(const memrep::GuestImage& image) override;
  Status Activate(const memrep::GuestImage& image) override;
  Status Boot() override;
  void Discard() override;
  bool Running() override;

 private:
  enum class Order { kFeed, kRun, kEnd };

  Result<std::string> Xl(const std::vector<std::string>& arguments);
  bool DomainExists(const std::string& name);
  /// A failover must not be the first to find that the device model does not
  /// start here; and it finds it in the page cache.
  Status TryDeviceModel();
  void DestroyIncoming();
  /// The trial domain stands, paused; or kRefused with what xl says.
  Status LoadTrial(const memrep::GuestImage& image);
  Status LoadTrialOnce(const memrep::GuestImage& image);
  void Feed(const memrep::GuestImage& image);
  Status FeedOne(const memrep::GuestImage& image);
  /// Lets the domain run; what fails before it runs is tried once more, with a fresh xl.
  Status Run(const memrep::GuestImage& image);
  /// The domain that waits, and its xl, are gone; the next FeedOne() begins anew.
  void StartOver();
  Status Begin(const memrep::GuestImage& image);
  /// @return whether there is something to do but to end.
  bool AwaitWork();
  void StopThread();

  const XlOptions options_;
  std::string own_config_;
  std::string domain_;  ///< its name for xl
  os::Interrupt interrupt_, trial_interrupt_;

  std::mutex mutex_;  ///< guards what follows
  std::condition_variable changed_;
  Order order_ = Order::kEnd;
  Epoch committed_ = kSyncEpoch;
  bool trial_due_ = false;  ///< nothing is fed before it
  bool run_done_ = false;
  Status run_status_;
  bool running_ = false;

  // Of the feeding thread.
  std::unique_ptr<StreamReader> reader_;
  std::unique_ptr<StreamFeed> feed_;
  Thread thread_;
};

}  // namespace haven::havend

#endif
