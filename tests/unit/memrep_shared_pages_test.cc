// SPDX-License-Identifier: GPL-2.0-or-later
// The file in which the device models of a host find each other's pages.
#include "memrep/shared_pages.h"

#include <fcntl.h>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/bytes.h"
#include "core/epoch.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::memrep;

TEST_GROUP(SharedPages) {
  blkrep::test::TempFolder folder;
  Bytes ones = Bytes(kPageBytes, 1), twos = Bytes(kPageBytes, 2);

  std::string Folder() { return folder.File(""); }
  std::string Path() { return SharedPages::PathOf(Folder(), {7}); }
  static wire::StoreReply Store(uint32_t first, uint32_t count) { return {{7}, 16, first, count}; }
  std::unique_ptr<SharedPages> Open(uint32_t first, uint32_t count) {
    auto opened = SharedPages::Open(Folder(), Store(first, count));
    HAVEN_CHECK_OK(opened.status());
    return std::move(opened.value());
  }
  bool Exists() { return access(Path().c_str(), F_OK) == 0; }
  /// Writes to a file that is in use.
  void Overwrite(off_t at, const Bytes& octets) {
    int fd = open(Path().c_str(), O_RDWR);
    CHECK_EQUAL(static_cast<ssize_t>(octets.size()), pwrite(fd, octets.data(), octets.size(), at));
    close(fd);
  }
};

TEST(SharedPages, AreFoundByOthersOnlyWhenTheyAreKnown) {
  auto a = Open(0, 8), b = Open(8, 4);
  auto slot = a->Publish(ones.data());
  CHECK_EQUAL(0, *slot);
  CHECK_FALSE(b->Find(5, ones.data()).has_value());
  a->MakeKnown(*slot, 5);
  CHECK_EQUAL(0, *b->Find(5, ones.data()));
  CHECK_EQUAL(0, *a->Find(5, ones.data()));
  CHECK_FALSE(b->Find(6, ones.data()).has_value());
}

TEST(SharedPages, AreComparedOctetByOctet) {
  auto a = Open(0, 8), b = Open(8, 4);
  a->MakeKnown(*a->Publish(ones.data()), 5);
  CHECK_FALSE(b->Find(5, twos.data()).has_value());
  for (size_t at : {size_t{0}, size_t{2000}, size_t{kPageBytes - 1}}) {
    Bytes almost = ones;
    almost[at]++;
    CHECK_FALSE(b->Find(5, almost.data()).has_value());
  }
  b->MakeKnown(*b->Publish(twos.data()), 5);  // the same hash
  CHECK_EQUAL(8, *a->Find(5, twos.data()));
  CHECK_EQUAL(0, *a->Find(5, ones.data()));
}

TEST(SharedPages, EndWithTheSlotsOfTheSession) {
  auto a = Open(14, 2);
  CHECK(a->HasRoom());
  CHECK_EQUAL(14, *a->Publish(ones.data()));
  CHECK_EQUAL(15, *a->Publish(ones.data()));
  CHECK_FALSE(a->HasRoom());
  CHECK_FALSE(a->Publish(ones.data()).has_value());
  CHECK_FALSE(Open(16, 0)->HasRoom());
}

TEST(SharedPages, LeaveASlotAloneThatAnEarlierSessionMayStillWriteTo) {
  auto late = Open(0, 4);
  CHECK_EQUAL(0, *late->Publish(ones.data()));
  auto next = Open(0, 4);  // the backup gave the rest of an ended session away
  CHECK_EQUAL(1, *next->Publish(twos.data()));
}

TEST(SharedPages, AreFullHereaboutsAfterSomePagesOfOneHash) {
  auto a = Open(0, 16);
  for (uint8_t i = 0; i < 16; i++) a->MakeKnown(*a->Publish(Bytes(kPageBytes, i).data()), 5);
  CHECK_EQUAL(7, *a->Find(5, Bytes(kPageBytes, 7).data()));
  CHECK_FALSE(a->Find(5, Bytes(kPageBytes, 15).data()).has_value());
}

