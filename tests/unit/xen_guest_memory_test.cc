// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/guest_memory.h"

#include <cerrno>
#include <cstring>
#include <set>
#include <sys/mman.h>

#include "core/epoch.h"
#include "xen/state_saver.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::xen;

namespace {

/// Frames with memory are a set; what is mapped is one page each of its own.
class FakeHypervisor : public Hypervisor {
 public:
  std::set<uint64_t> memory;
  uint64_t frames = 0;
  std::set<uint64_t> written;
  uint64_t frames_asked = 0;
  std::vector<std::pair<uint64_t, uint64_t>> mapped;
  bool log = false;
  bool fail_clean = false;
  int pauses = 0;
  std::string config = "{}";

  Result<uint64_t> GuestFrames() override { return frames; }
  Result<uint64_t> AllocatedPages() override { return uint64_t{memory.size()}; }
  Result<uint64_t> CpuNanoseconds() override { return uint64_t{0}; }
  Status MapFrames(uint8_t* at, uint64_t first, std::span<bool> failed) override {
    frames_asked += failed.size();
    mapped.push_back({first, failed.size()});
    for (size_t i = 0; i < failed.size(); i++) {
      failed[i] = memory.count(first + i) == 0;
      int protection = failed[i] ? PROT_NONE : PROT_READ | PROT_WRITE;
      uint8_t* page = at + i * kPageBytes;
      if (mprotect(page, kPageBytes, protection) != 0) return Status::FromErrno(errno, "mprotect");
      if (!failed[i]) memset(page, static_cast<int>(first + i), kPageBytes);
    }
    return Status::Ok();
  }
  Status SetLogDirty(bool on) override {
    log = on;
    return Status::Ok();
  }
  Status ReadLogDirty(std::span<uint64_t> bitmap, uint64_t, bool keep) override {
    if (fail_clean) return {StatusCode::kEnvironment, "cleaning failed"};
    for (uint64_t frame : written) bitmap[frame / 64] |= uint64_t{1} << frame % 64;
    if (!keep) written.clear();
    return Status::Ok();
  }
  Status Pause() override {
    pauses++;
    return Status::Ok();
  }
  Status Unpause() override {
    pauses--;
    return Status::Ok();
  }
  Status GetHvmContext(Bytes& out) override {
    out = {1, 2, 3};
    return Status::Ok();
  }
  Result<uint64_t> GetHvmParam(uint32_t index) override { return uint64_t{index == 1 ? 0xfeffcu : 0u}; }
  Result<TscInfo> GetTscInfo() override { return TscInfo{1, 2, 3, 4}; }
  Status GetCpuPolicy(Bytes& cpuid, Bytes& msr) override {
    cpuid.assign(kCpuidLeafBytes, 7);
    msr.assign(kMsrEntryBytes, 8);
    return Status::Ok();
  }
  Status GetVersion(uint32_t& major, uint32_t& minor) override {
    major = 4;
    minor = 17;
    return Status::Ok();
  }
  std::string GetConfig() override { return config; }
};

std::set<uint64_t> FramesIn(const std::vector<uint64_t>& bitmap) {
  std::set<uint64_t> frames;
  for (const PageRun& run : RunsOf(bitmap)) {
    for (uint64_t i = 0; i < run.count; i++) frames.insert(run.first + i);
  }
  return frames;
}

}  // namespace

TEST_GROUP(XenGuestMemory) {
  FakeHypervisor hypervisor;
  std::unique_ptr<GuestMemory> memory;
  std::vector<uint64_t> bitmap;

  void setup() override {
    hypervisor.frames = 0x100000;  // 4 GiB
    for (uint64_t frame = 0; frame < 300; frame++) hypervisor.memory.insert(frame);
    for (uint64_t frame = 160; frame < 192; frame++) hypervisor.memory.erase(frame);
    for (uint64_t frame = 0xfeff8; frame < 0xff000; frame++) hypervisor.memory.insert(frame);
  }
  void Map() {
    auto mapped = GuestMemory::Map(hypervisor, {{0, 4096}, {0xfe000, 0x2000}});
    CHECK_TRUE(mapped.ok());
    memory = std::move(mapped.value());
    bitmap.assign((hypervisor.frames + 63) / 64, 0);
  }
  std::set<uint64_t> Harvest(bool keep = false) {
    std::fill(bitmap.begin(), bitmap.end(), 0);
    CHECK_TRUE(memory->Harvest(bitmap, keep).ok());
    return FramesIn(bitmap);
  }
};

TEST(XenGuestMemory, MapsEveryFrameToItsPlaceAndKnowsTheHoles) {
  Map();
  CHECK_TRUE(FramesIn(memory->populated()) == hypervisor.memory);
  LONGS_EQUAL(299 & 0xff, memory->host()[299 * kPageBytes]);
  LONGS_EQUAL(0xfeffc & 0xff, memory->host()[0xfeffcull * kPageBytes + 17]);
}

TEST(XenGuestMemory, SearchesOnlyWhereMemoryIsLikelyWhenThatIsAll) {
  Map();
  CHECK_TRUE(hypervisor.frames_asked <= 4096 + 0x2000);
}

TEST(XenGuestMemory, NeverReplacesAPartOfAMapping) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  hypervisor.memory.insert({0x170, 0x50000});
  hypervisor.written = {0x170, 0x50000};
  memory->Moved(0x1234, 3);
  Harvest();
  for (auto [first, count] : hypervisor.mapped) {
    LONGS_EQUAL(0, first % 4096);
    LONGS_EQUAL(4096, count);
  }
}

