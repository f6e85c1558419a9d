// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/other_machine.h"

#include <CppUTest/TestHarness.h>

using haven::session::DifferenceOfMachines;

namespace {

const char kMachine[] =
    "cpu/0 = qemu64-x86_64-cpu\n"
    "cpu/0 avx = off\n"
    "cpus = 1\n"
    "machine = pc-i440fx-7.2\n"
    "machine acpi = on\n"
    "memory/pc.ram = 134217728\n"
    "pci = i440FX-pcihost\n"
    "pci/04.0 = virtio-net-pci\n"
    "pci/04.0 mac = 52:54:00:77:00:10\n"
    "pci/04.0/virtio-net-device = virtio-net-device\n"
    "pci/04.0/virtio-net-device tx = \n"
    "qemu = 7.2.17\n";

/// kMachine with each `from` replaced.
std::string With(const std::string& from, const std::string& to, std::string text = kMachine) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string Difference(const std::string& backup) { return DifferenceOfMachines(kMachine, backup); }

}  // namespace

TEST_GROUP(OtherMachine){};

TEST(OtherMachine, IsNotOneThatSaysTheSameInAnotherOrder) {
  STRCMP_EQUAL("", Difference(kMachine).c_str());
  const std::string last = "qemu = 7.2.17\n";
  STRCMP_EQUAL("", Difference(last + With(last, "")).c_str());
}

TEST(OtherMachine, IsNamedByWhatDiffersOnBothSides) {
  STRCMP_EQUAL("cpus is 2 on the backup and 1 on the primary", Difference(With("cpus = 1", "cpus = 2")).c_str());
  STRCMP_EQUAL("pci/04.0 mac is 52:54:00:77:00:99 on the backup and 52:54:00:77:00:10 on the primary",
               Difference(With("00:10", "00:99")).c_str());
  STRCMP_EQUAL("pci/04.0/virtio-net-device tx is timer on the backup and empty on the primary",
               Difference(With("tx = ", "tx = timer")).c_str());
}

TEST(OtherMachine, HasOrLacksAProperty) {
  STRCMP_EQUAL("machine acpi (on) is only on the primary", Difference(With("machine acpi = on\n", "")).c_str());
  STRCMP_EQUAL("cpu/0 sse (on) is only on the backup", Difference(std::string(kMachine) + "cpu/0 sse = on\n").c_str());
}

TEST(OtherMachine, IsNotComparedFurtherWhereAThingDiffers) {
  STRCMP_EQUAL("pci/04.0 is e1000 on the backup and virtio-net-pci on the primary",
               Difference(With("virtio-net-pci", "e1000", With("00:10", "00:99", With("tx = ", "rx = ")))).c_str());
  STRCMP_EQUAL("pci/04.0 (virtio-net-pci) is only on the primary",
               Difference("cpu/0 = qemu64-x86_64-cpu\ncpu/0 avx = off\ncpus = 1\nmachine = pc-i440fx-7.2\n"
                          "machine acpi = on\nmemory/pc.ram = 134217728\npci = i440FX-pcihost\nqemu = 7.2.17\n")
                   .c_str());
  STRCMP_EQUAL(
      "pci/05.0 (virtio-rng-pci) is only on the backup",
      Difference(std::string(kMachine) + "pci/05.0 = virtio-rng-pci\npci/05.0 x = 1\npci/05.0/a = a\n").c_str());
}

TEST(OtherMachine, MayHaveMoreOrFewerPropertiesOfAnotherVersionButNoOtherThings) {
  const std::string newer = With("7.2.17", "8.0.1");
  STRCMP_EQUAL("", Difference(newer).c_str());
  STRCMP_EQUAL("", Difference(newer + "cpu/0 sse = on\n").c_str());
  STRCMP_EQUAL("", Difference(With("cpu/0 avx = off\n", "", newer)).c_str());
  STRCMP_EQUAL("cpu/0 avx is on on the backup and off on the primary",
               Difference(With("avx = off", "avx = on", newer)).c_str());
  STRCMP_EQUAL("pci/05.0 (e1000) is only on the backup", Difference(newer + "pci/05.0 = e1000\n").c_str());
}

TEST(OtherMachine, NamesTheFirstDifferencesWithTheMachineItselfBefore) {
  std::string other = With("pc-i440fx", "pc-q35", With("avx = off", "avx = on"));
  for (int i = 0; i < 5; i++) other += "a/" + std::to_string(i) + " = x\n";
  STRCMP_EQUAL(
      "machine is pc-q35-7.2 on the backup and pc-i440fx-7.2 on the primary; cpu/0 avx is on on the backup and off on "
      "the primary; a/0 (x) is only on the backup (and 4 more)",
      Difference(other).c_str());
}

TEST(OtherMachine, FitsIntoAnErrorRecordWithRoomForWhatToDo) {
  std::string primary, backup;
  for (char c = 'a'; c < 'z'; c++) {
    primary += std::string(300, c) + " = " + std::string(300, 'p') + "\n";
    backup += std::string(300, c) + " = " + std::string(300, 'b') + "\n";
  }
  CHECK(DifferenceOfMachines(primary, backup).size() < 800);
}

TEST(OtherMachine, ShowsTheBeginningOfALongValue) {
  STRCMP_EQUAL(("machine is " + std::string(60, 'x') + "... on the backup and pc-i440fx-7.2 on the primary").c_str(),
               Difference(With("pc-i440fx-7.2", std::string(61, 'x'))).c_str());
}

TEST(OtherMachine, HasPropertiesOfThingsThatNobodyTold) {
  STRCMP_EQUAL("b c (1) is only on the primary", DifferenceOfMachines("b c = 1\n", "").c_str());
  STRCMP_EQUAL("b (1) is only on the backup", DifferenceOfMachines("b c = 1\n", "b = 1\nb c = 1\n").c_str());
}
