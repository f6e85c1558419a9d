// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/xl_receiver.h"

#include <cstring>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "core/wire.h"
#include "memrep/epoch_staging.h"
#include "tests/unit/xen_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;
using namespace haven::xen;

namespace {

constexpr uint64_t kFrames = 8192;
const char kConfig[] = R"({"c_info": {"name": "g1", "uuid": ""}, "b_info": {}})";

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

/// xl is tests/unit/havend_fake_xl.py, which decodes the stream by itself.
TEST_GROUP(XlReceiver) {
  TestFolder folder;
  std::unique_ptr<memrep::GuestImage> image;
  std::unique_ptr<memrep::EpochStaging> staging;
  std::unique_ptr<XlReceiver> receiver;
  std::vector<std::string> logged;
  std::mutex logged_mutex;
  uint64_t pages_in_epoch = 0;
  uint32_t records_in_epoch = 0;
  std::string sample_config;  ///< empty: SampleState()'s

  void setup() override {
    setenv("FAKE_XL", folder.path().c_str(), 1);
    mkdir((folder / "domains").c_str(), 0700);
    std::ofstream(folder / "g1.cfg") << kConfig;
    MakeReceiver();
    wire::Layout layout;
    layout.regions.push_back({kPhysmapRegion, kFrames * kPageBytes});
    image = std::move(memrep::GuestImage::Create(layout, "", 1ull << 32).value());
    staging = std::make_unique<memrep::EpochStaging>(*image);
  }
  void teardown() override {
    receiver.reset();
    unsetenv("FAKE_XL");
  }
  void MakeReceiver(bool trial = false) {
    const char* source = getenv("srcdir");
    XlOptions options;
    options.name = "web1";
    options.xl = std::string(source != nullptr ? source : ".") + "/tests/unit/havend_fake_xl.py";
    options.config_path = folder / "g1.cfg";
    options.state_dir = folder.path();
    options.feed_interval = milliseconds(0);
    options.trial = trial;
    options.log = [this](const std::string& line) {
      std::lock_guard lock(logged_mutex);
      logged.push_back(line);
    };
    receiver = std::make_unique<XlReceiver>(options);
    CHECK_TRUE(receiver->Recover().ok());
  }
  void AddPage(Epoch epoch, uint64_t frame, uint8_t value) {
    Bytes body;
    ByteWriter w(body);
    w.U32(0);
    w.U32(1);
    w.U64(frame);
    body.insert(body.end(), kPageBytes, value);
    CHECK_TRUE(staging->AddPages(epoch, body).ok());
    if (epoch == kSyncEpoch) return;
    pages_in_epoch++;
    records_in_epoch++;
  }
  void CommitState(Epoch epoch, const std::string& emulator, std::vector<PageRun> populated) {
    DomainState state = SampleState();
    state.device_model.assign(emulator.begin(), emulator.end());
    state.populated = std::move(populated);
    if (!sample_config.empty()) state.config = sample_config;
    Bytes blob;
    Encode(state, blob);
    Bytes body;
    ByteWriter w(body);
    w.U64(blob.size());
    w.U64(0);
    w.Raw(blob);
    CHECK_TRUE(staging->AddDeviceState(epoch, body).ok());
    wire::EpochEnd end;
    end.pages = pages_in_epoch;
    end.memory_records = records_in_epoch + 1;
    end.device_state_bytes = blob.size();
    CHECK_TRUE(staging->Check(epoch, end).ok());
    staging->Apply(epoch, end);
    pages_in_epoch = records_in_epoch = 0;
    receiver->Committed(*image);
  }
  /// As a session with `trial = yes` does it, up to its first commit.
  void PrepareTrial() {
    receiver.reset();
    MakeReceiver(true);
    CHECK_TRUE(receiver->Prepare(*image).ok());
    AddPage(kSyncEpoch, 3, 0x33);
    AddPage(1, 5, 0x51);
    CommitState(1, "first", {{0, 8}});
  }
  /// How often xl was called with `command`.
  int Calls(const std::string& command) {
    std::stringstream calls(ReadFile(folder / "calls"));
    int count = 0;
    for (std::string line; std::getline(calls, line);) count += line.starts_with(command);
    return count;
  }
  /// As a failover does it. @return what the stand-in restored.
  std::string Activated() {
    Status status = receiver->Activate(*image);
    STRCMP_EQUAL("", status.message().c_str());
    return ReadFile(folder / "restored.json");
  }
};

TEST(XlReceiver, RunsTheDomainFromTheLastCommittedEpoch) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(kSyncEpoch, 3, 0x33);
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  AddPage(2, 5, 0x52);
  CommitState(2, "second", {{0, 8}});
  std::string restored = Activated();
  STRCMP_CONTAINS("\"emulator\": \"second\"", restored.c_str());
  STRCMP_CONTAINS("\"3\": 51, ", restored.c_str());
  STRCMP_CONTAINS("\"5\": 82", restored.c_str());
  STRCMP_CONTAINS("01234567-89ab-cdef-0123-456789abcdef", restored.c_str());
  CHECK_TRUE(receiver->Running());
  CHECK_FALSE(Exists(folder / "domains/g1--incoming"));
}

