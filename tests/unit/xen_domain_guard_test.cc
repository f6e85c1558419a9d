// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/domain_guard.h"

#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/xen_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::xen;

TEST_GROUP(XenDomainGuard) {
  TestFolder folder;

  std::string Program(const std::string& script) {
    std::string path = folder / "guard";
    std::ofstream(path) << "#!/bin/sh\n" << script;
    chmod(path.c_str(), 0700);
    return path;
  }
  /// A guard that keeps what it was started with and told.
  std::string Recorder() {
    return Program("printf 'watching\\n'; told=$(cat); echo \"$1 $told\" > " + (folder / "new") + "; mv " +
                   (folder / "new") + " " + (folder / "end"));
  }
  std::string End() {
    std::ifstream file(folder / "end");
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }
};

TEST(XenDomainGuard, IsSentAwayByItsOwner) {
  auto guard = DomainGuard::Start(Recorder(), 17);
  CHECK_TRUE(guard.ok());
  guard.value().reset();  // waits for it
  STRCMP_EQUAL("17 d\n", End().c_str());
}

TEST(XenDomainGuard, SeesTheDeathOfItsOwner) {
  std::string program = Recorder();
  pid_t owner = fork();
  if (owner == 0) {
    auto guard = DomainGuard::Start(program, 18);
    // As by SIGKILL: nothing is undone.
    _exit(guard.ok() ? 0 : 1);
  }
  int status = 0;
  CHECK_EQUAL(owner, waitpid(owner, &status, 0));
  CHECK_EQUAL(0, status);
  while (access((folder / "end").c_str(), F_OK) != 0) usleep(1000);
  STRCMP_EQUAL("18 \n", End().c_str());
}

TEST(XenDomainGuard, SaysWhyItDoesNotStart) {
  auto guard = DomainGuard::Start(Program("printf 'there is no domain 19'"), 19);
  STRCMP_CONTAINS("there is no domain 19", guard.status().message().c_str());
  guard = DomainGuard::Start(folder / "nowhere", 19);
  STRCMP_CONTAINS("cannot execute it", guard.status().message().c_str());
}