TEST(XenGuestMemory, SearchesEverywhereWhenSomeIsMissing) {
  hypervisor.memory.insert(0x80000);
  Map();
  CHECK_TRUE(FramesIn(memory->populated()) == hypervisor.memory);
}

TEST(XenGuestMemory, CountsEveryPopulatedPageAsWrittenOnceWhenTheRecordBegins) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  CHECK_TRUE(hypervisor.log);
  CHECK_TRUE(Harvest() == hypervisor.memory);
  CHECK_TRUE(Harvest().empty());
}

TEST(XenGuestMemory, HarvestsWrittenPagesAndForgetsThem) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  hypervisor.written = {3, 64, 0xfefff};
  CHECK_TRUE((Harvest() == std::set<uint64_t>{3, 64, 0xfefff}));
  CHECK_TRUE(Harvest().empty());
}

TEST(XenGuestMemory, ShowsPagesAgainWhileTheRecordIsKept) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  hypervisor.written = {3};
  CHECK_TRUE((Harvest(true) == std::set<uint64_t>{3}));
  hypervisor.written.insert(64);
  CHECK_TRUE((Harvest(true) == std::set<uint64_t>{3, 64}));
  CHECK_TRUE((Harvest() == std::set<uint64_t>{3, 64}));
  CHECK_TRUE(Harvest(true).empty());
}

TEST(XenGuestMemory, ForgetsARecordInWhichIsAFrameWithoutMemory) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  hypervisor.written = {3, 0x60000};
  for (int i = 0; i < 2; i++) CHECK_TRUE((Harvest(true) == std::set<uint64_t>{3}));
  const uint64_t asked = hypervisor.frames_asked;
  CHECK_TRUE(Harvest(true).empty());
  LONGS_EQUAL(asked, hypervisor.frames_asked);
}

TEST(XenGuestMemory, MapsAFrameThatGotMemoryBeforeItShowsItAsWritten) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  uint64_t generation = memory->generation();
  hypervisor.memory.insert(0x50000);
  hypervisor.written = {0x50000, 0x60000};  // the second has none
  CHECK_TRUE((Harvest() == std::set<uint64_t>{0x50000}));
  CHECK_TRUE(memory->generation() != generation);
  LONGS_EQUAL(0x50000 & 0xff, memory->host()[0x50000ull * kPageBytes]);
}

TEST(XenGuestMemory, FindsNewFramesAtAnyPlaceOfAWord) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  std::set<uint64_t> news;
  for (uint64_t frame : {0x40000, 0x4003f, 0x40040, 0x40041, 0x400ff}) news.insert(frame);
  for (uint64_t frame = 0x41000; frame < 0x41040; frame++) news.insert(frame);
  hypervisor.memory.insert(news.begin(), news.end());
  hypervisor.written = news;
  CHECK_TRUE(Harvest() == news);
}

TEST(XenGuestMemory, ShowsMemoryThatMovedAsWrittenInItsNewPlace) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  Harvest();
  hypervisor.memory.erase(299);
  hypervisor.memory.insert(0x70000);
  memory->Moved(299, 1);
  memory->Moved(0x70000, 1);
  CHECK_TRUE(FramesIn(memory->populated()).count(299) != 0);  // not before nobody reads
  CHECK_TRUE((Harvest() == std::set<uint64_t>{0x70000}));
  CHECK_FALSE(FramesIn(memory->populated()).count(299) != 0);
}

TEST(XenGuestMemory, ReportsAFailureToReadTheRecord) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  hypervisor.fail_clean = true;
  STRCMP_CONTAINS("cleaning failed", memory->Harvest(bitmap, false).message().c_str());
  hypervisor.fail_clean = false;
  CHECK_TRUE(Harvest() == hypervisor.memory);  // nothing was lost
}

TEST(XenGuestMemory, EndsTheRecordWhenItGoes) {
  Map();
  CHECK_TRUE(memory->SetLog(true).ok());
  memory.reset();
  CHECK_FALSE(hypervisor.log);
}

TEST(XenGuestMemory, RefusesASpaceWithoutFrames) {
  hypervisor.frames = 0;
  CHECK_FALSE(GuestMemory::Map(hypervisor, {}).ok());
}

TEST(XenGuestMemory, IsInTheStateThatASaverMakes) {
  Map();
  auto saver = StateSaver::Create(hypervisor);
  CHECK_TRUE(saver.ok());
  Bytes qemu = {9, 9}, out;
  CHECK_TRUE(saver.value()->Save(*memory, qemu, out).ok());
  auto state = DecodeDomainState(out, hypervisor.frames);
  CHECK_TRUE(state.ok());
  CHECK_TRUE((state.value().populated == std::vector<PageRun>{{0, 160}, {192, 108}, {0xfeff8, 8}}));
  CHECK_TRUE((state.value().hvm_params == std::vector<HvmParam>{{1, 0xfeffc}}));
  CHECK_TRUE(state.value().device_model == qemu);
  CHECK_TRUE((state.value().tsc == TscInfo{1, 2, 3, 4}));
}

TEST(XenGuestMemory, NeedsAConfigurationThatTheBackupCanStart) {
  hypervisor.config.clear();
  auto saver = StateSaver::Create(hypervisor);
  CHECK_TRUE(saver.status().code() == StatusCode::kRefused);
  STRCMP_CONTAINS("create the domain with xl", saver.status().message().c_str());
}