TEST(XlReceiver, DropsAnEpochThatWasNotCommitted) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  AddPage(2, 5, 0x52);
  staging->Clear();
  STRCMP_CONTAINS("\"5\": 81", Activated().c_str());
}

TEST(XlReceiver, IsTheImageAfterManyEpochsHoweverFastTheyCome) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  unsigned seed = 1;
  for (Epoch epoch = 1; epoch <= 200; epoch++) {
    for (int i = 0; i < 20; i++) {
      seed = seed * 1103515245 + 12345;
      AddPage(epoch, seed / 65536 % 4096, static_cast<uint8_t>(seed >> 8));
    }
    CommitState(epoch, "epoch " + std::to_string(epoch), {{0, 4096}});
  }
  std::string restored = Activated();
  STRCMP_CONTAINS("\"emulator\": \"epoch 200\"", restored.c_str());
  const uint8_t* memory = image->regions()[0].data;
  for (uint64_t frame = 0; frame < 4096; frame++) {
    std::string page = "\"" + std::to_string(frame) + "\": " + std::to_string(memory[frame * kPageBytes]);
    if (restored.find(page + ",") == std::string::npos && restored.find(page + "}") == std::string::npos)
      FAIL(page.c_str());
  }
}

TEST(XlReceiver, SendsOnlyFramesThatThePrimaryDeclared) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 100, 0x51);  // not in the map
  CommitState(1, "first", {{0, 2}});
  std::string restored = Activated();
  STRCMP_CONTAINS("\"pages\": {\"0\": 0, \"1\": 0}", restored.c_str());
}

TEST(XlReceiver, LeavesNothingBehindWhenTheImageIsDiscarded) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  receiver->Discard();
  CHECK_FALSE(Exists(folder / "domains/g1--incoming"));
  CHECK_FALSE(Exists(folder / "domains/g1"));
  CHECK_FALSE(Exists(folder / "restored.json"));
  CHECK_FALSE(receiver->Running());
}

TEST(XlReceiver, TakesAnotherImageAfterOneWasDiscarded) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  receiver->Discard();
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(2, 5, 0x52);
  CommitState(2, "again", {{0, 8}});
  STRCMP_CONTAINS("\"emulator\": \"again\"", Activated().c_str());
}

