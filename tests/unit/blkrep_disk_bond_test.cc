// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_bond.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "blkrep/disk_mark.h"
#include "tests/unit/blkrep_loop_device.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

constexpr char kAttribute[] = "user.haven";

DiskBond Ok(const Result<DiskBond>& bond) {
  HAVEN_CHECK_OK(bond.status());
  return bond.value();
}

}  // namespace

TEST_GROUP(DiskBond) {
  TempFolder folder{false};
  std::string disk = NewFile("disk");

  std::string NewFile(const std::string& name) {
    WriteFile(folder.File(name), Pattern(8192, 1));
    return folder.File(name);
  }
  bool Skipped() {
    if (setxattr(NewFile("tried").c_str(), kAttribute, "", 0, 0) == 0) return false;
    UT_PRINT("skipped: the folder for temporary files has no extended attributes");
    return true;
  }
  std::string Attribute(const std::string& path) {
    char text[1024];
    const ssize_t bytes = getxattr(path.c_str(), kAttribute, text, sizeof(text));
    return bytes < 0 ? "none" : std::string(text, static_cast<size_t>(bytes));
  }
  void SetAttribute(const std::string& path, const std::string& text) {
    CHECK_EQUAL(0, setxattr(path.c_str(), kAttribute, text.data(), text.size(), 0));
  }
  /// As `cp --preserve=xattr`.
  std::string CopyOf(const std::string& path) {
    const std::string copy = path + ".copy";
    WriteFile(copy, ReadFile(path));
    SetAttribute(copy, Attribute(path));
    return copy;
  }
};

TEST(DiskBond, OfAFileWithoutAMarkIsNoneAndReadingItGivesItNone) {
  if (Skipped()) return;
  CHECK(Ok(ReadBond(disk)).kind == DiskBond::Kind::kNone);
  STRCMP_EQUAL("none", Attribute(disk).c_str());
}

TEST(DiskBond, OfAFileIsItsMarkItsInodeAndWhenItWasMade) {
  if (Skipped()) return;
  const DiskBond made = Ok(MakeBond(disk, "web1"));
  struct stat st;
  CHECK_EQUAL(0, stat(disk.c_str(), &st));
  CHECK(made.kind == DiskBond::Kind::kFile);
  CHECK_EQUAL(st.st_ino, made.inode);
  CHECK(made.id != wire::Token{});
  CHECK(Ok(ReadBond(disk)) == made);
  CHECK(Ok(MakeBond(disk, "web1")) == made);
  const std::string expected = "1 " + haven::test::ToHex(made.id) + " " + std::to_string(made.inode) + " " +
                               std::to_string(made.birth_ns) + " web1";
  STRCMP_EQUAL(expected.c_str(), Attribute(disk).c_str());
}

TEST(DiskBond, OutlivesNewContentAnotherSizeAndAnotherName) {
  if (Skipped()) return;
  const DiskBond made = Ok(MakeBond(disk, "web1"));
  std::filesystem::resize_file(disk, 100);
  std::filesystem::rename(disk, folder.File("moved"));
  CHECK(Ok(ReadBond(folder.File("moved"))) == made);
}

TEST(DiskBond, OfACopyIsAnotherOneAndItsMarkSaysOfWhatGuestTheOriginalIs) {
  if (Skipped()) return;
  const DiskBond original = Ok(MakeBond(disk, "web1"));
  const std::string copy = CopyOf(disk);
  CHECK_FALSE(Ok(ReadBond(copy)) == original);
  const auto mark = ReadMark(copy);
  HAVEN_CHECK_OK(mark.status());
  STRCMP_EQUAL("web1", mark.value().guest.c_str());
  CHECK_EQUAL(original.inode, mark.value().inode);
  // Also for another guest: the file is new.
  const DiskBond remade = Ok(MakeBond(copy, "web2"));
  CHECK(remade.id != original.id);
  CHECK(Ok(ReadBond(copy)) == remade);
  CHECK(Ok(ReadBond(disk)) == original);
}

TEST(DiskBond, IsNotMadeOnAFileOfAnotherGuest) {
  if (Skipped()) return;
  const DiskBond made = Ok(MakeBond(disk, "web1"));
  const std::string refusal = disk +
                              ": it is marked as a disk of guest web1: use another file, or remove that "
                              "mark (setfattr -x user.haven FILE)";
  HAVEN_CHECK_FAILS(StatusCode::kRefused, refusal.c_str(), MakeBond(disk, "web2").status());
  CHECK(Ok(ReadBond(disk)) == made);
}

