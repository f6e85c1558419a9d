// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/xl_receiver.h"

#include "core/guarded.h"
#include "os/run_program.h"
#include "havend/xl/domain_config.h"
#include "havend/xl/libxl_stream.h"
#include "havend/xl/trial_config.h"
#include "havend/xl/trial_disks.h"
#include "havend/xl/xl_log.h"

namespace haven::havend {
namespace {

constexpr milliseconds kXlTimeout{30000};
constexpr milliseconds kBannerTimeout{60000};
constexpr milliseconds kRunTimeout{300000};
constexpr milliseconds kRestartDelay{5000};

}  // namespace

XlReceiver::XlReceiver(XlOptions options) : options_(std::move(options)) {}

XlReceiver::~XlReceiver() { Discard(); }

Result<std::string> XlReceiver::Xl(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{options_.xl};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return os::RunProgram(argv, options_.LogPath(), kXlTimeout);
}

bool XlReceiver::DomainExists(const std::string& name) { return Xl({"domid", name}).ok(); }

void XlReceiver::DestroyIncoming() {
  const std::string incoming = domain_ + "--incoming";
  if (!DomainExists(incoming)) return;
  auto destroyed = Xl({"destroy", incoming});
  if (!destroyed.ok()) options_.log("domain " + incoming + " is left over: " + destroyed.status().message());
}

Status XlReceiver::Recover() {
  auto config = Xl({"create", "-n", options_.config_path});
  if (!config.ok()) return config.status().With("the domain's configuration " + options_.config_path);
  own_config_ = config.value();
  auto name = DomainName(own_config_);
  if (!name.ok()) return name.status().With(options_.config_path);
  domain_ = name.value();
  KillRecorded(options_.RecordPath());
  DestroyIncoming();
  running_ = DomainExists(domain_);
  if (running_) options_.log("guest " + options_.name + ": domain " + domain_ + " runs here");
  return Status::Ok();
}

bool XlReceiver::Running() {
  {
    std::lock_guard lock(mutex_);
    if (!running_) return false;
  }
  const bool exists = DomainExists(domain_);
  std::lock_guard lock(mutex_);
  running_ = exists;
  return exists;
}

Status XlReceiver::TryDeviceModel() {
  const std::string program = DeviceModel(own_config_);
  if (program.empty()) return Status::Ok();
  auto version = os::RunProgram({program, "--version"}, options_.LogPath(), kXlTimeout);
  if (version.ok()) return Status::Ok();
  return {StatusCode::kRefused, "the device model of " + options_.config_path + " does not run on this host: " +
                                    version.status().message() + "; see " + options_.LogPath()};
}

Status XlReceiver::MayStart() {
  if (!DomainExists(domain_)) return Status::Ok();
  return {StatusCode::kRefused,
          "domain " + domain_ + " runs on this host already: end it first (xl destroy " + domain_ + ")"};
}

Status XlReceiver::Prepare(const memrep::GuestImage& image) {
  HAVEN_RETURN_IF_ERROR(StreamFeed::CheckImage(image));
  HAVEN_RETURN_IF_ERROR(TryDeviceModel());
  HAVEN_RETURN_IF_ERROR(MayStart());
  Discard();
  image.TrackChanges();
  std::lock_guard lock(mutex_);
  order_ = Order::kFeed;
  committed_ = kSyncEpoch;
  trial_due_ = options_.trial;
  run_done_ = false;
  interrupt_.Lower();
  trial_interrupt_.Lower();
  thread_ = Thread([this, &image] { Feed(image); },
                   [this](const Status& status) {
                     std::lock_guard failed_lock(mutex_);
                     run_status_ = status;
                     run_done_ = true;
                     changed_.notify_all();
                   });
  return Status::Ok();
}

Status XlReceiver::TryLoad(const memrep::GuestImage& image) {
  if (!options_.trial) return Status::Ok();
  HAVEN_RETURN_IF_ERROR(Guarded([&] { return LoadTrial(image); }));
  options_.log("guest " + options_.name + ": a trial domain was loaded with its first checkpoint");
  std::lock_guard lock(mutex_);
  trial_due_ = false;
  changed_.notify_all();
  return Status::Ok();
}

Status XlReceiver::LoadTrial(const memrep::GuestImage& image) {
  const XlLog log(options_.LogPath());
  Status tried = LoadTrialOnce(image);
  DestroyIncoming();
  if (tried.code() != StatusCode::kEnvironment) return tried;
  options_.log("guest " + options_.name + ": " + tried.message() + "; trying once more, with a fresh xl");
  tried = LoadTrialOnce(image).AfterTry(tried);
  DestroyIncoming();
  if (tried.code() != StatusCode::kEnvironment) return tried;
  const std::string words = log.Complaint();
  return {StatusCode::kRefused, "xl cannot load the guest's state on this host: " + tried.message() +
                                    (words.empty() ? "" : "; xl says: " + words)};
}

Status XlReceiver::LoadTrialOnce(const memrep::GuestImage& image) {
  TrialDisks disks(options_.state_dir);
  auto reader = StreamReader::Spawn({options_.xl, "migrate-receive", "-e"}, options_.LogPath(), options_.RecordPath());
  if (!reader.ok()) return reader.status();
  StreamReader& xl = *reader.value();
  HAVEN_RETURN_IF_ERROR(xl.Expect(kReceiverBanner, kBannerTimeout, trial_interrupt_));
  auto configure = [&](const std::string& primary) -> Result<std::string> {
    auto merged = MergeDomainConfig(own_config_, primary);
    if (!merged.ok()) return merged;
    return MakeTrialConfig(merged.value(), [&](const std::string& disk) { return disks.Add(disk); });
  };
  auto feed = StreamFeed::Create(image, configure, [&](ByteSpan data) { return xl.Write(data, trial_interrupt_); });
  if (!feed.ok()) return feed.status();
  HAVEN_RETURN_IF_ERROR(feed.value().Plain());
  return xl.Expect(kReceiverReady, kRunTimeout, trial_interrupt_);
}

void XlReceiver::Committed(const memrep::GuestImage& image) {
  std::lock_guard lock(mutex_);
  committed_ = image.epoch();  // on the thread that writes it
  changed_.notify_all();
}

Status XlReceiver::Activate(const memrep::GuestImage& image) {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) {
    return {StatusCode::kEnvironment, "nothing waits for the guest on this host"};
  }
  committed_ = image.epoch();
  order_ = Order::kRun;
  changed_.notify_all();
  changed_.wait(lock, [this] { return run_done_; });
  Status status = run_status_;
  running_ = status.ok();
  lock.unlock();
  StopThread();
  if (status.ok()) return status;
  DestroyIncoming();
  return status;
}

