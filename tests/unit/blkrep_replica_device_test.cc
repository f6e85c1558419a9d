// SPDX-License-Identifier: GPL-2.0-or-later
//
// The replica on a block device: a loop device that the test makes, on a file
// that it can read to see what arrived.

#include "blkrep/replica.h"
#include "tests/unit/blkrep_loop_device.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

constexpr uint64_t kDeviceBytes = 4 << 20;

}  // namespace

TEST_GROUP(ReplicaDevice) {
  TempFolder folder;
  std::string backing = MakeFile(folder.File("backing"));
  LoopDevice device{backing};

  static std::string MakeFile(const std::string& path) {
    WriteFile(path, Pattern(kDeviceBytes, 1));
    return path;
  }

  bool Skipped() {
    if (device.ok()) return false;
    UT_PRINT(("skipped: " + device.why_not()).c_str());
    return true;
  }
  void Apply(Replica & replica, const Request& request, ByteSpan data = {}) {
    const Status status = replica.Apply(request, data);
    CHECK_TEXT(status.ok(), status.message().c_str());
  }
  Bytes Content(Replica & replica) {
    CHECK(replica.Sync().ok());
    return ReadFile(backing);
  }
};

TEST(ReplicaDevice, WritesAndZeroesAtAnyAlignment) {
  if (Skipped()) return;
  auto opened = Replica::Open(device.path(), kDeviceBytes, {});
  CHECK_TEXT(opened.ok(), opened.status().message().c_str());
  Replica& replica = *opened.value();
  Bytes expected = Pattern(kDeviceBytes, 1);
  const uint64_t ranges[][2] = {{8192, 65536}, {100001, 70000}, {300000, 100}, {kDeviceBytes - 5000, 5000}};
  for (const auto& [offset, bytes] : ranges) {
    for (bool may_unmap : {false, true}) {
      const Bytes data = Pattern(bytes, 99);
      Apply(replica, WriteOf(offset, bytes), data);
      std::copy(data.begin(), data.end(), expected.begin() + offset);
      CHECK(Content(replica) == expected);
      Apply(replica, {Request::Kind::kZero, may_unmap, 0, offset, bytes});
      std::fill_n(expected.begin() + offset, bytes, 0);
      CHECK(Content(replica) == expected);
    }
  }
}

// Whether a device deallocates so that zeros are read is its own affair, and
// the kernel may find out that it cannot only when it is asked. What is not a
// whole sector of 4096 octets stays in any case.
TEST(ReplicaDevice, DiscardsWholeSectorsOrNothing) {
  if (Skipped()) return;
  auto opened = Replica::Open(device.path(), kDeviceBytes, {});
  CHECK_TEXT(opened.ok(), opened.status().message().c_str());
  const Bytes untouched = Pattern(kDeviceBytes, 1);
  Bytes discarded = untouched;
  std::fill_n(discarded.begin() + 12288, 8192, 0);
  Apply(*opened.value(), {Request::Kind::kDiscard, false, 0, 12288 - 100, 100 + 8192 + 100});
  const Bytes content = Content(*opened.value());
  CHECK(content == discarded || content == untouched);
  Apply(*opened.value(), {Request::Kind::kDiscard, false, 0, 100, 4000});
  CHECK(Content(*opened.value()) == content);
}

TEST(ReplicaDevice, MayBeLargerThanTheDiskButNotSmaller) {
  if (Skipped()) return;
  CHECK(Replica::Open(device.path(), kDeviceBytes - 4096, {}).ok());
  const auto opened = Replica::Open(device.path(), kDeviceBytes + 1, {});
  CHECK(opened.status().code() == StatusCode::kInvalid);
  STRCMP_CONTAINS("the device has 4194304 octets, the guest's disk 4194305", opened.status().message().c_str());
}

TEST(ReplicaDevice, IsNotTouchedBehindTheDisk) {
  if (Skipped()) return;
  auto opened = Replica::Open(device.path(), 8192, {});
  CHECK(opened.ok());
  CHECK(opened.value()->Apply({Request::Kind::kZero, true, 0, 8192, 1}, {}).code() == StatusCode::kProtocol);
  CHECK(Content(*opened.value()) == Pattern(kDeviceBytes, 1));
}

TEST(ReplicaDevice, IsClaimedSoThatNoFileSystemCanBeMountedFromIt) {
  if (Skipped()) return;
  const auto claim = [this] {
    const int fd = open(device.path().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd >= 0;
  };
  auto opened = Replica::Open(device.path(), kDeviceBytes, {});
  CHECK(opened.ok());
  CHECK_FALSE(claim());
  CHECK(Replica::Open(device.path(), kDeviceBytes, {}).status().code() == StatusCode::kRefused);
  opened.value().reset();
  CHECK(claim());
}
