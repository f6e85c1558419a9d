// SPDX-License-Identifier: GPL-2.0-or-later
//
// A whole session as the backup gets it. The input is a row of records, each
// with an octet in front that says on which connection it comes; checksums are
// mended, a body that is too long is cut. Whatever comes: no crash, memory and
// disks of the same epoch, and the replicas as large as the disks.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/assert.h"
#include "core/crc32c.h"
#include "memrep/page_stores.h"
#include "session/backup_session.h"

using namespace haven;
using namespace haven::session;

namespace {

constexpr uint64_t kMemoryLimit = 1 << 20;
constexpr uint64_t kDiskLimit = 1 << 20;

class Silence : public RecordSender {
 public:
  Status Send(wire::Type, Epoch, std::span<const ByteSpan>) override { return Status::Ok(); }
};

class Backup : private BackupSession::Events {
 public:
  explicit Backup(const std::string& folder) : folder_(folder) {
    options_.state_dir = folder + "/state";
    options_.ram_region = "pc.ram";
    options_.disks = {{"vda", folder + "/vda"}, {"vdb", folder + "/vdb"}};
    options_.memory_limit_bytes = kMemoryLimit;
    options_.threads = 1;
  }

  Status Feed(uint8_t connection, Record& record) {
    if (connection % 3 == 0) return session_.OnMemory(record);
    return connection % 3 == 1 ? session_.OnControl(record) : session_.OnDisk(record, silence_);
  }
  void Finish() {
    if (!store_) return;
    HAVEN_ASSERT(store_->Finish().ok());
    HAVEN_ASSERT(store_->committed() == store_->image().epoch());
    for (const auto& disk : store_->layout().disks) {
      struct stat st;
      HAVEN_ASSERT(stat((folder_ + "/" + disk.name).c_str(), &st) == 0);
      HAVEN_ASSERT(static_cast<uint64_t>(st.st_size) == disk.bytes);
    }
    store_.reset();
    HAVEN_ASSERT(BackupStore::Recover(options_).ok());
  }

 private:
  Status OnIdentity(const wire::Identity&, wire::Identity&) override { return Status::Ok(); }
  Result<std::unique_ptr<memrep::StoreLease>> OnStore(const wire::Token& host) override {
    return page_stores_.Lease("group", host);
  }
  Result<BackupStore*> OnLayout(const wire::Layout& layout, std::vector<wire::LayoutReply::Copy>& copies) override {
    for (const auto& disk : layout.disks) {
      if (disk.bytes > kDiskLimit) return Status(StatusCode::kRefused, "too large for the fuzzer's file system");
    }
    copies.assign(layout.disks.size(), wire::LayoutReply::Copy::kAll);
    store_.reset();
    auto store =
        BackupStore::Create(options_, layout, std::vector(layout.disks.size(), blkrep::ReplicaOptions{true, true}));
    if (!store.ok()) return store.status();
    HAVEN_RETURN_IF_ERROR(store.value()->Begin(options_));
    store_ = std::move(store.value());
    return store_.get();
  }
  void OnMachine(std::string description) override { HAVEN_ASSERT(wire::CheckMachine(description).ok()); }
  void OnCommitted(Epoch epoch) override { HAVEN_ASSERT(epoch == store_->image().epoch()); }
  void OnGoodbye(wire::Goodbye) override {}
  Status OnLiveness(const wire::Liveness&) override { return Status::Ok(); }

  std::string folder_;
  memrep::PageStores page_stores_{8};
  StoreOptions options_;
  std::unique_ptr<BackupStore> store_;
  Silence silence_;
  // Nobody would end its wait for disk records.
  BackupSession session_{*this, silence_, wire::kFeaturesKnown & ~wire::kFeatureDiskAckEpoch};
};

struct Folder {
  Folder() {
    path = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    path += "/haven-session-fuzz-XXXXXX";
    HAVEN_ASSERT(mkdtemp(path.data()) != nullptr);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  static const Folder folder;
  Backup backup(folder.path);
  ByteReader in({octets, size});
  while (in.left() > wire::kHeaderBytes) {
    uint8_t connection = in.U8();
    ByteSpan raw = in.Raw(wire::kHeaderBytes);
    ByteReader fields(raw);
    fields.U32();
    uint16_t type = fields.U16();
    fields.U16();
    Record record;
    record.header.epoch = fields.U64();
    fields.U32();
    size_t body_bytes = std::min<size_t>(fields.U32(), in.left());
    record.header.type = static_cast<wire::Type>(type);
    if (!wire::IsKnownType(record.header.type)) break;  // Link passes over it or ends
    record.header.body_bytes = static_cast<uint32_t>(body_bytes);
    ByteSpan body = in.Raw(body_bytes);
    record.body.assign(body.begin(), body.end());
    if (!backup.Feed(connection, record).ok()) break;
  }
  backup.Finish();
  return 0;
}
