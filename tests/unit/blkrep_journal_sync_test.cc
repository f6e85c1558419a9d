// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is left of a journal after a crash of the host, and after a storage
// that cannot sync. This file takes the place of libc's fdatasync() and
// ftruncate() and keeps, per file, the octets that a host would find again.

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>

#include "blkrep/journal.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

/// The stable storage of the test that is running, if it looks at it.
struct Platter {
  bool fails = false;
  std::map<std::string, Bytes> synced;     ///< as of the last sync; cutting waits for it, too
  std::map<std::string, Bytes> cut_early;  ///< the same, but cutting takes effect at once
};
Platter* platter = nullptr;

std::string PathOf(int fd) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string();
}

}  // namespace

extern "C" int fdatasync(int fd) {
  if (platter != nullptr) {
    if (platter->fails) {
      errno = EIO;
      return -1;
    }
    const std::string path = PathOf(fd);
    platter->synced[path] = platter->cut_early[path] = ReadFile(path);
  }
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

extern "C" int ftruncate(int fd, off_t length) noexcept {
  if (platter != nullptr) {
    Bytes& octets = platter->cut_early[PathOf(fd)];
    if (octets.size() > static_cast<size_t>(length)) octets.resize(length);
  }
  return static_cast<int>(syscall(SYS_ftruncate, fd, length));
}

TEST_GROUP(JournalSync) {
  TempFolder folder;
  std::string path = folder.File("j");
  Platter stable;

  void setup() override { platter = &stable; }
  void teardown() override { platter = nullptr; }

  std::unique_ptr<Journal> Open(const std::string& which, uint64_t segment_bytes) {
    auto opened = Journal::Open(which, segment_bytes);
    CHECK_TEXT(opened.ok(), opened.status().message().c_str());
    return std::move(opened.value());
  }
  void Append(Journal & journal, Epoch epoch) {
    const Status status = journal.Append(epoch, WriteOf(0, 90), Pattern(90, static_cast<uint8_t>(epoch)));
    CHECK_TEXT(status.ok(), status.message().c_str());
  }
  /// The host crashes now: everything known to be durable must be there.
  void CheckSurvives(std::map<std::string, Bytes> & octets, Epoch durable, Epoch applied, bool complete) {
    Platter* const active = std::exchange(platter, nullptr);
    const std::string copy = folder.File("copy");
    Files{octets[path], octets[path + ".2"]}.Restore(copy);
    auto journal = Open(copy, 700);
    CHECK(journal->LastCommitted() >= durable);
    if (complete) STRCMP_EQUAL("", journal->Damage().c_str());
    std::vector<Taken> taken;
    CHECK(TakeAll(*journal, taken).ok());
    Epoch next = journal->LastCommitted() + 1;
    for (auto at = taken.rbegin(); at != taken.rend(); ++at) {
      next--;
      CHECK_EQUAL(next, at->epoch);
      CHECK(at->data == Pattern(90, static_cast<uint8_t>(at->epoch)));
    }
    CHECK(next <= applied + 1);  // nothing between applied and committed is missing
    platter = active;
  }
  /// @param durable_every  one commit of so many is durable
  /// @param lag  of applying behind committing, epochs
  void Live(Epoch durable_every, Epoch lag) {
    stable = Platter();
    std::filesystem::remove(path);
    std::filesystem::remove(path + ".2");
    auto journal = Open(path, 700);
    Epoch durable = 0, applied = 0;
    const auto check = [&] {
      CheckSurvives(stable.synced, durable, applied, durable_every == 1);
      CheckSurvives(stable.cut_early, durable, applied, durable_every == 1);
    };
    for (Epoch epoch = 1; epoch <= 40; epoch++) {
      Append(*journal, epoch);
      check();
      const bool sync = epoch % durable_every == 0;
      CHECK(journal->Commit(epoch, sync).ok());
      if (sync) durable = epoch;
      check();
      journal->TakeCommitted();
      if (epoch <= lag) continue;
      applied = epoch - lag;
      CHECK(journal->MarkApplied(applied).ok());
      check();
    }
  }
};

TEST(JournalSync, KeepsDurableCommitsThroughACrashOfTheHostAfterAnyStep) {
  for (Epoch durable_every : {1, 2, 7})
    for (Epoch lag : {0, 1, 5}) Live(durable_every, lag);
}

TEST(JournalSync, DoesNotCommitWhatItCannotMakeDurable) {
  auto journal = Open(path, Journal::kSegmentBytes);
  Append(*journal, 1);
  CHECK(journal->Commit(1, true).ok());
  Append(*journal, 2);
  const uint64_t bytes = journal->FileBytes();
  stable.fails = true;
  const Status status = journal->Commit(2, true);
  CHECK(status.code() == StatusCode::kEnvironment);
  STRCMP_CONTAINS(("cannot sync the journal " + path).c_str(), status.message().c_str());
  CHECK_EQUAL(1, journal->LastCommitted());
  CHECK_EQUAL(bytes, journal->FileBytes());
  CHECK_EQUAL(1, journal->TakeCommitted().size());
  stable.fails = false;
  journal.reset();
  CHECK_EQUAL(1, Open(path, Journal::kSegmentBytes)->LastCommitted());
}

TEST(JournalSync, TrustsTheStorageNeverAgainAfterAFailedSync) {
  auto journal = Open(path, Journal::kSegmentBytes);
  Append(*journal, 1);
  stable.fails = true;
  CHECK_FALSE(journal->Sync().ok());
  stable.fails = false;
  CHECK_FALSE(journal->Sync().ok());
  CHECK_FALSE(journal->Commit(1, true).ok());
  CHECK_EQUAL(0, journal->LastCommitted());
}

TEST(JournalSync, SyncsBothFilesWhenNeitherWas) {
  auto journal = Open(path, 700);
  CHECK(journal->StartOver().ok());  // nothing is durable, so switching files syncs a header only
  for (int i = 0; i < 7; i++) Append(*journal, 1);
  CHECK(Files::Of(path).first.size() > 0 && Files::Of(path).second.size() > 0);
  CHECK(journal->Commit(1, true).ok());
  for (auto* octets : {&stable.synced, &stable.cut_early}) {
    CHECK((*octets)[path] == ReadFile(path));
    CHECK((*octets)[path + ".2"] == ReadFile(path + ".2"));
  }
}

TEST(JournalSync, SyncsNothingWithoutNeed) {
  auto journal = Open(path, Journal::kSegmentBytes);
  stable.synced.clear();
  Append(*journal, 1);
  CHECK(journal->Commit(1, false).ok());
  CHECK_EQUAL(0, stable.synced.size());
  CHECK(journal->Sync().ok());
  CHECK_EQUAL(1, stable.synced.size());
  stable.synced.clear();
  CHECK(journal->Sync().ok());
  CHECK_EQUAL(0, stable.synced.size());
}
