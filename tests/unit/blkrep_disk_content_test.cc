// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_content.h"

#include <cstdlib>

#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {
constexpr uint64_t kMiB = 1 << 20;
}

TEST_GROUP(DiskContent) {
  TempFolder folder;
  std::string disk = folder.File("disk");
  Bytes octets = Bytes(4 * kMiB);

  void Put(uint64_t at, const std::string& text) { std::copy(text.begin(), text.end(), octets.begin() + at); }
  void CheckIs(const char* what, bool blank = false) {
    WriteFile(disk, octets);
    const auto content = InspectContent(disk);
    CHECK_TEXT(content.ok(), content.status().message().c_str());
    STRCMP_EQUAL(what, content.value().what.c_str());
    CHECK_EQUAL(blank, content.value().blank);
    CHECK(ReadFile(disk) == octets);
  }
};

TEST(DiskContent, OfZerosIsNothing) {
  CheckIs("nothing (blank)", true);
  for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{512}, kMiB, kMiB + 1}) {
    octets.assign(bytes, 0);
    CheckIs("nothing (blank)", true);
  }
}

TEST(DiskContent, IsNotKnownWhereAnOctetOfTheFirstOrLastMiBIsNotZero) {
  for (uint64_t at : {uint64_t{0}, kMiB - 1, 3 * kMiB, 4 * kMiB - 1}) {
    octets.assign(4 * kMiB, 0);
    octets[at] = 1;
    CheckIs("data that is not known");
  }
}

TEST(DiskContent, OfASmallFileIsLookedAtWhole) {
  octets.assign(100, 0);
  octets[99] = 1;
  CheckIs("data that is not known");
}

TEST(DiskContent, IsAPartitionTable) {
  octets[510] = 0x55;
  octets[511] = 0xaa;
  octets[446 + 4] = 0x83;
  octets[446 + 9] = octets[446 + 13] = 8;
  CheckIs("a dos partition table");
}

TEST(DiskContent, IsAQcow2Image) {
  Put(0, "QFI\xfb");
  CheckIs("a qcow2 image");
  octets = {'Q', 'F', 'I'};
  CheckIs("data that is not known");
}

TEST(DiskContent, IsASwapArea) {
  Put(4096 - 10, "SWAPSPACE2");
  octets[1024] = 1;        // version
  octets[1024 + 4] = 255;  // last page
  CheckIs("a swap area");
}

TEST(DiskContent, IsEncrypted) {
  Put(0, std::string("LUKS\xba\xbe\0\1", 8));
  CheckIs("encrypted data (crypto_LUKS)");
}

TEST(DiskContent, IsAFileSystemWithItsLabelInOneLineOfAscii) {
  WriteFile(disk, octets);
  const std::string make = "mkfs.ext4 -q -F -L 'a\x1b[3mb' " + disk + " >/dev/null 2>&1";
  if (system(make.c_str()) != 0) {
    UT_PRINT("skipped: no mkfs.ext4");
    return;
  }
  octets = ReadFile(disk);
  CheckIs("an ext4 file system (label a?[3mb)");
}

TEST(DiskContent, OfWhatIsNoDiskIsAnError) {
  CHECK(InspectContent("/dev/null").status().code() == StatusCode::kInvalid);
  CHECK(InspectContent("/dev").status().code() == StatusCode::kInvalid);
  CHECK(InspectContent(disk).status().code() == StatusCode::kEnvironment);
}