TEST(XlReceiver, RefusesWhileTheDomainRunsHere) {
  std::ofstream(folder / "domains/g1") << "";
  Status status = receiver->Prepare(*image);
  CHECK_TRUE(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("domain g1 runs on this host already", status.message().c_str());
}

TEST(XlReceiver, RefusesWhenItsDeviceModelDoesNotRunHere) {
  std::ofstream(folder / "g1.cfg")
      << R"({"c_info": {"name": "g1", "uuid": ""}, "b_info": {"device_model": "/nowhere/qemu-dm"}})";
  MakeReceiver();
  Status status = receiver->Prepare(*image);
  CHECK(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("does not run on this host", status.message().c_str());
  std::ofstream(folder / "g1.cfg")
      << R"({"c_info": {"name": "g1", "uuid": ""}, "b_info": {"device_model": "/bin/true"}})";
  MakeReceiver();
  CHECK_TRUE(receiver->Prepare(*image).ok());
}

TEST(XlReceiver, RefusesAnImageThatIsNotOfXen) {
  wire::Layout layout;
  layout.regions.push_back({"pc.ram", kFrames * kPageBytes});
  auto other = memrep::GuestImage::Create(layout, "pc.ram", 1ull << 32);
  STRCMP_CONTAINS("no Xen guest", receiver->Prepare(*other.value()).message().c_str());
}

TEST(XlReceiver, FindsAfterARestartWhatRunsAndEndsWhatWaits) {
  std::ofstream(folder / "domains/g1") << "";
  std::ofstream(folder / "domains/g1--incoming") << "";
  MakeReceiver();
  CHECK_TRUE(receiver->Running());
  CHECK_FALSE(Exists(folder / "domains/g1--incoming"));
  unlink((folder / "domains/g1").c_str());
  CHECK_FALSE(receiver->Running());
}

TEST(XlReceiver, SaysWhyTheDomainCouldNotBeStarted) {
  std::ofstream(folder / "broken") << "";
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  Status status = receiver->Activate(*image);
  CHECK_FALSE(status.ok());
  STRCMP_CONTAINS("exited with status 1", status.message().c_str());
  CHECK_FALSE(receiver->Running());
}

TEST(XlReceiver, RefusesAHostileStateWithoutRunningAnything) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, kFrames + 1}});
  Status status = receiver->Activate(*image);
  CHECK_TRUE(status.code() == StatusCode::kProtocol);
  CHECK_FALSE(Exists(folder / "domains/g1"));
}

TEST(XlReceiver, FeedsAFreshXlWhenTheFirstOneFailed) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(kSyncEpoch, 3, 0x33);
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  std::ofstream(folder / "fail_once") << "";
  std::string restored = Activated();
  STRCMP_CONTAINS("\"emulator\": \"first\"", restored.c_str());
  STRCMP_CONTAINS("\"3\": 51, ", restored.c_str());
  STRCMP_CONTAINS("\"5\": 81", restored.c_str());
  CHECK_EQUAL(2, Calls("migrate-receive"));
  CHECK_FALSE(Exists(folder / "domains/g1--incoming"));
  CHECK_TRUE(receiver->Running());
}

TEST(XlReceiver, TriesNotAgainWhenTheDomainMayHaveRun) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  AddPage(1, 5, 0x51);
  CommitState(1, "first", {{0, 8}});
  std::ofstream(folder / "fail_late") << "";
  CHECK_FALSE(receiver->Activate(*image).ok());
  CHECK_EQUAL(1, Calls("migrate-receive"));
  CHECK_TRUE(Exists(folder / "domains/g1"));
}

TEST(XlReceiver, CreatesADomainThatHasOnlyItsDisks) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  CHECK_TRUE(receiver->Boot().ok());
  CHECK_TRUE(Exists(folder / "domains/g1"));
  CHECK_FALSE(Exists(folder / "domains/g1--incoming"));
  CHECK_TRUE(receiver->Running());
  CHECK(receiver->MayStart().code() == StatusCode::kRefused);
  CHECK(receiver->Boot().code() == StatusCode::kRefused);
}

TEST(XlReceiver, SaysWhyADomainIsNotCreated) {
  std::ofstream(folder / "broken") << "";
  STRCMP_CONTAINS("the domain does not start", receiver->Boot().message().c_str());
  CHECK_FALSE(receiver->Running());
}

namespace {

const char kConfigWithDisk[] = R"({"c_info": {"name": "g1", "uuid": ""}, "b_info": {},
  "disks": [{"pdev_path": "DISK", "vdev": "hda"}], "nics": []})";

}  // namespace

TEST(XlReceiver, TrialIsADomainWithTheCheckpointThatNeverRunsAndIsGone) {
  PrepareTrial();
  CHECK_TRUE(receiver->TryLoad(*image).ok());
  STRCMP_CONTAINS("\"emulator\": \"first\"", ReadFile(folder / "trial.json").c_str());
  STRCMP_CONTAINS("\"3\": 51, ", ReadFile(folder / "trial.json").c_str());
  STRCMP_CONTAINS("\"5\": 81", ReadFile(folder / "trial.json").c_str());
  CHECK_FALSE(Exists(folder / "domains/g1"));
  CHECK_EQUAL(1, Calls("destroy g1--incoming"));
  CHECK_EQUAL(1, Calls("migrate-receive -e"));
}