TEST(SharedPages, AreSeenByAnotherProcess) {
  auto a = Open(0, 8);
  a->MakeKnown(*a->Publish(ones.data()), 5);
  pid_t child = fork();
  if (child == 0) {
    auto b = SharedPages::Open(Folder(), Store(8, 4));
    if (!b.ok() || b.value()->Find(5, ones.data()) != std::optional<uint32_t>(0)) _exit(1);
    b.value()->MakeKnown(*b.value()->Publish(twos.data()), 6);
    (void)b.value()->Publish(ones.data());  // dies before it is known
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK_EQUAL(0, status);
  CHECK_EQUAL(8, *a->Find(6, twos.data()));
}

TEST(SharedPages, TakeTheirFileAwayWithTheLastUser) {
  auto a = Open(0, 8), b = Open(8, 4);
  struct stat st;
  CHECK_EQUAL(0, stat(Path().c_str(), &st));
  CHECK_EQUAL(0600, st.st_mode & 0777);
  a.reset();
  CHECK(Exists());
  b.reset();
  CHECK_FALSE(Exists());
}

TEST(SharedPages, BeginAnewWhereOnlyDeadProcessesWere) {
  pid_t child = fork();
  if (child == 0) {
    auto dying = SharedPages::Open(Folder(), Store(0, 8));
    if (dying.ok()) dying.value()->MakeKnown(*dying.value()->Publish(ones.data()), 5);
    _exit(dying.ok() ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK_EQUAL(0, status);
  CHECK(Exists());
  CHECK_FALSE(Open(0, 8)->Find(5, ones.data()).has_value());
}

TEST(SharedPages, SweepFilesOfOtherStoresThatNobodyUses) {
  std::string stale = SharedPages::PathOf(Folder(), {1});
  std::ofstream(stale) << "left by a process that was killed";
  auto used = SharedPages::Open(Folder(), {{2}, 16, 0, 8});
  HAVEN_CHECK_OK(used.status());
  std::ofstream(folder.File("something-else")) << "not ours";
  auto a = Open(0, 8);
  CHECK_EQUAL(-1, access(stale.c_str(), F_OK));
  CHECK_EQUAL(0, access(SharedPages::PathOf(Folder(), {2}).c_str(), F_OK));
  CHECK_EQUAL(0, access(folder.File("something-else").c_str(), F_OK));
}

TEST(SharedPages, RefuseAFileThatIsNotWhatItShouldBe) {
  auto refused = [&](const wire::StoreReply& store) {
    auto opened = SharedPages::Open(Folder(), store);
    CHECK_FALSE(opened.ok());
    CHECK(opened.status().code() == StatusCode::kInvalid);
    return opened.status().message();
  };
  auto a = Open(0, 8);  // keeps it from being made anew
  std::string message = Path() + " is not of this store, or of another version";
  STRCMP_EQUAL(message.c_str(), refused({{7}, 32, 0, 8}).c_str());
  for (off_t at : {0, 8, 12, 16}) {
    Bytes before(1);
    int fd = open(Path().c_str(), O_RDONLY);
    CHECK_EQUAL(1, pread(fd, before.data(), 1, at));
    close(fd);
    Overwrite(at, {static_cast<uint8_t>(before[0] + 1)});
    STRCMP_EQUAL(message.c_str(), refused(Store(8, 4)).c_str());
    Overwrite(at, before);
  }
  HAVEN_CHECK_OK(SharedPages::Open(Folder(), Store(8, 4)).status());
  CHECK_EQUAL(0, chmod(Path().c_str(), 0644));
  STRCMP_EQUAL((Path() + " is not a file of this user alone").c_str(), refused(Store(8, 4)).c_str());
}

TEST(SharedPages, BelieveNoNumberInTheFile) {
  auto a = Open(0, 8);
  a->MakeKnown(*a->Publish(ones.data()), 5);
  // The index and the states, all ones: every hash's part may be there, every
  // slot too, and none of them is in the file.
  Overwrite(kPageBytes, Bytes(2 * kPageBytes, 0xFF));
  for (uint64_t hash : {uint64_t{5}, ~uint64_t{0}, uint64_t{0xFFFFFFFF} << 32}) {
    CHECK_FALSE(a->Find(hash, ones.data()).has_value());
  }
  CHECK_FALSE(a->Publish(twos.data()).has_value());
}

TEST(SharedPages, SayWhyTheyCannotBe) {
  auto opened = SharedPages::Open("/nonexistent", Store(0, 8));
  HAVEN_CHECK_FAILS(StatusCode::kEnvironment,
                    ("cannot open " + SharedPages::PathOf("/nonexistent", {7}) + ": No such file or directory").c_str(),
                    opened.status());
}
