// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/qemu_arguments.h"

#include <CppUTest/TestHarness.h>

using namespace haven::havend;

namespace {

std::string Joined(const std::vector<std::string>& argv) {
  std::string line;
  for (const std::string& word : argv) line += word + "\n";
  return line;
}

}  // namespace

TEST_GROUP(HavendQemuArguments){};

TEST(HavendQemuArguments, AddsMemoryMonitorsAndWaitingToTheConfiguredCommand) {
  auto argv = QemuCommand({"/q", "-machine", "pc"}, {IncomingMemory{"pc.ram", 7, 1u << 28}, 9, "/run/h/w,1.qmp"});
  STRCMP_EQUAL(
      "/q\n-machine\npc\n-S\n-incoming\ndefer\n-object\n"
      "memory-backend-file,id=pc.ram,size=268435456,share=off,mem-path=/proc/self/fd/7,"
      "x-use-canonical-path-for-ramblock-id=off\n"
      "-machine\nmemory-backend=pc.ram\n"
      "-chardev\nsocket,id=haven-control,fd=9\n-mon\nchardev=haven-control,mode=control\n"
      "-qmp\nunix:/run/h/w,,1.qmp,server=on,wait=off\n",
      Joined(argv).c_str());
}

TEST(HavendQemuArguments, AreRefusedToACommandThatMakesTheMemoryItself) {
  using Command = std::vector<std::string>;
  const Command libvirt[] = {
      {"/q", "-object", "memory-backend-ram,id=pc.ram,size=128M", "-machine", "pc,memory-backend=pc.ram"},
      {"/q", "--object", "memory-backend-ram,size=1,id=pc.ram"},
      {"/q", "-object", R"({"qom-type":"memory-backend-ram","id":"pc.ram","size":134217728})"}};
  for (const Command& command : libvirt) {
    haven::Status status = RefuseOwnMemory(command, "pc.ram");
    CHECK(status.code() == haven::StatusCode::kRefused);
    STRCMP_CONTAINS("has an object pc.ram of its own (-object ", status.message().c_str());
  }
  const Command others[] = {{"/q", "-object", "iothread,id=pc"},
                            {"/q", "-object", "memory-backend-ram,id=pc.ram1,size=1"},
                            {"/q", "-object", R"({"qom-type":"iothread","id":"i"})"},
                            {"/q", "-object", "{"},
                            {"/q", "-name", "x,id=pc.ram"},
                            {"/q", "-object"}};
  for (const Command& command : others) CHECK_TRUE(RefuseOwnMemory(command, "pc.ram").ok());
}

TEST(HavendQemuArguments, AddsOnlyMonitorsForAMachineThatIsSwitchedOn) {
  STRCMP_EQUAL(
      "/q\n-machine\npc\n-S\n"
      "-chardev\nsocket,id=haven-control,fd=9\n-mon\nchardev=haven-control,mode=control\n"
      "-qmp\nunix:/w.qmp,server=on,wait=off\n",
      Joined(QemuCommand({"/q", "-machine", "pc"}, {std::nullopt, 9, "/w.qmp"})).c_str());
}
