// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/backup_store.h"

#include <algorithm>
#include <cerrno>
#include <glib.h>
#include <unistd.h>

#include "core/threads.h"
#include "core/assert.h"
#include "core/failpoint.h"
#include "os/durable_file.h"
#include "os/files.h"

namespace haven::session {
namespace {

std::string JournalPath(const StoreOptions& options) { return options.state_dir + "/journal"; }
/// The LAYOUT record of the guest that the journal belongs to.
std::string LayoutPath(const StoreOptions& options) { return options.state_dir + "/layout"; }

Status SaveLayout(const StoreOptions& options, const wire::Layout& layout) {
  if (g_mkdir_with_parents(options.state_dir.c_str(), 0700) != 0) {
    return Status::FromErrno(errno, "cannot create " + options.state_dir);
  }
  return os::ReplaceFileDurably(LayoutPath(options), wire::Encode(layout));
}

/// @return an empty layout if there is no file.
Result<wire::Layout> LoadLayout(const StoreOptions& options) {
  gchar* text = nullptr;
  gsize bytes = 0;
  GError* error = nullptr;
  if (!g_file_get_contents(LayoutPath(options).c_str(), &text, &bytes, &error)) {
    bool missing = g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
    Status status(StatusCode::kEnvironment, error->message);
    g_error_free(error);
    if (missing) return wire::Layout{};
    return status;
  }
  auto layout = wire::DecodeLayout({reinterpret_cast<uint8_t*>(text), bytes});
  g_free(text);
  return layout;
}

/// Under a load that never pauses there are two of them, and what is not applied yet.
uint64_t SegmentBytes(const StoreOptions& options) {
  return std::min(options.journal_limit_bytes / 4, blkrep::Journal::kSegmentBytes);
}

blkrep::Request ToRequest(wire::Type type, const wire::DiskRequest& r) {
  blkrep::Request request;
  request.kind = type == wire::Type::kDiskWrite  ? blkrep::Request::Kind::kWrite
                 : type == wire::Type::kDiskZero ? blkrep::Request::Kind::kZero
                                                 : blkrep::Request::Kind::kDiscard;
  request.may_unmap = (r.flags & wire::kDiskMayUnmap) != 0;
  request.disk = r.disk;
  request.offset = r.offset;
  request.bytes = r.bytes;
  return request;
}

}  // namespace

Result<std::vector<std::unique_ptr<blkrep::Replica>>> BackupStore::OpenReplicas(
    const StoreOptions& options, const wire::Layout& layout, const std::vector<blkrep::ReplicaOptions>& how) {
  std::vector<std::unique_ptr<blkrep::Replica>> replicas;
  for (size_t i = 0; i < layout.disks.size(); i++) {
    const auto& disk = layout.disks[i];
    auto path = options.disks.find(disk.name);
    if (path == options.disks.end()) {
      return Status(StatusCode::kRefused, "the backup's configuration names no replica for disk " + disk.name);
    }
    auto replica = blkrep::Replica::Open(path->second, disk.bytes, i < how.size() ? how[i] : blkrep::ReplicaOptions{});
    if (!replica.ok()) return replica.status().With("replica of disk " + disk.name);
    replicas.push_back(std::move(replica.value()));
  }
  return replicas;
}

Result<std::unique_ptr<BackupStore>> BackupStore::Create(const StoreOptions& options, const wire::Layout& layout,
                                                         const std::vector<blkrep::ReplicaOptions>& how) {
  auto store = std::unique_ptr<BackupStore>(new BackupStore);
  store->layout_ = layout;
  store->journal_limit_bytes_ = options.journal_limit_bytes;
  store->durable_ = options.durable && !BreakRequested("ack-before-stable");
  auto image = memrep::GuestImage::Create(layout, options.ram_region, options.memory_limit_bytes);
  if (!image.ok()) return image.status();
  store->image_ = std::move(image.value());
  store->workers_ = std::make_unique<memrep::WorkerPool>(options.threads);
  store->staging_ = std::make_unique<memrep::EpochStaging>(*store->image_, store->workers_.get());
  auto replicas = OpenReplicas(options, layout, how);
  if (!replicas.ok()) return replicas.status();
  store->replicas_ = std::move(replicas.value());
  return store;
}

Status BackupStore::Begin(const StoreOptions& options) {
  HAVEN_RETURN_IF_ERROR(DropJournal(options));
  HAVEN_RETURN_IF_ERROR(SaveLayout(options, layout_));
  auto journal = blkrep::Journal::Open(JournalPath(options), SegmentBytes(options));
  if (!journal.ok()) return journal.status();
  journal_ = std::move(journal.value());
  HAVEN_RETURN_IF_ERROR(journal_->StartOver());
  journal_bytes_ = journal_->FileBytes();
  return Status::Ok();
}

void BackupStore::Share(std::unique_ptr<memrep::StoreLease> lease) {
  lease_ = std::move(lease);
  staging_->Share(lease_.get());
}

Status BackupStore::DropJournal(const StoreOptions& options) {
  for (const std::string& path : {LayoutPath(options), JournalPath(options), JournalPath(options) + ".2"}) {
    if (os::Files::Here().Unlink(path.c_str()) != 0 && errno != ENOENT)
      return Status::FromErrno(errno, "cannot remove " + path);
  }
  return Status::Ok();
}

bool BackupStore::HasJournal(const StoreOptions& options) { return access(LayoutPath(options).c_str(), F_OK) == 0; }

Result<Epoch> BackupStore::Recover(const StoreOptions& options) {
  auto layout = LoadLayout(options);
  if (!layout.ok()) return layout.status().With("recovery of an earlier run");
  if (layout.value().disks.empty()) return kSyncEpoch;
  auto journal = blkrep::Journal::Open(JournalPath(options));
  if (!journal.ok()) return journal.status();
  const Epoch committed = journal.value()->LastCommitted();
  if (committed != kSyncEpoch) {
    // Somebody may have made them longer since, for a disk that has grown.
    auto replicas = OpenReplicas(options, layout.value(),
                                 std::vector(layout.value().disks.size(), blkrep::ReplicaOptions{.longer = true}));
    if (!replicas.ok()) return replicas.status().With("recovery of an earlier run");
    Mutex unshared;
    HAVEN_RETURN_IF_ERROR(ApplyJournal(*journal.value(), unshared, replicas.value(), committed, true));
  }
  HAVEN_RETURN_IF_ERROR(journal.value()->DiscardUncommitted());
  return committed;
}

Status BackupStore::ApplyJournal(blkrep::Journal& journal, Mutex& mutex,
                                 std::vector<std::unique_ptr<blkrep::Replica>>& replicas, Epoch epoch, bool durable) {
  std::vector<blkrep::Journal::Entry> entries;
  {
    std::lock_guard lock(mutex);
    entries = journal.TakeCommitted();
  }
  Bytes data;
  for (const auto& entry : entries) {
    if (entry.request.disk >= replicas.size()) return {StatusCode::kInvalid, "the journal is of other disks"};
    bool has_data = entry.request.kind == blkrep::Request::Kind::kWrite;
    data.resize(has_data ? entry.request.bytes : 0);
    if (has_data) HAVEN_RETURN_IF_ERROR(journal.ReadData(entry, data));
    HAVEN_RETURN_IF_ERROR(replicas[entry.request.disk]->Apply(entry.request, data));
  }
  if (durable) {
    for (auto& replica : replicas) HAVEN_RETURN_IF_ERROR(replica->Sync());
  }
  if (BreakRequested("journal-replay-after-promotion")) return Status::Ok();
  std::lock_guard lock(mutex);
  return journal.MarkApplied(epoch);
}

Status BackupStore::CheckJournal(size_t data_bytes) const {
  if (journal_->FileBytes() + data_bytes < journal_limit_bytes_) return Status::Ok();
  return {StatusCode::kEnvironment, "the backup's journal has reached its limit of " +
                                        std::to_string(journal_limit_bytes_ >> 20) +
                                        " MiB (journal-limit-mb): its replicas do not keep up with what the guest "
                                        "writes"};
}

Status BackupStore::OnDiskRecord(const Record& record, const wire::DiskRequest& request) {
  if (request.disk >= replicas_.size() || request.offset > layout_.disks[request.disk].bytes ||
      request.bytes > layout_.disks[request.disk].bytes - request.offset) {
    return {StatusCode::kProtocol,
            std::string(wire::TypeName(record.header.type)) + " record: lies outside of the disk"};
  }
  ByteSpan data = ByteSpan(record.body).subspan(wire::kDiskRequestBytes);
  blkrep::Request change = ToRequest(record.header.type, request);
  disk_bytes_ += record.body.size();
  Epoch epoch = record.header.epoch;
  Epoch committed = committed_.load();
  if ((request.flags & wire::kDiskSync) != 0) {
    // Not part of an epoch: there is no earlier state of the disk to return to.
    if (epoch != kSyncEpoch || committed != kSyncEpoch)
      return {StatusCode::kProtocol, "first copy of a disk inside an epoch"};
    HAVEN_RETURN_IF_ERROR(replicas_[request.disk]->Apply(change, data));
    return durable_ ? replicas_[request.disk]->Sync() : Status::Ok();
  }
  std::lock_guard lock(journal_mutex_);
  committed = committed_.load();  // may have moved until the lock was had
  // Those in flight, and the one in which the guest runs.
  if (epoch <= committed || epoch > committed + kMostEpochsInFlight + 1) {
    return {StatusCode::kProtocol,
            "disk record of epoch " + std::to_string(epoch) + " after epoch " + std::to_string(committed)};
  }
  HAVEN_RETURN_IF_ERROR(CheckJournal(data.size()));
  HAVEN_RETURN_IF_ERROR(journal_->Append(epoch, change, data));
  journal_bytes_ = journal_->FileBytes();
  return durable_ ? journal_->Sync() : Status::Ok();
}

Status BackupStore::OnDiskFlush() {
  if (!durable_) return Status::Ok();
  std::lock_guard lock(journal_mutex_);
  return journal_->Sync();
}

uint64_t BackupStore::DiskRecordsOf(Epoch epoch) {
  std::lock_guard lock(journal_mutex_);
  return journal_->CountOf(epoch);
}

Status BackupStore::OnMemoryRecord(Record& record) {
  memory_bytes_ += record.body.size();
  if (record.header.type == wire::Type::kPages) return staging_->AddPages(record.header.epoch, record.body);
  HAVEN_ASSERT(record.header.type == wire::Type::kDeviceState);
  return staging_->AddDeviceState(record.header.epoch, record.body);
}

Status BackupStore::Commit(Epoch epoch, const wire::EpochEnd& end) {
  HAVEN_RETURN_IF_ERROR(staging_->Check(epoch, end));
  std::lock_guard lock(journal_mutex_);
  uint64_t records = journal_->CountOf(epoch);
  if (records != end.disk_records) {
    return {StatusCode::kProtocol, "EPOCH_END counts " + std::to_string(end.disk_records) + " disk records, " +
                                       std::to_string(records) + " came"};
  }
  Status until_applied{StatusCode::kEnvironment, "epoch " + std::to_string(epoch) + " was committed, but not applied"};
  HAVEN_RETURN_IF_ERROR(journal_->Commit(epoch, durable_));
  committed_ = epoch;
  apply_failure_ = std::move(until_applied);
  return Status::Ok();
}

Status BackupStore::Apply(Epoch epoch, const wire::EpochEnd& end) {
  staging_->Apply(epoch, end);
  apply_failure_ = ApplyJournal(*journal_, journal_mutex_, replicas_, epoch, durable_);
  HAVEN_RETURN_IF_ERROR(apply_failure_);
  std::lock_guard lock(journal_mutex_);
  journal_bytes_ = journal_->FileBytes();
  return Status::Ok();
}

Status BackupStore::Finish() {
  staging_->Clear();
  Share(nullptr);  // the image has its own copies
  HAVEN_RETURN_IF_ERROR(journal_->DiscardUncommitted());
  // The journal has handed those requests out; only Recover() gets them again.
  HAVEN_RETURN_IF_ERROR(apply_failure_);
  journal_bytes_ = journal_->FileBytes();
  if (committed_ == kSyncEpoch) return Status::Ok();
  HAVEN_RETURN_IF_ERROR(ApplyJournal(*journal_, journal_mutex_, replicas_, committed_, true));
  journal_bytes_ = journal_->FileBytes();
  // Else a crash of the host could have it applied again, over what the guest writes from here on.
  return journal_->Sync();
}

}  // namespace haven::session
