// SPDX-License-Identifier: GPL-2.0-or-later
//
// The C interface from outside of the library: only what haven.h exports.

#include "capi/haven.h"

#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>
#include <filesystem>
#include <string>
#include <vector>

#include <CppUTest/TestHarness.h>

namespace {

/// A device model without a guest, whose main thread is the test's.
struct Model {
  bool halted = false, ended = false;
  int last_state = -1;
  std::mutex mutex;
  std::vector<std::pair<void (*)(void*), void*>> calls;  ///< that the main thread has not come to
  std::condition_variable changed;

  void ServeUntilEnded() {
    while (!ended) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [this] { return !calls.empty(); });
      const auto [fn, arg] = calls.front();
      calls.erase(calls.begin());
      lock.unlock();
      fn(arg);
    }
  }
};

void RunOnMain(void* opaque, void (*fn)(void*), void* arg) {
  auto* model = static_cast<Model*>(opaque);
  std::lock_guard lock(model->mutex);
  model->calls.push_back({fn, arg});
  model->changed.notify_all();
}
int SetDirtyLog(void*, int) { return 0; }
int HarvestDirty(void*, size_t, uint64_t*, size_t, int) { return 0; }
int StopGuest(void*) { return 1; }
void Resume(void*) {}
int SaveDeviceState(void*, haven_buffer* out) {
  haven_buffer_append(out, "x", 1);
  return 0;
}
void SendFrame(void*, void*, unsigned, const uint8_t*, size_t) {}
void StartDiskCopy(void*, uint32_t) {}
void StateChanged(void* opaque, const haven_status* status) { static_cast<Model*>(opaque)->last_state = status->state; }
void Halt(void* opaque) { static_cast<Model*>(opaque)->halted = true; }
void Ended(void* opaque) { static_cast<Model*>(opaque)->ended = true; }

