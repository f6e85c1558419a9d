// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/replica.h"

#include <sys/stat.h>

#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {
constexpr uint64_t kMiB = 1 << 20;
}

// Once on the system's usual file system and once in memory, where some kinds
// of fallocate() are missing and the fall-backs work.
TEST_GROUP(Replica) {
  TempFolder on_disk{false};
  TempFolder in_memory{true};
  std::vector<std::string> Paths() { return {on_disk.File("a/b/r"), in_memory.File("a/b/r")}; }

  std::unique_ptr<Replica> Open(const std::string& path, uint64_t bytes, ReplicaOptions options = {.create = true}) {
    auto opened = Replica::Open(path, bytes, options);
    CHECK_TEXT(opened.ok(), opened.status().message().c_str());
    return std::move(opened.value());
  }
  void Apply(Replica & replica, const Request& request, ByteSpan data = {}) {
    const Status status = replica.Apply(request, data);
    CHECK_TEXT(status.ok(), status.message().c_str());
  }
  uint64_t Allocated(const std::string& path) {
    struct stat st;
    LONGS_EQUAL(0, stat(path.c_str(), &st));
    return static_cast<uint64_t>(st.st_blocks) * 512;
  }
};

TEST(Replica, IsMadeWithItsFolderAndTheDisksSizeWhereThatIsAllowed) {
  for (const std::string& path : Paths()) {
    Open(path, 3 * kMiB + 512);
    CHECK_EQUAL(3 * kMiB + 512, std::filesystem::file_size(path));
  }
}

TEST(Replica, IsNotMadeWhereThatIsNotAllowed) {
  const std::string path = Paths()[0];
  const auto opened = Replica::Open(path, kMiB, {.resize = true, .longer = true});
  CHECK(opened.status().code() == StatusCode::kRefused);
  STRCMP_EQUAL(("the replica " + path + " does not exist: make it as large as the disk (truncate -s 1048576 " + path +
                "), or write create = yes for this guest in havend's configuration")
                   .c_str(),
               opened.status().message().c_str());
  CHECK_FALSE(std::filesystem::exists(on_disk.File("a")));
}

TEST(Replica, OfNoOctetsCountsAsMissing) {
  const std::string path = on_disk.File("empty");
  WriteFile(path, {});
  CHECK(Replica::Open(path, kMiB, {}).status().code() == StatusCode::kRefused);
  CHECK_EQUAL(0, std::filesystem::file_size(path));
  Open(path, kMiB);
  CHECK_EQUAL(kMiB, std::filesystem::file_size(path));
}

TEST(Replica, OfAnotherSizeIsRefusedAndStaysAsItIs) {
  const std::string path = on_disk.File("r");
  WriteFile(path, Pattern(8192, 1));
  for (uint64_t disk_bytes : {4096, 16384}) {
    const auto opened = Replica::Open(path, disk_bytes, {.create = true});
    CHECK(opened.status().code() == StatusCode::kRefused);
    const std::string size = std::to_string(disk_bytes);
    STRCMP_EQUAL(("the replica " + path + ": the file has 8192 octets, the guest's disk " + size +
                  ": configure another path, or, if nothing else is in it, give it that size (truncate -s " + size +
                  " " + path + ")")
                     .c_str(),
                 opened.status().message().c_str());
    CHECK(ReadFile(path) == Pattern(8192, 1));
  }
}

TEST(Replica, MayBeLongerThanTheDiskWhereThatIsAllowedAndStaysSo) {
  const std::string path = on_disk.File("r");
  WriteFile(path, Pattern(8192, 1));
  Open(path, 4096, {.longer = true});
  CHECK_EQUAL(8192, std::filesystem::file_size(path));
  CHECK(Replica::Open(path, 8193, {.longer = true}).status().code() == StatusCode::kRefused);
}

TEST(Replica, TakesTheSizeOfTheDiskWhereThatIsAllowedAndKeepsTheContent) {
  const std::string path = Paths()[0];
  Apply(*Open(path, kMiB), WriteOf(0, 4096), Pattern(4096, 1));
  Open(path, 2 * kMiB, {.resize = true});
  CHECK_EQUAL(2 * kMiB, std::filesystem::file_size(path));
  Open(path, 4096, {.resize = true});
  CHECK(ReadFile(path) == Pattern(4096, 1));
}

TEST(Replica, IsNotChangedByBeingOpened) {
  const std::string path = on_disk.File("r");
  WriteFile(path, Pattern(8192, 1));
  Open(path, 8192);
  CHECK(ReadFile(path) == Pattern(8192, 1));
}

TEST(Replica, IsRefusedWhileItIsOpenAndFreeWhenItIsClosed) {
  const std::string path = on_disk.File("r");
  auto first = Open(path, 8192);
  const auto second = Replica::Open(path, 8192, {});
  CHECK(second.status().code() == StatusCode::kRefused);
  STRCMP_CONTAINS("is open in this process already", second.status().message().c_str());
  first.reset();
  Open(path, 8192, {});
}

