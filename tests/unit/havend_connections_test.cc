// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/connections.h"

#include <atomic>
#include <cstdio>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/blkrep_support.h"
#include "tests/unit/captured_log.h"
#include "tests/unit/no_threads.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using haven::blkrep::test::TempFolder;
using haven::havend::Connections;
using haven::test::CapturedLog;
using haven::test::NoThreads;

TEST_GROUP(HavendConnections) {
  TempFolder folder;
  CapturedLog log{folder.File("log")};
  sockaddr_un address{};
  int listening = -1;
  std::vector<int> clients;
  rlimit before{};
  std::unique_ptr<Connections> connections;

  void setup() override {
    getrlimit(RLIMIT_NOFILE, &before);
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", folder.File("socket").c_str());
    listening = MakeSocket();
    CHECK_EQUAL(0, bind(listening, reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    CHECK_EQUAL(0, listen(listening, 8));
    for (int i = 0; i < 4; i++) clients.push_back(MakeSocket());
  }
  void teardown() override {
    setrlimit(RLIMIT_NOFILE, &before);
    connections.reset();
    for (int fd : clients) close(fd);
  }
  static int MakeSocket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }

  /// Each is told one octet and closed.
  void Serve() {
    connections = std::make_unique<Connections>("here", listening, 8, [](int fd) {
      (void)!write(fd, "!", 1);
      close(fd);
    });
  }
  void Connect(int fd) { CHECK_EQUAL(0, connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address))); }
  /// Returns when the other end is closed.
  static bool IsServed(int fd) {
    char octets[2];
    return recv(fd, octets, sizeof(octets), MSG_WAITALL) == 1;
  }
  /// Descriptors are short until teardown, or `before` is set.
  static void UseUpDescriptors() {
    const int next = dup(STDERR_FILENO);
    close(next);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &limit);
  }
};

TEST(HavendConnections, GivesUpTheOneConnectionWhoseHandlerThrows) {
  std::atomic<int> served{0};
  connections = std::make_unique<Connections>("here", listening, 8, [&served](int fd) {
    const bool first = served++ == 0;
    if (!first) (void)!write(fd, "!", 1);
    close(fd);
    if (first) throw std::bad_alloc();
  });
  Connect(clients[0]);
  CHECK_FALSE(IsServed(clients[0]));
  CHECK_TRUE(log.Waits("here: a connection was given up: out of memory"));
  Connect(clients[1]);
  CHECK_TRUE(IsServed(clients[1]));
}

TEST(HavendConnections, ClosesAConnectionThatThereIsNoThreadForAndServesTheNext) {
  Serve();
  {
    const NoThreads none;
    Connect(clients[0]);
    CHECK_FALSE(IsServed(clients[0]));
  }
  CHECK_TRUE(log.Waits("here: cannot serve a connection: cannot start a thread: "));
  Connect(clients[1]);
  CHECK_TRUE(IsServed(clients[1]));
}

TEST(HavendConnections, SaysOnceThatDescriptorsAreShortAndServesWhoWaitedAfterwards) {
  Serve();
  for (size_t shortage : {0u, 1u}) {
    UseUpDescriptors();
    Connect(clients[shortage]);
    CHECK_TRUE(log.Waits("here: cannot accept a connection: Too many open files; those that come wait until it can",
                         shortage + 1));
    // For some more tries, of which it may not speak.
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK_TRUE(IsServed(clients[shortage]));
    CHECK_EQUAL(shortage + 1, log.Count("cannot accept"));
  }
}