/// Where the records of guests are kept.
struct Folder {
  std::string path = "/tmp/haven-capi-XXXXXX";
  Folder() { CHECK(mkdtemp(path.data()) != nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
};

void Done(void* arg) { ++*static_cast<int*>(arg); }

}  // namespace

TEST_GROUP(CInterface) {
  Folder folder;
  Model model;
  std::vector<uint8_t> memory = std::vector<uint8_t>(8192);
  haven_guest_ops ops{};
  haven_options options{};
  haven_region region{"pc.ram", nullptr, 8192};
  haven_disk disk{"vda", 1 << 20};
  haven_error error{};
  haven_session* session = nullptr;

  void setup() override {
    ops.size = sizeof(ops);
    ops.run_on_main = RunOnMain;
    ops.set_dirty_log = SetDirtyLog;
    ops.harvest_dirty = HarvestDirty;
    ops.stop = StopGuest;
    ops.resume = Resume;
    ops.save_device_state = SaveDeviceState;
    ops.send_frame = SendFrame;
    ops.start_disk_copy = StartDiskCopy;
    ops.state_changed = StateChanged;
    ops.halt = Halt;
    ops.ended = Ended;
    options.size = sizeof(options);
    options.guest = "vm";
    options.host = "127.0.0.1";
    options.port = "1";  // nobody listens there
    options.interval_ms = 50;
    options.deadline_ms = 200;
    options.state_dir = folder.path.c_str();
    region.host = memory.data();
  }
  void teardown() override {
    if (session != nullptr) haven_session_free(session);
    // A main thread that comes to them only now: they must not touch the session.
    for (auto& [fn, arg] : model.calls) fn(arg);
  }
  haven_session* Start() {
    session = haven_session_start(&options, &ops, &model, &region, 1, &disk, 1, &error);
    return session;
  }
  void CheckRefused(const char* message) {
    POINTERS_EQUAL(nullptr, Start());
    STRCMP_EQUAL(message, error.message);
  }
};

TEST(CInterface, HasTheVersionOfItsHeader) { CHECK_EQUAL(HAVEN_ABI_VERSION, haven_abi_version()); }

TEST(CInterface, RefusesWhatCannotBeWithASentence) {
  options.guest = "";
  CheckRefused("a guest name is required");
  options.guest = nullptr;
  CheckRefused("a guest name is required");
  std::string longest(256, 'n');
  options.guest = longest.c_str();
  CheckRefused("the guest name is too long");
  options.guest = "vm";
  options.host = nullptr;
  CheckRefused("the backup's host is required");
  options.host = "h";
  options.port = "";
  CheckRefused("the backup's port is required");
  options.port = "1";
  options.interval_ms = 0;
  CheckRefused("the interval must be 1 to 60000 ms, not 0");
  options.interval_ms = 60001;
  CheckRefused("the interval must be 1 to 60000 ms, not 60001");
  options.interval_ms = 1;
  options.deadline_ms = 49;
  CheckRefused("the deadline must be 50 to 60000 ms");
  options.deadline_ms = 50;
  options.lag_limit_ms = 999;
  CheckRefused("the limit of a commit's lag must be 1000 to 3600000 ms");
  options.lag_limit_ms = 1000;
  region.bytes = 4097;
  CheckRefused("memory region pc.ram is not a whole number of pages");
  region.bytes = 8192;
  POINTERS_EQUAL(nullptr, haven_session_start(&options, &ops, &model, &region, 0, &disk, 1, &error));
  STRCMP_EQUAL("the guest has no memory, or too many regions of it", error.message);
  std::vector<haven_disk> many(65, disk);
  POINTERS_EQUAL(nullptr, haven_session_start(&options, &ops, &model, &region, 1, many.data(), many.size(), &error));
  STRCMP_EQUAL("the guest has too many disks", error.message);
}

TEST(CInterface, RefusesOptionsOfTheEncoderThatCannotBe) {
  options.encoder_stages = 5;
  CheckRefused("the encoder has no stages 5");
  options.encoder_stages = HAVEN_ENCODER_ALL;
  options.encoder_compression = 4;
  CheckRefused("the encoder has no compression 4");
  options.encoder_compression = HAVEN_COMPRESSION_ADAPTIVE;
  options.encoder_block_bytes = 96;
  CheckRefused("the encoder's blocks must have 64, 128 or 256 octets");
  options.encoder_block_bytes = 0;
  options.encoder_cpu_percent = 101;
  CheckRefused("the encoder may use at most 100 percent of a processor");
  options.encoder_cpu_percent = 0;
  options.encoder_cache_percent = 101;
  CheckRefused("the encoder's cache may have at most 100 percent of the guest's memory");
  options.encoder_cache_percent = 10;
  options.encoder_cache_bytes = 1 << 20;
  CheckRefused("the size of the encoder's cache is given twice; leave one of them out");
  options.encoder_cache_bytes = 0;
  options.threads = 65;
  CheckRefused("the encoder may use at most 64 threads");
  options.threads = 1;
  CHECK(Start() != nullptr);
}

TEST(CInterface, LetsEverythingPassWithoutABackup) {
  CHECK(Start() != nullptr);
  int done = 0;
  uint8_t data[512] = {};
  iovec iov{data, sizeof(data)};
  CHECK_EQUAL(0, haven_disk_write(session, 0, 0, 512, &iov, 1, 0, Done, &done));
  CHECK_EQUAL(0, haven_disk_zero(session, 0, 0, 512, 1, Done, &done));
  CHECK_EQUAL(0, haven_disk_discard(session, 0, 0, 512, Done, &done));
  CHECK_EQUAL(0, haven_disk_flush(session, 0, Done, &done));
  CHECK_EQUAL(0, haven_disk_copy(session, 0, 0, 512, data, Done, &done));
  CHECK_EQUAL(0, haven_net_output(session, &model, 0, &iov, 1));
  uint64_t offset = 0, bytes = 0;
  CHECK_EQUAL(0, haven_disk_next_copy(session, 0, &offset, &bytes));
  CHECK_EQUAL(0, done);
}

TEST(CInterface, FillsNoMoreOfTheStatusThanTheCallerHas) {
  CHECK(Start() != nullptr);
  haven_status status;
  memset(&status, 0x5A, sizeof(status));
  status.size = offsetof(haven_status, epochs);
  haven_session_query(session, &status);
  CHECK_EQUAL(offsetof(haven_status, epochs), status.size);
  CHECK_EQUAL(0, status.epoch);
  CHECK(status.epochs == 0x5A5A5A5A5A5A5A5Aull);
  struct {  // of a newer caller
    haven_status known;
    uint8_t more[100];
  } newer;
  memset(&newer, 0x5A, sizeof(newer));
  newer.known.size = sizeof(newer);
  haven_session_query(session, &newer.known);
  CHECK_EQUAL(sizeof(haven_status), newer.known.size);
  CHECK_EQUAL(0, newer.known.epochs);
  for (uint8_t octet : newer.more) CHECK_EQUAL(0x5A, octet);
}

TEST(CInterface, KeepsTheMembersOfTheStatusWhereOlderCallersHaveThem) {
  CHECK_EQUAL(16, offsetof(haven_status, epoch));
  CHECK_EQUAL(56, offsetof(haven_status, pause_p50_us));
  CHECK_EQUAL(80, offsetof(haven_status, stop_p50_us));
  CHECK_EQUAL(176, offsetof(haven_status, dirty_pages_last));
  CHECK_EQUAL(256, offsetof(haven_status, message));
  CHECK_EQUAL(512, offsetof(haven_status, settle_p50_us));
  CHECK_EQUAL(616, offsetof(haven_status, encoder_shared_pages));
  CHECK_EQUAL(640, offsetof(haven_status, reason));
}

TEST(CInterface, EndsOnceAndCanBeFreedAfterwards) {
  CHECK(Start() != nullptr);
  CHECK_EQUAL(0, haven_session_stop(session, HAVEN_STOP_GUEST_OFF, &error));
  CHECK_EQUAL(0, haven_session_stop(session, HAVEN_STOP_UNPROTECT, &error));
  model.ServeUntilEnded();
  haven_status status{};
  status.size = sizeof(status);
  haven_session_query(session, &status);
  CHECK_EQUAL(HAVEN_STOPPED, status.state);
  CHECK_EQUAL(HAVEN_STOPPED, model.last_state);
  CHECK_FALSE(model.halted);
}
