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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memrep/epoch_staging.h"
#include "os/pid_file.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;
using namespace haven::os;
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

/// Something that answers at `path` as the monitor of a guest does.
struct ScopedSocket {
  explicit ScopedSocket(const std::string& path) : fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path.c_str());
    CHECK_EQUAL(0, bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)));
    CHECK_EQUAL(0, listen(fd, 4));
  }
  ~ScopedSocket() { close(fd); }
  int fd;
};

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
    options.command = {std::string(source != nullptr ? source : ".") + "/tests/unit/havend_fake_qemu.py", "-say",
                       fifo_path};
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
  /// Whether no device model has said anything more.
  bool Silent() {
    pollfd poller{fifo, POLLIN, 0};
    return heard.empty() && poll(&poller, 1, 0) == 0;
  }
  std::string Memory() const {
    const GuestImage::Region& ram = image->regions()[0];
    return {reinterpret_cast<const char*>(ram.data), ram.bytes};
  }
  PidRecord Recorded() { return ReadPidFile(options.PidPath()).value_or(PidRecord{}); }
  void End(pid_t pid) {
    int pidfd = OpenRecordedProcess(RecordOf(pid, false));
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
  CHECK_TRUE(Silent());
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, ATrialLeavesTheImageAloneAndAFreshProcessWaits) {
  options.command.push_back("-write-late");
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  const pid_t first = Recorded().pid;
  Commit(*image, 0);
  const std::string before = Memory();
  Status tried = qemu.TryLoad(*image);
  CHECK_TRUE_TEXT(tried.ok(), tried.message().c_str());
  for (const char* said : {"starts", "memory RAM!", "loads", "starts"}) STRCMP_EQUAL(said, Hear().c_str());
  CHECK_EQUAL(0ull, ProcessStartTime(first));
  CHECK(Recorded().pid != first);
  CHECK_FALSE(Recorded().runs_guest);
  CHECK_FALSE(qemu.Running());
  CHECK(Memory() == before);
  CHECK_TRUE(qemu.Activate(*image).ok());
  STRCMP_EQUAL("memory RAM!", Hear().c_str());
  STRCMP_EQUAL("runs", Hear().c_str());
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, ATrialThatFailsSaysWhatTheDeviceModelSaid) {
  options.command.push_back("-refuse-try");
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  Status tried = qemu.TryLoad(*image);
  CHECK(tried.code() == StatusCode::kRefused);
  STRCMP_CONTAINS(
      "did not accept the guest's state: the guest's state cannot be loaded: fake: the device is another one",
      tried.message().c_str());
  STRCMP_EQUAL("starts", Hear().c_str());
  CHECK_TRUE(Silent());
}

TEST(HavendQemuProcess, ATrialWhoseProcessDiesIsMadeOnceMore) {
  options.command.insert(options.command.end(), {"-fail-load-once", std::string(folder) + "/failed"});
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  Status tried = qemu.TryLoad(*image);
  CHECK_TRUE_TEXT(tried.ok(), tried.message().c_str());
  for (const char* said : {"starts", "memory RAM!", "starts", "memory RAM!", "loads", "starts"})
    STRCMP_EQUAL(said, Hear().c_str());
}

