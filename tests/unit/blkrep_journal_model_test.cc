// SPDX-License-Identifier: GPL-2.0-or-later
//
// Journal and replicas as the backup uses them, against disks in memory,
// through random histories with deaths of the process at any octet.

#include <random>

#include "blkrep/journal.h"
#include "blkrep/replica.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

constexpr uint64_t kDiskBytes = 64 * 1024;
constexpr uint32_t kDisks = 2;
using Disks = std::vector<Bytes>;

void ApplyTo(Disks& disks, const Taken& taken) {
  const Request& r = taken.request;
  uint8_t* at = disks[r.disk].data() + r.offset;
  if (r.kind == Request::Kind::kWrite)
    std::copy(taken.data.begin(), taken.data.end(), at);
  else
    std::fill_n(at, r.bytes, 0);
}

/// One life after the other of a backup, each ending in a crash.
class Backup {
 public:
  Backup(const TempFolder& folder, uint32_t seed) : folder_(folder), random_(seed) {
    committed_.assign(kDisks, Bytes(kDiskBytes));
    Start();
  }

  void Live(int steps) {
    for (int i = 0; i < steps; i++) Step();
  }

  /// Ends the process, possibly within a write, and starts it again.
  void Crash() {
    if (random_() % 3 == 0) ApplyPartly();
    const Files before = Files::Of(Path());
    // The commit that is being written when it dies may or may not count.
    const bool in_commit = random_() % 2 == 0;
    if (in_commit) {
      Check(journal_->Commit(epoch_, false));
    } else {
      Append();
    }
    journal_.reset();
    const Files after = Files::Of(Path());
    CutWithinTheGrowth(before.first, after.first, Path());
    CutWithinTheGrowth(before.second, after.second, Path() + ".2");
    Start();
    if (in_commit && journal_->LastCommitted() == epoch_ && epoch_ > last_committed_) Committed();
    CHECK_EQUAL(last_committed_, journal_->LastCommitted());
    STRCMP_EQUAL("", journal_->Damage().c_str());
    staged_.clear();
    epoch_ = last_committed_ + 1;
  }

  /// Failover: what the backup's disks hold is the last committed epoch.
  void CheckDisks() {
    Check(journal_->DiscardUncommitted());
    staged_.clear();
    ApplyCommitted();
    for (uint32_t disk = 0; disk < kDisks; disk++) CHECK(ReadFile(DiskPath(disk)) == committed_[disk]);
    epoch_ = last_committed_ + 1;
  }

  Epoch last_committed() const { return last_committed_; }

 private:
  void Step() {
    switch (random_() % 10) {
      default: Append(); break;
      case 6:
        epoch_++;  // the next epoch's requests arrive before this one's commit
        break;
      case 7: {
        const Epoch done = epoch_ - random_() % 2;
        if (done <= last_committed_) break;
        Check(journal_->Commit(done, random_() % 4 == 0));
        last_committed_ = done;
        Count();
        if (done == epoch_) epoch_++;
        break;
      }
      case 8: ApplyCommitted(); break;
      case 9:
        if (random_() % 4 != 0) break;
        Check(journal_->DiscardUncommitted());
        staged_.clear();
        break;
    }
  }

  void Append() {
    Taken taken;
    taken.epoch = epoch_;
    Request& r = taken.request;
    r.kind = static_cast<Request::Kind>(1 + random_() % 3);
    r.disk = random_() % kDisks;
    r.offset = random_() % (kDiskBytes - 1);
    r.bytes = random_() % std::min<uint64_t>(3000, kDiskBytes - r.offset);
    r.may_unmap = r.kind == Request::Kind::kZero && random_() % 2;
    if (r.kind == Request::Kind::kWrite) taken.data = Pattern(r.bytes, static_cast<uint8_t>(random_()));
    Check(journal_->Append(epoch_, r, taken.data));
    staged_.push_back(std::move(taken));
  }

  void Committed() {
    last_committed_ = epoch_;
    Count();
  }
  void Count() {
    while (!staged_.empty() && staged_.front().epoch <= last_committed_) {
      ApplyTo(committed_, staged_.front());
      staged_.erase(staged_.begin());
    }
  }

  void Apply(const Taken& taken) { Check(replicas_[taken.request.disk]->Apply(taken.request, taken.data)); }
  /// Dies in the middle of it: after the restart all is applied again.
  void ApplyPartly() {
    std::vector<Taken> all;
    Check(TakeAll(*journal_, all));
    all.resize(all.empty() ? 0 : random_() % all.size());
    for (const Taken& taken : all) Apply(taken);
  }
  void ApplyCommitted() {
    std::vector<Taken> all;
    Check(TakeAll(*journal_, all));
    for (const Taken& taken : all) Apply(taken);
    if (journal_->LastCommitted() > 0) Check(journal_->MarkApplied(journal_->LastCommitted()));
  }

  void CutWithinTheGrowth(const Bytes& before, const Bytes& after, const std::string& path) {
    if (after.size() <= before.size()) return;
    std::filesystem::resize_file(path, before.size() + random_() % (after.size() - before.size() + 1));
  }

  void Start() {
    auto opened = Journal::Open(Path(), 8 * 1024);
    Check(opened.status());
    journal_ = std::move(opened.value());
    for (uint32_t disk = 0; disk < kDisks; disk++) {
      replicas_[disk].reset();
      auto replica = Replica::Open(DiskPath(disk), kDiskBytes, {.create = true});
      Check(replica.status());
      replicas_[disk] = std::move(replica.value());
    }
  }

  std::string Path() const { return folder_.File("journal"); }
  std::string DiskPath(uint32_t disk) const { return folder_.File("disk" + std::to_string(disk)); }
  static void Check(const Status& status) { CHECK_TEXT(status.ok(), status.message().c_str()); }

  const TempFolder& folder_;
  std::mt19937 random_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Replica> replicas_[kDisks];
  Disks committed_;  ///< the model
  std::vector<Taken> staged_;
  Epoch epoch_ = 1;
  Epoch last_committed_ = 0;
};

}  // namespace

TEST_GROUP(JournalModel){};

TEST(JournalModel, DisksHoldTheLastCommittedEpochAfterAnyHistoryOfCrashes) {
  for (uint32_t seed = 1; seed <= 40; seed++) {
    TempFolder folder;
    Backup backup(folder, seed);
    for (int life = 0; life < 12; life++) {
      backup.Live(60);
      backup.Crash();
      if (life % 3 == 0) backup.CheckDisks();
    }
    backup.CheckDisks();
    CHECK(backup.last_committed() > 10);
  }
}
