// SPDX-License-Identifier: GPL-2.0-or-later
//
// A journal that was cut off or damaged anywhere. The story that is recorded
// uses every kind of record and both files.

#include <sys/resource.h>

#include <csignal>

#include "blkrep/journal.h"
#include "blkrep/journal_format.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

constexpr uint64_t kSegment = 700;  // the story switches files several times

/// What a journal promises: its last commit, and what is left to apply.
struct Promise {
  Epoch committed = 0;
  std::vector<Taken> pending;
  bool operator==(const Promise&) const = default;
};

/// The files and the promise after each step.
struct Step {
  Files files;
  Promise promise;
};

class Story {
 public:
  explicit Story(const std::string& path) : path_(path) {
    auto opened = Journal::Open(path, kSegment);
    CHECK_TEXT(opened.ok(), opened.status().message().c_str());
    journal_ = std::move(opened.value());
    Done();
    for (Epoch epoch = 1; epoch <= 8; epoch++) Tell(epoch);
  }

  std::vector<Step> steps;
  std::vector<Promise> commits{Promise{}};  ///< everything ever committed, as of each commit

 private:
  void Tell(Epoch epoch) {
    const auto seed = static_cast<uint8_t>(epoch * 10);
    Append({epoch, WriteOf(epoch * 4096, 60), Pattern(60, seed)});
    if (epoch % 3 == 0) {
      Check(journal_->DiscardUncommitted());
      staged_.clear();
      Done();
      Append({epoch, WriteOf(epoch * 4096, 50), Pattern(50, seed + 1)});
    }
    Append({epoch, {Request::Kind::kZero, true, 1, 0, 1 << 20}, {}});
    Append({epoch + 1, {Request::Kind::kDiscard, false, 2, 512, 512}, {}});
    Check(journal_->Commit(epoch, epoch % 2 == 0));
    promise_.committed = epoch;
    MoveCommitted(epoch);
    Done();
    commits.push_back(promise_);
    if (epoch % 4 == 1) return;  // applying falls behind for a while
    std::vector<Taken> taken;
    Check(TakeAll(*journal_, taken));
    Check(journal_->MarkApplied(epoch));
    promise_.pending.clear();
    Done();
  }
  void Append(const Taken& taken) {
    Check(journal_->Append(taken.epoch, taken.request, taken.data));
    staged_.push_back(taken);
    Done();
  }
  void MoveCommitted(Epoch epoch) {
    while (!staged_.empty() && staged_.front().epoch <= epoch) {
      promise_.pending.push_back(staged_.front());
      staged_.erase(staged_.begin());
    }
  }
  void Done() { steps.push_back({Files::Of(path_), promise_}); }
  static void Check(const Status& status) { CHECK_TEXT(status.ok(), status.message().c_str()); }

  std::string path_;
  std::unique_ptr<Journal> journal_;
  Promise promise_;
  std::vector<Taken> staged_;
};

Bytes Cut(const Bytes& file, size_t bytes) { return {file.begin(), file.begin() + bytes}; }

}  // namespace

TEST_GROUP(JournalRecovery) {
  TempFolder folder;
  std::string path = folder.File("j");

  Result<std::unique_ptr<Journal>> Open(const Files& files) {
    files.Restore(path);
    return Journal::Open(path, kSegment);
  }
  Promise PromiseOf(Journal & journal) {
    Promise out{journal.LastCommitted(), {}};
    const Status status = TakeAll(journal, out.pending);
    CHECK_TEXT(status.ok(), status.message().c_str());
    return out;
  }
  /// Opens, compares, and checks that the journal goes on from there: dropped
  /// requests stay dropped when their epoch is committed after all.
  void CheckIsOneOf(const Files& files, const Promise& before, const Promise& after) {
    auto opened = Open(files);
    CHECK_TEXT(opened.ok(), opened.status().message().c_str());
    std::unique_ptr<Journal> journal = std::move(opened.value());
    STRCMP_EQUAL("", journal->Damage().c_str());
    Promise promise = PromiseOf(*journal);
    CHECK(promise == before || promise == after);
    const Taken more{promise.committed + 2, WriteOf(7, 5), Pattern(5, 7)};
    CHECK(journal->Append(more.epoch, more.request, more.data).ok());
    CHECK(journal->Commit(more.epoch, false).ok());
    journal.reset();
    auto again = Journal::Open(path, kSegment);
    CHECK_TEXT(again.ok(), again.status().message().c_str());
    promise.committed = more.epoch;
    promise.pending.push_back(more);
    CHECK(PromiseOf(*again.value()) == promise);
  }
};

