// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/qemu_process.h"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "havend/pid_file.h"
#include "memrep/epoch_staging.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;
using haven::memrep::EpochStaging;
using haven::memrep::GuestImage;

namespace {

constexpr int kPatienceMs = 30000;

std::unique_ptr<GuestImage> MakeImage() {
  wire::Layout layout;
  layout.regions = {{"pc.ram", 16 * kPageBytes}, {"pc.bios", kPageBytes}};
  auto image = GuestImage::Create(layout, "pc.ram", 1u << 30);
  CHECK_TRUE(image.ok());
  return std::move(image.value());
}

/// One committed epoch: the least that a primary sends.
void Commit(GuestImage& image, uint32_t flags) {
  const uint8_t state[] = {'Q', 'E', 'V', 'M', 0, 0, 0, 3, 4, 0xaa, 0};
  Bytes body;
  ByteWriter writer(body);
  writer.U64(sizeof(state));
  writer.U64(0);
  writer.Raw(ByteSpan(state));
  EpochStaging staging(image);
  CHECK_TRUE(staging.AddDeviceState(1, body).ok());
  wire::EpochEnd end;
  end.memory_records = 1;
  end.device_state_bytes = sizeof(state);
  end.flags = flags;
  staging.Apply(1, end);
  memcpy(image.regions()[0].data, "RAM!", 4);
}

}  // namespace

/// The device model is tests/unit/havend_fake_qemu.py.
TEST_GROUP(HavendQemuProcess) {
  char folder[32] = "/tmp/haven-unit-XXXXXX";
  int fifo = -1;
  std::string heard;
  QemuOptions options;
  std::unique_ptr<GuestImage> image;

  void setup() override {
    CHECK(mkdtemp(folder) != nullptr);
    const std::string fifo_path = std::string(folder) + "/say";
    CHECK_EQUAL(0, mkfifo(fifo_path.c_str(), 0600));
    fifo = open(fifo_path.c_str(), O_RDWR | O_CLOEXEC);
    const char* source = getenv("srcdir");
    options.name = "web1";
    options.command = {std::string(source != nullptr ? source : ".") + "/tests/unit/havend_fake_qemu.py",
                       "-say", fifo_path};
    options.ram_region = "pc.ram";
    options.state_dir = folder;
    options.qmp_path = std::string(folder) + "/web1.qmp";
    options.restart_delay = milliseconds(1);
    image = MakeImage();
  }
  void teardown() override {
    close(fifo);
    std::filesystem::remove_all(folder);
  }
  /// The next line that a device model said.
  std::string Hear() {
    for (;;) {
      size_t end = heard.find('\n');
      if (end != std::string::npos) {
        std::string line = heard.substr(0, end);
        heard.erase(0, end + 1);
        return line;
      }
      pollfd poller{fifo, POLLIN, 0};
      if (poll(&poller, 1, kPatienceMs) != 1) return "(silence)";
      char text[256];
      ssize_t got = read(fifo, text, sizeof(text));
      if (got > 0) heard.append(text, static_cast<size_t>(got));
    }
  }
  PidRecord Recorded() { return ReadPidFile(options.PidPath()).value_or(PidRecord{}); }
  void End(pid_t pid) {
    int pidfd = OpenRecordedProcess({pid, ProcessStartTime(pid), false});
    CHECK(pidfd >= 0);
    CHECK_TRUE(EndProcess(pidfd).ok());
    close(pidfd);
  }
  void EndAndReap(pid_t pid) {
    End(pid);
    waitpid(pid, nullptr, 0);
  }
};

TEST(HavendQemuProcess, RunsTheGuestFromTheSharedMemoryAndTheStream) {
  pid_t pid = 0;
  {
    QemuProcess qemu(options);
    CHECK_TRUE(qemu.Prepare(*image).ok());
    STRCMP_EQUAL("starts", Hear().c_str());
    CHECK_FALSE(Recorded().runs_guest);
    CHECK_FALSE(qemu.Running());
    Commit(*image, 0);
    Status status = qemu.Activate(*image);
    CHECK_TRUE_TEXT(status.ok(), status.message().c_str());
    STRCMP_EQUAL("memory RAM!", Hear().c_str());
    STRCMP_EQUAL("runs", Hear().c_str());
    CHECK_TRUE(qemu.Running());
    CHECK_TRUE(Recorded().runs_guest);
    pid = Recorded().pid;
    CHECK_EQUAL(pid, qemu.RunningPid());
  }
  // The guest goes on although what started it is gone.
  CHECK(ProcessStartTime(pid) != 0);
  EndAndReap(pid);
}