TEST(DiskBond, TakesAMarkThatCannotBeReadForNoneAndDoesNotReplaceIt) {
  if (Skipped()) return;
  const std::string id(32, 'a');
  const std::string unreadable[] = {"",
                                    "1",
                                    "2 " + id + " 1 2 web1",
                                    "1 " + id.substr(1) + " 1 2 web1",
                                    "1 " + id + "a 1 2 web1",
                                    "1 " + id.substr(1) + "g 1 2 web1",
                                    "1 " + id + " x 2 web1",
                                    "1 " + id + " 1 99999999999999999999 web1",
                                    "1 " + id + " 1 2",
                                    "1 " + id + " 1 2 ",
                                    "1 " + id + " 1 2 " + std::string(600, 'w')};
  for (const std::string& text : unreadable) {
    SetAttribute(disk, text);
    CHECK_TEXT(Ok(ReadBond(disk)).kind == DiskBond::Kind::kNone, text.c_str());
    CHECK(MakeBond(disk, "web1").status().code() == StatusCode::kRefused);
    STRCMP_EQUAL(text.c_str(), Attribute(disk).c_str());
  }
}

TEST(DiskBond, NamesAGuestThatSomebodyMadeUpInOneLineOfAscii) {
  const DiskMark mark = ParseMark("1 " + std::string(32, 'a') + " 1 2 a b\n\x1b[31m\xff");
  CHECK(mark.state == DiskMark::State::kMarked);
  STRCMP_EQUAL("a b??[31m?", mark.guest.c_str());
}

TEST(DiskBond, WithoutExtendedAttributesIsTheInodeAlone) {
  // A regular file of a file system that has none, whoever runs this.
  const DiskBond bond = Ok(MakeBond("/proc/version", "web1"));
  CHECK(bond.kind == DiskBond::Kind::kFile);
  CHECK(bond.id == wire::Token{});
  CHECK(bond.inode != 0);
  CHECK(Ok(ReadBond("/proc/version")) == bond);
}

TEST(DiskBond, IsThatOfWhatALinkPointsTo) {
  if (Skipped()) return;
  std::filesystem::create_symlink(disk, folder.File("link"));
  const DiskBond made = Ok(MakeBond(folder.File("link"), "web1"));
  CHECK(Ok(ReadBond(disk)) == made);
}

TEST(DiskBond, OfWhatIsNoDiskIsAnError) {
  CHECK(ReadBond("/dev/null").status().code() == StatusCode::kInvalid);
  CHECK(ReadBond(folder.File("")).status().code() == StatusCode::kInvalid);
  CHECK(ReadBond(folder.File("missing")).status().code() == StatusCode::kEnvironment);
}

TEST_GROUP_BASE(DeviceBond, TEST_GROUP_CppUTestGroupDiskBond){
    bool SkippedWithout(const LoopDevice& device){if (device.ok()) return Skipped();
UT_PRINT(("skipped: " + device.why_not()).c_str());
return true;
}
}
;

TEST(DeviceBond, OfALoopDeviceIsThatOfItsFileWhateverItsNumber) {
  DiskBond made;
  {
    LoopDevice device(disk);
    if (SkippedWithout(device)) return;
    CHECK(Ok(ReadBond(device.path())).kind == DiskBond::Kind::kNone);
    made = Ok(MakeBond(device.path(), "web1"));
    CHECK(made.kind == DiskBond::Kind::kDevice);
    STRCMP_CONTAINS(("loop:" + haven::test::ToHex(Ok(ReadBond(disk)).id)).c_str(), made.device.c_str());
  }
  LoopDevice other(NewFile("other")), again(disk);
  CHECK(Ok(ReadBond(again.path())) == made);
  CHECK_FALSE(Ok(MakeBond(other.path(), "web1")) == made);
}

TEST(DeviceBond, OfAPartitionIsItsUuid) {
  WriteFile(disk, PartitionTable(4 << 20));
  LoopDevice device(disk, true);
  if (SkippedWithout(device)) return;
  const std::string partition = folder.File("p1");
  if (!device.MakePartitionNode(partition)) {
    UT_PRINT("skipped: no partitions of loop devices, or no nodes");
    return;
  }
  const DiskBond bond = Ok(ReadBond(partition));
  CHECK(bond.kind == DiskBond::Kind::kDevice);
  STRCMP_EQUAL("partuuid:12345678-01", bond.device.c_str());
}
