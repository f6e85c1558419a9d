// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/stream_reader.h"

#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>
#include <unistd.h>

#include "tests/unit/xen_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;
using namespace haven::xen;

namespace {

constexpr milliseconds kLong{20000};

ByteSpan Text(const char* text) { return {reinterpret_cast<const uint8_t*>(text), strlen(text)}; }

}  // namespace

TEST_GROUP(XlStreamReader) {
  TestFolder folder;
  os::Interrupt interrupt;

  std::unique_ptr<StreamReader> Spawn(const std::string& script) {
    auto reader = StreamReader::Spawn({"/bin/sh", "-c", script}, folder / "log", folder / "pid");
    CHECK_TRUE(reader.ok());
    return std::move(reader.value());
  }
  pid_t RecordedPid() {
    pid_t pid = 0;
    std::ifstream(folder / "pid") >> pid;
    return pid;
  }
};

TEST(XlStreamReader, StartsAReaderWithoutASecondCopyOfItsMemory) {
  static int copies;  // a handler cannot be taken back
  pthread_atfork([] { copies++; }, nullptr, nullptr);
  CHECK(Spawn("true")->WaitForSuccess(kLong, interrupt).ok());
  LONGS_EQUAL(0, copies);
}

TEST(XlStreamReader, CarriesAStreamAndWaitsForTheEnd) {
  auto reader = Spawn("echo hello; head -c 4 > " + (folder / "got"));
  CHECK_TRUE(reader->Expect("hello\n", kLong, interrupt).ok());
  CHECK_TRUE(reader->Write(Text("data"), interrupt).ok());
  CHECK_TRUE(reader->WaitForSuccess(kLong, interrupt).ok());
  std::string got;
  std::ifstream(folder / "got") >> got;
  STRCMP_EQUAL("data", got.c_str());
}

TEST(XlStreamReader, DoesNotEndTheStreamOfAReaderWhenWeGo) {
  // It would print "eof" as soon as nobody holds the writing end.
  auto reader = Spawn("echo ready; cat > /dev/null; echo eof > " + (folder / "eof"));
  CHECK_TRUE(reader->Expect("ready\n", kLong, interrupt).ok());
  pid_t pid = RecordedPid();
  // As if this process were gone: only the child holds its input now.
  std::string held = "/proc/" + std::to_string(pid) + "/fd";
  std::string input_of_child(256, 0);
  ssize_t length = readlink((held + "/0").c_str(), input_of_child.data(), 256);
  CHECK_TRUE(length > 0);
  input_of_child.resize(static_cast<size_t>(length));
  int holders = 0;
  for (int fd = 3; fd < 64; fd++) {
    char name[256] = "";
    ssize_t bytes = readlink((held + "/" + std::to_string(fd)).c_str(), name, sizeof(name) - 1);
    if (bytes > 0 && input_of_child == name) holders++;
  }
  LONGS_EQUAL(1, holders);
}

TEST(XlStreamReader, StopsWritingWhenInterrupted) {
  auto reader = Spawn("exec sleep 1000");
  Bytes much(8u << 20);
  std::thread other([&] { interrupt.Raise(); });
  Status status = reader->Write(much, interrupt);
  other.join();
  CHECK_TRUE(status.code() == StatusCode::kTryAgain);
}

TEST(XlStreamReader, SaysThatTheReaderDiedInsteadOfWaiting) {
  auto reader = Spawn("exit 9");
  Bytes much(8u << 20);
  STRCMP_CONTAINS("exited with status 9", reader->Write(much, interrupt).message().c_str());
  CHECK_TRUE(reader->Ended());
}

TEST(XlStreamReader, SaysHowAReaderEndedThatClosedItsInputBefore) {
  auto reader = Spawn("exec <&-; echo closed; exec sleep 1000");
  CHECK_TRUE(reader->Expect("closed\n", kLong, interrupt).ok());
  std::thread other([pid = RecordedPid()] { kill(pid, SIGKILL); });
  STRCMP_CONTAINS("signal 9", reader->Write(Text("data"), interrupt).message().c_str());
  other.join();
}

TEST(XlStreamReader, StopsWaitingForAReaderThatClosedItsInputWhenInterrupted) {
  auto reader = Spawn("exec <&-; echo closed; exec sleep 1000");
  CHECK_TRUE(reader->Expect("closed\n", kLong, interrupt).ok());
  std::thread other([&] { interrupt.Raise(); });
  CHECK_TRUE(reader->Write(Text("data"), interrupt).code() == StatusCode::kTryAgain);
  other.join();
}

TEST(XlStreamReader, RefusesAnUnknownGreeting) {
  auto reader = Spawn("echo bye; exec sleep 1000");
  STRCMP_CONTAINS("unknown answer", reader->Expect("hello\n", kLong, interrupt).message().c_str());
}

TEST(XlStreamReader, KillsAReaderThatWaitsWhenItGoes) {
  auto reader = Spawn("echo ready; exec sleep 1000");
  CHECK_TRUE(reader->Expect("ready\n", kLong, interrupt).ok());
  pid_t pid = RecordedPid();
  CHECK_TRUE(kill(pid, 0) == 0);
  reader.reset();
  CHECK_TRUE(kill(pid, 0) != 0);
  CHECK_TRUE(access((folder / "pid").c_str(), F_OK) != 0);
}

TEST(XlStreamReader, KillsWhatAnEarlierRunLeftButNoOtherProcess) {
  auto reader = Spawn("echo ready; exec sleep 1000");
  CHECK_TRUE(reader->Expect("ready\n", kLong, interrupt).ok());
  std::ofstream(folder / "other") << RecordedPid() << " 1\n";  // another start time
  KillRecorded(folder / "other");
  CHECK_FALSE(reader->Ended());
  KillRecorded(folder / "pid");
  STRCMP_CONTAINS("signal 9", reader->WaitForSuccess(kLong, interrupt).message().c_str());
}