TEST(HavendQemuProcess, ATrialThatDiesTwiceIsRefused) {
  options.command.push_back("-refuse-stream");
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  Status tried = qemu.TryLoad(*image);
  CHECK(tried.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("fake: Missing section footer for cpu", tried.message().c_str());
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
  CHECK_TRUE(WritePidFile(options.PidPath(), RecordOf(stale, false)).ok());
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
  CHECK_TRUE(WritePidFile(options.PidPath(), RecordOf(guest, true)).ok());
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
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS(
      "the waiting QEMU did not start: the process exited with status 1, saying: "
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
  STRCMP_CONTAINS("Missing section footer for cpu; fake: load of migration failed", status.message().c_str());
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

TEST(HavendQemuProcess, TriesOnceMoreWithAFreshProcessAndUntouchedMemory) {
  options.command.insert(options.command.end(), {"-fail-load-once", std::string(folder) + "/failed"});
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  const pid_t first = Recorded().pid;
  Commit(*image, 0);
  const std::string before = Memory();
  Status status = qemu.Activate(*image);
  CHECK_TRUE_TEXT(status.ok(), status.message().c_str());
  for (const char* line : {"starts", "memory RAM!", "starts", "memory RAM!", "runs"})
    STRCMP_EQUAL(line, Hear().c_str());
  CHECK(before == Memory());
  CHECK_TRUE(Recorded().runs_guest);
  CHECK(first != qemu.RunningPid());
  CHECK_EQUAL(Recorded().pid, qemu.RunningPid());
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, SaysBothReasonsWhenTheSecondTryFailsOtherwise) {
  options.command.insert(options.command.end(), {"-fail-load-once", std::string(folder) + "/failed", "-refuse-cont"});
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  Status status = qemu.Activate(*image);
  STRCMP_CONTAINS("the guest does not run: a disk is locked; at the first try: QEMU did not accept",
                  status.message().c_str());
  STRCMP_CONTAINS("load of migration failed at first", status.message().c_str());
  CHECK_FALSE(ReadPidFile(options.PidPath()).has_value());
}

TEST(HavendQemuProcess, DoesNotTakeForTheGuestsWhatAWaitingProcessWrote) {
  options.command.push_back("-write-early");
  QemuProcess qemu(options);
  Commit(*image, 0);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  CHECK_TRUE(qemu.Activate(*image).ok());
  for (const char* line : {"starts", "memory RAM!", "runs"}) STRCMP_EQUAL(line, Hear().c_str());
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, HasInTheImageWhatALoadThatSucceededWrote) {
  options.command.push_back("-write-late");
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  Commit(*image, 0);
  CHECK_TRUE(qemu.Activate(*image).ok());
  MEMCMP_EQUAL("RAM!", image->regions()[0].data, 4);
  MEMCMP_EQUAL("DEVS", image->regions()[0].data + kPageBytes, 4);
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, TriesNotAgainFromAnImageThatMayHaveBeenWrittenTo) {
  for (const char* refuse : {"-refuse-keep", "-refuse-cont"}) {
    image = MakeImage();
    QemuOptions with = options;
    with.command.insert(with.command.end(), {"-write-late", refuse});
    QemuProcess qemu(with);
    CHECK_TRUE(qemu.Prepare(*image).ok());
    Commit(*image, 0);
    CHECK_FALSE(qemu.Activate(*image).ok());
    STRCMP_EQUAL("starts", Hear().c_str());
    STRCMP_EQUAL("memory RAM!", Hear().c_str());
    CHECK_TRUE(Silent());
    CHECK_FALSE(qemu.Running());
  }
}

TEST(HavendQemuProcess, RefusesADeviceModelThatCannotForget) {
  options.command.push_back("-stock");
  QemuProcess qemu(options);
  Status status = qemu.Prepare(*image);
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("havend_fake_qemu.py is not the qemu-dm of this havend: install", status.message().c_str());
}

TEST(HavendQemuProcess, SaysWhatTheMachineIsThatWaits) {
  QemuProcess qemu(options);
  STRCMP_EQUAL("", qemu.Machine().c_str());
  CHECK_TRUE(qemu.Prepare(*image).ok());
  STRCMP_EQUAL("machine = fake\n", qemu.Machine().c_str());
  qemu.Discard();
  STRCMP_EQUAL("", qemu.Machine().c_str());
}

TEST(HavendQemuProcess, SwitchesAMachineOnThatHasOnlyItsDisks) {
  pid_t pid;
  {
    QemuProcess qemu(options);
    Status status = qemu.Boot();
    CHECK_TRUE_TEXT(status.ok(), status.message().c_str());
    STRCMP_EQUAL("starts", Hear().c_str());
    STRCMP_EQUAL("runs", Hear().c_str());
    pid = qemu.RunningPid();
    CHECK_TRUE(Recorded().runs_guest);
    CHECK_EQUAL(Recorded().pid, pid);
    CHECK(qemu.MayStart().code() == StatusCode::kRefused);
    CHECK(qemu.Boot().code() == StatusCode::kRefused);
  }
  CHECK(ProcessStartTime(pid) != 0);
  EndAndReap(pid);
}

TEST(HavendQemuProcess, SwitchesOnInsteadOfWaiting) {
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.Prepare(*image).ok());
  const pid_t waited = Recorded().pid;
  CHECK_TRUE(qemu.Boot().ok());
  for (const char* line : {"starts", "starts", "runs"}) STRCMP_EQUAL(line, Hear().c_str());
  CHECK_EQUAL(0ull, ProcessStartTime(waited));
  End(qemu.RunningPid());
}

TEST(HavendQemuProcess, SaysWhyAMachineDoesNotSwitchOnAndLeavesNothing) {
  options.command.push_back("-refuse-cont");
  QemuProcess qemu(options);
  Status status = qemu.Boot();
  STRCMP_CONTAINS("the guest does not run: a disk is locked", status.message().c_str());
  CHECK_FALSE(qemu.Running());
  CHECK_FALSE(ReadPidFile(options.PidPath()).has_value());
}

TEST(HavendQemuProcess, MayStartWhatOnlyItsOwnWaitingProcessHasTheNameOf) {
  QemuProcess qemu(options);
  CHECK_TRUE(qemu.MayStart().ok());
  CHECK_TRUE(qemu.Prepare(*image).ok());
  const pid_t pid = Recorded().pid;
  auto listening = std::make_unique<ScopedSocket>(options.qmp_path);
  CHECK_TRUE(qemu.MayStart().ok());
  CHECK_EQUAL(pid, Recorded().pid);
  qemu.Discard();  // which takes the name away
  listening = std::make_unique<ScopedSocket>(options.qmp_path);
  Status status = qemu.MayStart();
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("web1.qmp answers): end it first", status.message().c_str());
  CHECK(qemu.Boot().code() == StatusCode::kRefused);
  CHECK(qemu.Prepare(*image).code() == StatusCode::kRefused);
}