Status XlReceiver::Boot() {
  HAVEN_RETURN_IF_ERROR(MayStart());
  Discard();
  auto created = Xl({"create", options_.config_path});
  if (!created.ok()) return created.status().With("the domain does not start");
  std::lock_guard lock(mutex_);
  running_ = true;
  return Status::Ok();
}

void XlReceiver::StopThread() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    order_ = Order::kEnd;
    interrupt_.Raise();
    changed_.notify_all();
  }
  thread_.join();
}

void XlReceiver::Discard() {
  if (!thread_.joinable()) return;
  StopThread();
  DestroyIncoming();
}

// --- the feeding thread -------------------------------------------------------

bool XlReceiver::AwaitWork() {
  std::unique_lock lock(mutex_);
  const Epoch fed = feed_ ? feed_->epoch() : kSyncEpoch;
  changed_.wait(lock, [&] { return order_ != Order::kFeed || (committed_ > fed && !trial_due_); });
  return order_ != Order::kEnd;
}

Status XlReceiver::Begin(const memrep::GuestImage& image) {
  auto reader = StreamReader::Spawn({options_.xl, "migrate-receive", "-r"}, options_.LogPath(), options_.RecordPath());
  if (!reader.ok()) return reader.status();
  reader_ = std::move(reader.value());
  HAVEN_RETURN_IF_ERROR(reader_->Expect(kReceiverBanner, kBannerTimeout, interrupt_));
  auto configure = [this](const std::string& primary) { return MergeDomainConfig(own_config_, primary); };
  auto sink = [this](ByteSpan data) { return reader_->Write(data, interrupt_); };
  auto feed = StreamFeed::Create(image, configure, sink);
  if (!feed.ok()) return feed.status();
  feed_ = std::make_unique<StreamFeed>(std::move(feed.value()));
  return Status::Ok();
}

Status XlReceiver::FeedOne(const memrep::GuestImage& image) {
  bool run;
  Epoch committed;
  {
    std::lock_guard lock(mutex_);
    run = order_ == Order::kRun;
    committed = committed_;
  }
  if (reader_ && reader_->Ended()) reader_.reset();
  if (!reader_) {
    feed_.reset();
    HAVEN_RETURN_IF_ERROR(Begin(image));
  }
  if (feed_->epoch() < committed) HAVEN_RETURN_IF_ERROR(feed_->Checkpoint());
  if (!run) return Status::Ok();
  HAVEN_RETURN_IF_ERROR(feed_->End());
  return reader_->WaitForSuccess(kRunTimeout, interrupt_);
}

void XlReceiver::StartOver() {
  reader_.reset();
  feed_.reset();
  DestroyIncoming();
}

Status XlReceiver::Run(const memrep::GuestImage& image) {
  Status first = FeedOne(image);
  // Under its own name the domain may have run.
  if (first.ok() || first.code() == StatusCode::kTryAgain || DomainExists(domain_)) return first;
  options_.log("guest " + options_.name + ": " + first.message() + "; trying once more, with a fresh xl");
  StartOver();
  return FeedOne(image).AfterTry(first);
}

void XlReceiver::Feed(const memrep::GuestImage& image) {
  while (AwaitWork()) {
    bool run;
    {
      std::lock_guard lock(mutex_);
      run = order_ == Order::kRun;
    }
    const bool first = feed_ == nullptr;
    const Status status = Guarded([&] { return run ? Run(image) : FeedOne(image); });
    if (status.ok() && first && !run) {
      options_.log("guest " + options_.name + ": epoch " + std::to_string(feed_->epoch()) +
                   " is in the domain that waits");
    }
    std::unique_lock lock(mutex_);
    // An order to run that came while feeding is carried out in another turn.
    if (run) {
      run_status_ = status;
      run_done_ = true;
      changed_.notify_all();
      break;
    }
    if (order_ == Order::kEnd) break;
    if (!status.ok()) {
      lock.unlock();
      options_.log("guest " + options_.name + ": " + status.message() + "; starting the domain that waits again");
      StartOver();
      lock.lock();
    }
    changed_.wait_for(lock, status.ok() ? options_.feed_interval : kRestartDelay,
                      [this] { return order_ != Order::kFeed; });
  }
  feed_.reset();
  reader_.reset();
}

}  // namespace haven::havend