TEST(XlReceiver, TrialIsOverBeforeTheDomainThatWaitsIsMade) {
  PrepareTrial();
  CHECK_TRUE(receiver->TryLoad(*image).ok());
  AddPage(2, 5, 0x52);
  CommitState(2, "second", {{0, 8}});
  std::string restored = Activated();
  STRCMP_CONTAINS("\"emulator\": \"second\"", restored.c_str());
  STRCMP_CONTAINS("\"3\": 51, ", restored.c_str());
  STRCMP_CONTAINS("\"5\": 82", restored.c_str());
  const std::string calls = ReadFile(folder / "calls");
  CHECK_TRUE(calls.find("destroy g1--incoming") < calls.find("migrate-receive -r"));
  CHECK_EQUAL(1, Calls("migrate-receive -e"));
  CHECK_EQUAL(1, Calls("migrate-receive -r"));
}

TEST(XlReceiver, TrialThatFailsIsRefusedWithTheWordsOfXl) {
  PrepareTrial();
  std::ofstream(folder / "fail_trial") << "libxl: error: the device model does not take it";
  Status status = receiver->TryLoad(*image);
  CHECK_TRUE(status.code() == StatusCode::kRefused);
  STRCMP_CONTAINS("xl cannot load the guest's state on this host", status.message().c_str());
  STRCMP_CONTAINS("xl says: libxl: error: the device model does not take it", status.message().c_str());
  CHECK_EQUAL(2, Calls("migrate-receive -e"));
  CHECK_EQUAL(0, Calls("migrate-receive -r"));
  CHECK_FALSE(Exists(folder / "domains/g1--incoming"));
}

TEST(XlReceiver, TrialThatWasRefusedDoesNotKeepAPersonFromStartingTheGuest) {
  PrepareTrial();
  std::ofstream(folder / "fail_trial") << "no";
  CHECK_FALSE(receiver->TryLoad(*image).ok());
  STRCMP_CONTAINS("\"emulator\": \"first\"", Activated().c_str());
}

TEST(XlReceiver, TrialHasEmptyFilesForDisksWhichAreGoneAfterwards) {
  const std::string disk = folder / "replica";
  std::ofstream(disk) << std::string(12345, 'x');
  std::string config = kConfigWithDisk;
  std::ofstream(folder / "g1.cfg") << config.replace(config.find("DISK"), 4, disk);
  sample_config = R"({"c_info":{"uuid":"01234567-89ab-cdef-0123-456789abcdef"},"disks":[{"vdev":"hda"}],"nics":[]})";
  PrepareTrial();
  Status status = receiver->TryLoad(*image);
  STRCMP_EQUAL("", status.message().c_str());
  STRCMP_CONTAINS("\"disk_bytes\": [12345]", ReadFile(folder / "trial.json").c_str());
  CHECK_TRUE(ReadFile(folder / "trial.json").find("replica") == std::string::npos);
  CHECK_FALSE(Exists(folder / "trial-disk0"));
}

TEST(XlReceiver, TrialThatHangsDoesNotKeepTheGuestFromBeingStarted) {
  PrepareTrial();
  std::ofstream(folder / "hang_trial") << "";
  Status tried;
  std::thread trial([&] { tried = receiver->TryLoad(*image); });
  while (!Exists(folder / "hangs")) std::this_thread::sleep_for(milliseconds(5));
  receiver->EndTrial();
  trial.join();
  CHECK(tried.code() == StatusCode::kTryAgain);
  STRCMP_CONTAINS("\"emulator\": \"first\"", Activated().c_str());
}

TEST(XlReceiver, TrialIsNotMadeUnlessItIsAskedFor) {
  CHECK_TRUE(receiver->Prepare(*image).ok());
  CHECK_TRUE(receiver->TryLoad(*image).ok());
  CHECK_EQUAL(0, Calls("migrate-receive -e"));
}
