// SPDX-License-Identifier: GPL-2.0-or-later
//
// The octets that QEMU's programs lock, taken and asked for by hand.

#include "blkrep/image_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

TEST_GROUP(ImageLock) {
  TempFolder folder;
  std::string path = folder.File("image");
  int ours = -1, others = -1;

  void setup() override {
    WriteFile(path, Pattern(512, 1));
    ours = open(path.c_str(), O_RDWR | O_CLOEXEC);
    others = open(path.c_str(), O_RDWR | O_CLOEXEC);
  }
  void teardown() override {
    if (ours >= 0) close(ours);
    close(others);
  }

  static struct flock Octet(short type, off_t octet) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = octet;
    lock.l_len = 1;
    return lock;
  }
  void LockByOthers(off_t octet) {
    struct flock lock = Octet(F_RDLCK, octet);
    CHECK_EQUAL(0, fcntl(others, F_OFD_SETLK, &lock));
  }
  /// Whether somebody but `others` has it, as QEMU asks.
  bool IsLocked(off_t octet) {
    struct flock lock = Octet(F_WRLCK, octet);
    CHECK_EQUAL(0, fcntl(others, F_OFD_GETLK, &lock));
    return lock.l_type != F_UNLCK;
  }
  std::vector<off_t> Locked() {
    std::vector<off_t> octets;
    for (off_t octet = 90; octet < 220; octet++) {
      if (IsLocked(octet)) octets.push_back(octet);
    }
    return octets;
  }
};

TEST(ImageLock, IsThatOfAWriterThatLetsOthersNeitherWriteNorResize) {
  CHECK(ImageLock::Take(ours, path).ok());
  CHECK((Locked() == std::vector<off_t>{100, 101, 201, 203}));
}

TEST(ImageLock, IsRefusedWhereOthersWriteOrResizeOrForbidToReadOrWrite) {
  for (off_t octet : {101, 103, 200, 201}) {
    LockByOthers(octet);
    const Status taken = ImageLock::Take(ours, path);
    CHECK(taken.code() == StatusCode::kRefused);
    STRCMP_EQUAL((path + " is locked by another process: end the guest or the qemu-img that uses it").c_str(),
                 taken.message().c_str());
    CHECK(Locked().empty());
    struct flock unlock = Octet(F_UNLCK, octet);
    CHECK_EQUAL(0, fcntl(others, F_OFD_SETLK, &unlock));
  }
  CHECK(ImageLock::Take(ours, path).ok());
}

TEST(ImageLock, IsTakenBesideOthersThatReadAndForbidOnlyToResize) {
  for (off_t octet : {100, 203}) LockByOthers(octet);
  CHECK(ImageLock::Take(ours, path).ok());
}

TEST(ImageLock, GoesWhenItIsReleasedAlthoughAChildHasTheDescriptorToo) {
  CHECK(ImageLock::Take(ours, path).ok());
  const int childs = dup(ours);
  ImageLock::Release(ours);
  CHECK(Locked().empty());
  close(childs);
}

TEST(ImageLock, GoesWithTheDescriptor) {
  CHECK(ImageLock::Take(ours, path).ok());
  close(ours);
  ours = -1;
  CHECK(Locked().empty());
}

TEST(ImageLock, IsNotToBeHadOnWhatCannotBeRead) {
  const int write_only = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  CHECK(ImageLock::Take(write_only, path).code() == StatusCode::kEnvironment);
  close(write_only);
}
