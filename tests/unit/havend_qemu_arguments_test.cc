// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/qemu_arguments.h"

#include <CppUTest/TestHarness.h>

using haven::havend::WaitingQemuCommand;

TEST_GROUP(HavendQemuArguments){};

TEST(HavendQemuArguments, AddsMemoryMonitorsAndWaitingToTheConfiguredCommand) {
  auto argv = WaitingQemuCommand({"/q", "-machine", "pc"}, {"pc.ram", 7, 1u << 28, 9, "/run/h/w,1.qmp"});
  std::string line;
  for (const std::string& word : argv) line += word + "\n";
  STRCMP_EQUAL(
      "/q\n-machine\npc\n-S\n-incoming\ndefer\n-object\n"
      "memory-backend-file,id=pc.ram,size=268435456,share=on,mem-path=/proc/self/fd/7,"
      "x-use-canonical-path-for-ramblock-id=off\n"
      "-machine\nmemory-backend=pc.ram\n"
      "-chardev\nsocket,id=haven-control,fd=9\n-mon\nchardev=haven-control,mode=control\n"
      "-qmp\nunix:/run/h/w,,1.qmp,server=on,wait=off\n",
      line.c_str());
}