TEST(Replica, IsNotMadeBehindALinkToWhatIsNotThere) {
  const std::string link = on_disk.File("link"), target = on_disk.File("not-mounted/r");
  std::filesystem::create_symlink(target, link);
  const auto opened = Replica::Open(link, 8192, {.create = true});
  CHECK(opened.status().code() == StatusCode::kEnvironment);
  CHECK_FALSE(std::filesystem::exists(target));
}

TEST(Replica, HoldsWhatIsWritten) {
  for (const std::string& path : Paths()) {
    auto replica = Open(path, kMiB);
    Apply(*replica, WriteOf(513, 70001), Pattern(70001, 9));
    Apply(*replica, WriteOf(kMiB - 1, 1), Pattern(1, 77));
    CHECK(replica->Sync().ok());
    Bytes expected(kMiB);
    const Bytes data = Pattern(70001, 9);
    std::copy(data.begin(), data.end(), expected.begin() + 513);
    expected[kMiB - 1] = 77;
    CHECK(ReadFile(path) == expected);
  }
}

TEST(Replica, ReallyZeroesWithAndWithoutUnmap) {
  for (const std::string& path : Paths()) {
    for (bool may_unmap : {false, true}) {
      auto replica = Open(path, kMiB);
      Bytes expected = Pattern(kMiB, 3);
      Apply(*replica, WriteOf(0, kMiB), expected);
      const Request zero{Request::Kind::kZero, may_unmap, 0, 1000, 700000};
      Apply(*replica, zero);
      std::fill(expected.begin() + 1000, expected.begin() + 701000, 0);
      CHECK(ReadFile(path) == expected);
      if (may_unmap) CHECK(Allocated(path) < kMiB - 600000);
    }
  }
}

TEST(Replica, DeallocatesWhatIsDiscardedSoThatItReadsAsZeros) {
  for (const std::string& path : Paths()) {
    auto replica = Open(path, kMiB);
    Bytes expected = Pattern(kMiB, 3);
    Apply(*replica, WriteOf(0, kMiB), expected);
    Apply(*replica, {Request::Kind::kDiscard, false, 0, 0, kMiB / 2});
    std::fill(expected.begin(), expected.begin() + kMiB / 2, 0);
    CHECK(ReadFile(path) == expected);
    CHECK(Allocated(path) <= kMiB / 2 + 65536);
    CHECK_EQUAL(kMiB, std::filesystem::file_size(path));
  }
}

TEST(Replica, RefusesWhatLeavesTheDiskAndChangesNothing) {
  const std::string path = Paths()[0];
  auto replica = Open(path, kMiB);
  const uint64_t hostile[][2] = {{kMiB, 1},       {kMiB - 1, 2},       {UINT64_MAX, 1},
                                 {1, UINT64_MAX}, {UINT64_MAX - 1, 2}, {kMiB + 1, 0}};
  for (const auto& [offset, bytes] : hostile) {
    for (auto kind : {Request::Kind::kZero, Request::Kind::kDiscard}) {
      const Status status = replica->Apply({kind, true, 0, offset, bytes}, {});
      CHECK(status.code() == StatusCode::kProtocol);
      STRCMP_CONTAINS("leaves its disk of 1048576 octets", status.message().c_str());
    }
  }
  CHECK(replica->Apply(WriteOf(kMiB - 1, 2), Pattern(2, 1)).code() == StatusCode::kProtocol);
  CHECK_EQUAL(kMiB, std::filesystem::file_size(path));
  CHECK(ReadFile(path) == Bytes(kMiB));
}

TEST(Replica, RefusesDataOfAnotherLengthThanTheRequests) {
  auto replica = Open(Paths()[0], kMiB);
  CHECK(replica->Apply(WriteOf(0, 8), Pattern(7, 1)).code() == StatusCode::kProtocol);
  CHECK(replica->Apply({Request::Kind::kZero, false, 0, 0, 8}, Pattern(8, 1)).code() == StatusCode::kProtocol);
}

TEST(Replica, AcceptsRequestsOfNoOctets) {
  auto replica = Open(Paths()[0], kMiB);
  for (auto kind : {Request::Kind::kWrite, Request::Kind::kZero, Request::Kind::kDiscard})
    Apply(*replica, {kind, false, 0, kMiB, 0});
}

TEST(Replica, RefusesWhatIsNeitherFileNorDevice) {
  for (const char* path : {"/dev/null", "/tmp"}) {
    const auto opened = Replica::Open(path, kMiB, {.create = true});
    CHECK(opened.status().code() == StatusCode::kInvalid);
    STRCMP_CONTAINS("neither a file nor a block device", opened.status().message().c_str());
    STRCMP_CONTAINS(path, opened.status().message().c_str());
  }
}

TEST(Replica, SaysWhichFolderItCannotCreate) {
  const auto opened = Replica::Open("/dev/null/r", kMiB, {.create = true});
  CHECK(opened.status().code() == StatusCode::kEnvironment);
  STRCMP_CONTAINS("/dev/null/r", opened.status().message().c_str());
}