// A process can die after any octet of a step. What it wrote before stays: the
// journal promises what it did before the step, or after it, and nothing else.
TEST(JournalRecovery, KeepsItsPromiseWhenTheProcessDiesAfterAnyOctet) {
  const Story story(folder.File("story"));
  bool used_second = false;
  for (size_t i = 1; i < story.steps.size(); i++) {
    const Step& before = story.steps[i - 1];
    const Step& after = story.steps[i];
    const auto check = [&](const Files& files) { CheckIsOneOf(files, before.promise, after.promise); };
    const auto grown = [](const Bytes& a, const Bytes& b) { return b.size() > a.size(); };
    check(after.files);
    // Files grow before others are cleared, so a file that shrank was whole
    // until then; a growing one has any length.
    for (size_t n = before.files.first.size();
         grown(before.files.first, after.files.first) && n < after.files.first.size(); n++)
      check({Cut(after.files.first, n), before.files.second});
    for (size_t n = before.files.second.size();
         grown(before.files.second, after.files.second) && n < after.files.second.size(); n++)
      check({before.files.first, Cut(after.files.second, n)});
    used_second = used_second || !after.files.second.empty();
  }
  CHECK(used_second);
}

TEST(JournalRecovery, PromisesACommittedPrefixWhereverEitherFileIsCutOrDamaged) {
  const Story story(folder.File("story"));
  const Step* both = nullptr;
  for (const Step& step : story.steps)
    if (!step.files.first.empty() && !step.files.second.empty()) both = &step;
  CHECK(both != nullptr);
  const Files& whole = both->files;
  const auto check = [&](const Files& files) {
    auto opened = Open(files);
    if (!opened.ok()) {  // a file header that was there, but is damaged
      STRCMP_CONTAINS("as a journal", opened.status().message().c_str());
      return;
    }
    CHECK(opened.value()->LastCommitted() <= both->promise.committed);
    const Promise promise = PromiseOf(*opened.value());
    for (size_t i = 0; i < promise.pending.size(); i++) {
      const Taken& taken = promise.pending[i];
      CHECK(taken.epoch <= promise.committed);
      bool known = false;
      for (const Promise& commit : story.commits)
        for (const Taken& t : commit.pending) known = known || t == taken;
      CHECK(known);
    }
  };
  for (size_t n = 0; n < whole.first.size(); n++) check({Cut(whole.first, n), whole.second});
  for (size_t n = 0; n < whole.second.size(); n++) check({whole.first, Cut(whole.second, n)});
  for (size_t n = 0; n < whole.first.size() + whole.second.size(); n++) {
    Files files = whole;
    (n < whole.first.size() ? files.first[n] : files.second[n - whole.first.size()]) ^= 0x10;
    check(files);
  }
}

TEST(JournalRecovery, NoticesEveryFlippedOctetAndLosesNothingBeforeIt) {
  auto opened = Journal::Open(path);
  std::vector<Promise> promises(1);
  std::vector<size_t> ends{journal::kFileHeaderBytes};
  for (Epoch epoch = 1; epoch <= 4; epoch++) {
    const Taken taken{epoch, WriteOf(epoch, 30), Pattern(30, static_cast<uint8_t>(epoch))};
    CHECK(opened.value()->Append(epoch, taken.request, taken.data).ok());
    CHECK(opened.value()->Commit(epoch, false).ok());
    promises.push_back({epoch, promises.back().pending});
    promises.back().pending.push_back(taken);
    ends.push_back(opened.value()->FileBytes());
  }
  opened.value().reset();
  const Files whole = Files::Of(path);
  for (size_t at = 0; at < whole.first.size(); at++) {
    Files flipped = whole;
    flipped.first[at] ^= static_cast<uint8_t>(1 << (at % 8));
    auto result = Open(flipped);
    if (at < journal::kFileHeaderBytes) {
      CHECK(result.status().code() == StatusCode::kInvalid);
      continue;
    }
    CHECK(result.ok());
    size_t kept = 0;
    while (ends[kept + 1] <= at) kept++;
    CHECK(PromiseOf(*result.value()) == promises[kept]);
    STRCMP_CONTAINS("checksum", result.value()->Damage().c_str());
  }
}

