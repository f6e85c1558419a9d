// SPDX-License-Identifier: GPL-2.0-or-later
#include <csignal>

#include <CppUTest/CommandLineTestRunner.h>
#include <CppUTest/TestRegistry.h>

int main(int argc, char** argv) {
  // Threads, std containers and sanitizers do their own accounting of memory.
  MemoryLeakWarningPlugin::turnOffNewDeleteOverloads();
  signal(SIGPIPE, SIG_IGN);  // as havend and QEMU do
  return CommandLineTestRunner::RunAllTests(argc, argv);
}