TEST(HavendQemuProcess, LeavesAGuestPausedThatAnAdministratorHadPaused) {
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, wire::kGuestPaused);
  CHECK_TRUE(qemu.Activate(*image).ok());
  STRCMP_EQUAL("starts", Hear().c_str());
  STRCMP_EQUAL("memory RAM!", Hear().c_str());
  CHECK_TRUE(qemu.Running());
  const pid_t pid = qemu.RunningPid();
  pollfd poller{fifo, POLLIN, 0};
  CHECK_EQUAL(0, poll(&poller, 1, 0));
  End(pid);
}

TEST(HavendQemuProcess, StartsAnotherWhenTheWaitingProcessDies) {
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  STRCMP_EQUAL("starts", Hear().c_str());
  const pid_t first = Recorded().pid;
  CHECK_EQUAL(0, kill(first, SIGKILL));
  STRCMP_EQUAL("starts", Hear().c_str());
  CHECK(Recorded().pid != first);
  Commit(*image, 0);
  CHECK_TRUE(qemu.Activate(*image).ok());
  STRCMP_EQUAL("memory RAM!", Hear().c_str());
  STRCMP_EQUAL("runs", Hear().c_str());
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, EndsTheWaitingProcessWhenNobodyNeedsIt) {
  pid_t pid;
  {
    QemuProcess qemu(options);
    CHECK_TRUE(qemu.Prepare(*image).ok());
    pid = Recorded().pid;
  }
  CHECK_EQUAL(0ull, ProcessStartTime(pid));
  CHECK_FALSE(ReadPidFile(options.PidPath()).has_value());
}

TEST(HavendQemuProcess, EndsWhatAnEarlierDaemonLeftWaiting) {
  pid_t stale = fork();
  if (stale == 0) {
    for (;;) pause();
  }
  CHECK_TRUE(WritePidFile(options.PidPath(), {stale, ProcessStartTime(stale), false}).ok());
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Recover().ok());
  int status = 0;
  CHECK_EQUAL(stale, waitpid(stale, &status, 0));
  CHECK_TRUE(WIFSIGNALED(status));
  CHECK_FALSE(ReadPidFile(options.PidPath()).has_value());
}

TEST(HavendQemuProcess, FindsTheGuestThatAnEarlierDaemonPromotedAndStartsNoSecond) {
  pid_t guest = fork();
  if (guest == 0) {
    for (;;) pause();
  }
  CHECK_TRUE(WritePidFile(options.PidPath(), {guest, ProcessStartTime(guest), true}).ok());
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Recover().ok());
  CHECK_EQUAL(guest, qemu.RunningPid());
  Status status = qemu.Prepare(*image);
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("runs on this host already", status.message().c_str());
  CHECK_FALSE(qemu.Activate(*image).ok());
  CHECK(ProcessStartTime(guest) != 0);
  EndAndReap(guest);
  CHECK_FALSE(qemu.Running());
  // It ended: there is room for a new one.
  CHECK_TRUE(qemu.Prepare(*image).ok());
  STRCMP_EQUAL("starts", Hear().c_str());
}

TEST(HavendQemuProcess, SaysWhatADeviceModelSaidThatDoesNotStart) {
  options.command.push_back("-no-such-option");
  QemuProcess qemu(options);
  Status status = qemu.Prepare(*image);
  CHECK_FALSE(status.ok());
  STRCMP_CONTAINS("the waiting QEMU did not start: the process exited with status 1, saying: "
                  "fake: -no-such-option: invalid option",
                  status.message().c_str());
  CHECK_FALSE(ReadPidFile(options.PidPath()).has_value());
}

TEST(HavendQemuProcess, SaysWhyTheStateWasNotAccepted) {
  options.command.push_back("-refuse-stream");
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  Status status = qemu.Activate(*image);
  CHECK_FALSE(status.ok());
  STRCMP_CONTAINS("Missing section footer for cpu; fake: load of migration failed",
                  status.message().c_str());
  CHECK_FALSE(qemu.Running());
}

TEST(HavendQemuProcess, MayTryAgainAfterTheDeviceModelRefusedToRunTheGuest) {
  options.command.push_back("-refuse-cont");
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  for (int i = 0; i < 2; i++) {
    Status status = qemu.Activate(*image);
    STRCMP_CONTAINS("the guest does not run: a disk is locked", status.message().c_str());
    CHECK_FALSE(qemu.Running());
    CHECK_FALSE(ReadPidFile(options.PidPath()).has_value());
  }
}

TEST(HavendQemuProcess, RefusesAGuestWithoutTheConfiguredMainMemory) {
  options.ram_region = "mem0";
  QemuProcess qemu(options);
  Status status = qemu.Prepare(*image);
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("no memory region mem0", status.message().c_str());
}