TEST(JournalRecovery, LeavesNothingOfAnUnfinishedEndInTheFile) {
  auto opened = Journal::Open(path);
  CHECK(opened.value()->Append(1, WriteOf(0, 500), Pattern(500, 1)).ok());
  CHECK(opened.value()->Commit(1, false).ok());
  const uint64_t sound = opened.value()->FileBytes();
  CHECK(opened.value()->Append(2, WriteOf(0, 500), Pattern(500, 2)).ok());
  opened.value().reset();
  Files files = Files::Of(path);
  files.first.pop_back();
  opened = Open(files);
  CHECK_EQUAL(sound, opened.value()->FileBytes());
  CHECK_EQUAL(sound, ReadFile(path).size());
}

TEST(JournalRecovery, FinishesAReleaseThatADeathInterrupted) {
  const Story story(folder.File("story"));
  int releases = 0;
  for (size_t i = 1; i < story.steps.size(); i++) {
    const Files& before = story.steps[i - 1].files;
    const Files& after = story.steps[i].files;
    const bool first_cleared = !before.first.empty() && after.first.empty();
    const bool second_cleared = !before.second.empty() && after.second.empty();
    if (first_cleared == second_cleared) continue;
    releases++;
    auto opened = Open(first_cleared ? Files{before.first, after.second} : Files{after.first, before.second});
    CHECK(PromiseOf(*opened.value()) == story.steps[i].promise);
    CHECK_EQUAL(0, ReadFile(first_cleared ? path : path + ".2").size());
  }
  CHECK(releases >= 2);
}

TEST(JournalRecovery, SaysThatAFileIsMissing) {
  const Story story(folder.File("story"));
  bool seen = false;
  for (const Step& step : story.steps) {
    const Files& files = step.files;
    if (files.first.empty() || files.second.empty()) continue;
    seen = true;
    const bool second_is_newer = files.second[16] > files.first[16];
    auto opened = Open(second_is_newer ? Files{{}, files.second} : Files{files.first, {}});
    CHECK_TEXT(opened.ok(), opened.status().message().c_str());
    STRCMP_CONTAINS("needs the file before it", opened.value()->Damage().c_str());
    CHECK(opened.value()->LastCommitted() < step.promise.committed || step.promise.pending.empty());
    CHECK_EQUAL(0, opened.value()->TakeCommitted().size());
  }
  CHECK(seen);
}

// The file size limit stands for a full disk: it stops a write in its middle.
TEST(JournalRecovery, IsAsBeforeWhenAWriteDoesNotFit) {
  auto opened = Journal::Open(path);
  Journal& journal = *opened.value();
  CHECK(journal.Append(1, WriteOf(0, 1000), Pattern(1000, 1)).ok());
  CHECK(journal.Commit(1, false).ok());
  CHECK(journal.Append(2, WriteOf(0, 1000), Pattern(1000, 2)).ok());
  const uint64_t bytes = journal.FileBytes();

  rlimit old_limit;
  LONGS_EQUAL(0, getrlimit(RLIMIT_FSIZE, &old_limit));
  const auto old_handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes + 100, old_limit.rlim_max};
  LONGS_EQUAL(0, setrlimit(RLIMIT_FSIZE, &limit));
  const Status data_status = journal.Append(2, WriteOf(0, 1000), Pattern(1000, 3));
  const uint64_t bytes_after = journal.FileBytes();
  const Bytes file_after = ReadFile(path);
  const rlimit tighter{bytes + 10, old_limit.rlim_max};
  LONGS_EQUAL(0, setrlimit(RLIMIT_FSIZE, &tighter));
  const Status commit_status = journal.Commit(2, false);
  const Status discard_status = journal.DiscardUncommitted();
  LONGS_EQUAL(0, setrlimit(RLIMIT_FSIZE, &old_limit));
  signal(SIGXFSZ, old_handler);

  CHECK(data_status.code() == StatusCode::kEnvironment);
  STRCMP_CONTAINS(("cannot write to the journal " + path).c_str(), data_status.message().c_str());
  CHECK_EQUAL(bytes, bytes_after);
  CHECK_EQUAL(bytes, file_after.size());
  CHECK(commit_status.code() == StatusCode::kEnvironment);
  CHECK_EQUAL(1, journal.LastCommitted());
  CHECK(discard_status.ok());  // a failover needs no space
  CHECK(journal.Append(2, WriteOf(0, 10), Pattern(10, 4)).ok());
  CHECK(journal.Commit(2, false).ok());
  opened.value().reset();
  auto again = Journal::Open(path);
  const Promise promise = PromiseOf(*again.value());
  CHECK_EQUAL(2, promise.committed);
  CHECK_EQUAL(2, promise.pending.size());
  CHECK(promise.pending[1].data == Pattern(10, 4));
}
