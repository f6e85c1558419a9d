// SPDX-License-Identifier: GPL-2.0-or-later
#include "capi/haven.h"

#include <algorithm>
#include <cstddef>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "capi/report.h"
#include "capi/state_dir.h"
#include "core/guarded.h"
#include "core/random_token.h"
#include "os/memory_left.h"
#include "session/guest_run.h"
#include "session/memory_need.h"
#include "session/primary_session.h"

using haven::Status;
using haven::StatusCode;
namespace session = haven::session;
namespace blkrep = haven::blkrep;

struct haven_buffer {
  haven::Bytes& bytes;
  Status status;  ///< whether all of it could be kept
};

namespace {

void CopyText(char* to, size_t size, const std::string& text) { snprintf(to, size, "%s", text.c_str()); }

haven_status ToC(const session::PrimaryStatus& from) {
  haven_status to{};
  to.size = sizeof(to);
  to.state = static_cast<int>(from.state);
#define HAVEN_COPY(name, unit, meaning) to.name = from.name;
  HAVEN_STATUS_FIGURES(HAVEN_COPY)
#undef HAVEN_COPY
  CopyText(to.message, sizeof(to.message), from.message);
  CopyText(to.newer, sizeof(to.newer), from.newer);
  CopyText(to.reason, sizeof(to.reason), from.message);
  CopyText(to.mode, sizeof(to.mode), from.mode);
  CopyText(to.mode_settings, sizeof(to.mode_settings), from.mode_settings);
  CopyText(to.run_state, sizeof(to.run_state), from.run_state);
  return to;
}

static_assert(HAVEN_MODE_REMUS - 1 == static_cast<int>(session::Mode::kRemus));
static_assert(HAVEN_MODE_KEMARI - 1 == static_cast<int>(session::Mode::kKemari));
static_assert(HAVEN_MODE_ADAPTIVE - 1 == static_cast<int>(session::Mode::kAdaptive));

static_assert(HAVEN_CONNECTING == static_cast<int>(session::PrimaryState::kConnecting));
static_assert(HAVEN_SYNCING == static_cast<int>(session::PrimaryState::kSyncing));
static_assert(HAVEN_PROTECTED == static_cast<int>(session::PrimaryState::kProtected));
static_assert(HAVEN_VERIFYING == static_cast<int>(session::PrimaryState::kVerifying));
static_assert(HAVEN_UNPROTECTED == static_cast<int>(session::PrimaryState::kUnprotected));
static_assert(HAVEN_REFUSED == static_cast<int>(session::PrimaryState::kRefused));
static_assert(HAVEN_LOST == static_cast<int>(session::PrimaryState::kLost));
static_assert(HAVEN_STOPPED == static_cast<int>(session::PrimaryState::kStopped));

Status FromErrno(int result, const char* what) { return result >= 0 ? Status::Ok() : Status::FromErrno(-result, what); }

haven::Result<bool> StopResult(int result) {
  if (result == -EAGAIN) return Status(StatusCode::kTryAgain, "the guest cannot be stopped at this moment");
  if (result < 0) return FromErrno(result, "cannot stop the guest");
  return result == 1;
}

haven_guest_ops ReadOps(const haven_guest_ops& given) {
  haven_guest_ops ops{};  // what an older caller does not know is null
  memcpy(&ops, &given, std::min(given.size, sizeof(ops)));
  return ops;
}

/// The device model's callbacks as a Guest.
class CGuest : public session::Guest {
 public:
  CGuest(const haven_guest_ops& ops, void* opaque, const haven_region* regions, size_t count)
      : ops_(ReadOps(ops)), opaque_(opaque) {
    for (size_t i = 0; i < count; i++) regions_.push_back({regions[i].name, regions[i].host, regions[i].bytes});
  }

  void RunOnMain(void (*fn)(void*), void* arg) override { ops_.run_on_main(opaque_, fn, arg); }
  const std::vector<haven::memrep::MemoryRegion>& regions() const override { return regions_; }
  Status SetDirtyLog(bool on) override {
    return FromErrno(ops_.set_dirty_log(opaque_, on), "cannot track the guest's memory");
  }
  Status HarvestDirty(size_t region, std::span<uint64_t> bitmap, session::AfterHarvest after) override {
    return FromErrno(
        ops_.harvest_dirty(opaque_, region, bitmap.data(), bitmap.size(), after == session::AfterHarvest::kKeep),
        "cannot read which memory the guest has written");
  }
  haven::Result<bool> MakeReady() override {
    return ops_.make_ready == nullptr ? haven::Result<bool>(true) : StopResult(ops_.make_ready(opaque_));
  }
  haven::wire::GuestRun RunState() override {
    const int run = ops_.run_state == nullptr ? HAVEN_RUN_UNKNOWN : ops_.run_state(opaque_);
    return run >= 0 && run <= haven::wire::kMostGuestRun ? static_cast<haven::wire::GuestRun>(run)
                                                         : haven::wire::GuestRun::kOther;
  }
  std::optional<haven::microseconds> CpuTime() override {
    const uint64_t ns = ops_.cpu_ns == nullptr ? 0 : ops_.cpu_ns(opaque_);
    return ns == 0 ? std::nullopt : std::optional(haven::microseconds(ns / 1000));
  }
  haven::milliseconds DiskStall() override {
    constexpr uint64_t kMost = 1'000'000'000;
    const uint64_t ms = ops_.disk_stall_ms == nullptr ? 0 : ops_.disk_stall_ms(opaque_);
    return haven::milliseconds(std::min(ms, kMost));
  }
  haven::Result<bool> Stop() override { return StopResult(ops_.stop(opaque_)); }
  void Resume() override { ops_.resume(opaque_); }
  Status SaveDeviceState(haven::Bytes& out) override {
    haven_buffer buffer{out, {}};
    HAVEN_RETURN_IF_ERROR(FromErrno(ops_.save_device_state(opaque_, &buffer), "cannot save the device state"));
    return buffer.status.With("cannot save the device state");
  }
  void SendFrame(const haven::netrep::Frame& frame) override {
    ops_.send_frame(opaque_, frame.nic, frame.flags, frame.data.get(), frame.bytes);
  }
  Status CutOutput() override {
    return ops_.cut_output == nullptr ? Status::Ok()
                                      : FromErrno(ops_.cut_output(opaque_), "cannot hold the guest's output");
  }
  void ReleaseOutput() override {
    if (ops_.release_output != nullptr) ops_.release_output(opaque_);
  }
  void ReleaseAllOutput() override {
    if (ops_.release_all_output != nullptr) ops_.release_all_output(opaque_);
  }
  Status DropOutput() override {
    return ops_.drop_output == nullptr ? Status::Ok() : FromErrno(ops_.drop_output(opaque_), "cannot drop held output");
  }
  void StartDiskCopy(uint32_t disk) override { ops_.start_disk_copy(opaque_, disk); }
  void StateChanged(const session::PrimaryStatus& status) override {
    haven_status c_status = ToC(status);
    ops_.state_changed(opaque_, &c_status);
  }
  void Halt() override { ops_.halt(opaque_); }
  void Ended() override { ops_.ended(opaque_); }

 private:
  const haven_guest_ops ops_;
  void* const opaque_;
  std::vector<haven::memrep::MemoryRegion> regions_;
};

Status Invalid(const std::string& why) { return {StatusCode::kInvalid, why}; }

/// @param memory_bytes  of the guest.
Status ReadEncoderOptions(const haven_options& from, uint64_t memory_bytes, haven::memrep::EncoderOptions& to) {
  using Stages = haven::memrep::EncoderStages;
  constexpr Stages kStages[] = {Stages::kAll, Stages::kNone, Stages::kBlocks, Stages::kSharing, Stages::kCompression};
  if (from.encoder_stages < HAVEN_ENCODER_ALL || from.encoder_stages > HAVEN_ENCODER_COMPRESSION) {
    return Invalid("the encoder has no stages " + std::to_string(from.encoder_stages));
  }
  if (from.encoder_compression < HAVEN_COMPRESSION_ADAPTIVE || from.encoder_compression > HAVEN_COMPRESSION_ZSTD) {
    return Invalid("the encoder has no compression " + std::to_string(from.encoder_compression));
  }
  uint32_t block_bytes = from.encoder_block_bytes == 0 ? 64 : from.encoder_block_bytes;
  if (block_bytes != 64 && block_bytes != 128 && block_bytes != 256) {
    return Invalid("the encoder's blocks must have 64, 128 or 256 octets");
  }
  if (from.encoder_cpu_percent > 100) return Invalid("the encoder may use at most 100 percent of a processor");
  if (from.encoder_cache_percent > 100)
    return Invalid("the encoder's cache may have at most 100 percent of the guest's memory");
  if (from.encoder_cache_percent != 0 && from.encoder_cache_bytes != 0) {
    return Invalid("the size of the encoder's cache is given twice; leave one of them out");
  }
  to.stages = kStages[from.encoder_stages];
  to.compression = static_cast<haven::memrep::CompressionChoice>(from.encoder_compression);
  to.block_bytes = block_bytes;
  if (from.encoder_cpu_percent != 0) to.cpu_percent = from.encoder_cpu_percent;
  to.cache_bytes = from.encoder_cache_bytes;
  if (from.encoder_cache_percent != 0) to.cache_bytes = memory_bytes / 100 * from.encoder_cache_percent;
  to.link_bytes_per_second = from.encoder_link_bytes_per_second;
  return Status::Ok();
}

/// One process runs one guest: this run of it.
const haven::wire::Token& ThisLife() {
  static const haven::wire::Token life = haven::RandomToken();
  return life;
}

Status ReadPlace(const haven_options& from, const haven_disk* disks, size_t disk_count, session::PrimaryOptions& to) {
  if (from.on_start < HAVEN_START_WAIT || from.on_start > HAVEN_START_ANYWAY)
    return Invalid("there is no such policy for the guest's start");
  to.state_dir = haven::StateDir(from.state_dir) + "/" + from.guest;
  to.life = ThisLife();
  to.start_wait_s = from.start_wait_s;
  to.on_start = static_cast<blkrep::GuestRecord::OnStart>(from.on_start);
  for (size_t i = 0; from.disk_paths != nullptr && i < disk_count; i++) {
    if (from.disk_paths[i] != nullptr) to.disk_paths[disks[i].name] = from.disk_paths[i];
  }
  return Status::Ok();
}

/// @param to  what is not given stays as it is there.
Status ReadMode(const haven_mode& given, session::ModeSettings& to) {
  haven_mode from{};  // what an older caller does not know is 0
  memcpy(&from, &given, std::min(given.size, sizeof(from)));
  if (from.mode < HAVEN_MODE_AS_IT_IS || from.mode > HAVEN_MODE_ADAPTIVE)
    return Invalid("there is no mode " + std::to_string(from.mode));
  if (from.mode != HAVEN_MODE_AS_IT_IS) to.mode = static_cast<session::Mode>(from.mode - HAVEN_MODE_REMUS);
  if (from.interval_ms != 0) to.interval = haven::milliseconds(from.interval_ms);
  if (from.window_us != 0) to.window = haven::microseconds(from.window_us);
  if (from.max_age_ms != 0) to.max_age = haven::milliseconds(from.max_age_ms);
  if (from.latency_us != 0) to.latency = haven::microseconds(from.latency_us);
  if (from.pause_us != 0) to.pause = haven::microseconds(from.pause_us);
  if (from.overhead_percent != 0) to.overhead_percent = from.overhead_percent;
  if (from.in_flight != 0) to.in_flight = from.in_flight;
  if (from.predict != HAVEN_PREDICT_AS_IT_IS) to.predict = from.predict == HAVEN_PREDICT_YES;
  return Status::Ok();
}

haven::Result<session::PrimaryOptions> ReadOptions(const haven_options* given, uint64_t memory_bytes,
                                                   const haven_disk* disks, size_t disk_count) {
  haven_options from{};  // what an older caller does not know is 0
  memcpy(&from, given, std::min(given->size, sizeof(from)));
  if (from.guest == nullptr || *from.guest == '\0') return Invalid("a guest name is required");
  if (strlen(from.guest) > haven::wire::kMaxNameBytes) return Invalid("the guest name is too long");
  if (from.host == nullptr || *from.host == '\0') return Invalid("the backup's host is required");
  if (from.port == nullptr || *from.port == '\0') return Invalid("the backup's port is required");
  if (from.deadline_ms < 50 || from.deadline_ms > 60000) return Invalid("the deadline must be 50 to 60000 ms");
  session::PrimaryOptions to;
  to.connect = {from.guest, from.host, from.port, haven::milliseconds(from.deadline_ms)};
  to.mode.interval = haven::milliseconds(from.interval_ms);
  to.output_elsewhere = from.output_elsewhere != 0;
  if (from.mode != nullptr) HAVEN_RETURN_IF_ERROR(ReadMode(*from.mode, to.mode));
  HAVEN_RETURN_IF_ERROR(CheckMode(to.mode, to.output_elsewhere));
  to.pause_on_loss = from.on_backup_loss == HAVEN_LOSS_PAUSE;
  if (from.arbiter != nullptr) to.arbiter = from.arbiter;
  if (from.output_limit_bytes != 0) to.output_limit_bytes = from.output_limit_bytes;
  if (from.lag_limit_ms != 0 && (from.lag_limit_ms < 1000 || from.lag_limit_ms > 3600000)) {
    return Invalid("the limit of a commit's lag must be 1000 to 3600000 ms");
  }
  if (from.lag_limit_ms != 0) to.connect.lag_limit = haven::milliseconds(from.lag_limit_ms);
  to.connect.share = from.share != 0;
  if (from.threads > 64) return Invalid("the encoder may use at most 64 threads");
  if (from.threads != 0) to.threads = from.threads;
  HAVEN_RETURN_IF_ERROR(ReadEncoderOptions(from, memory_bytes, to.encoder));
  HAVEN_RETURN_IF_ERROR(ReadPlace(from, disks, disk_count, to));
  if (from.machine != nullptr) {
    to.machine = from.machine;
    HAVEN_RETURN_IF_ERROR(haven::wire::CheckMachine(to.machine).With("the machine's description"));
  }
  return to;
}

Status CheckRegions(const haven_region* regions, size_t count) {
  if (count == 0 || count > haven::wire::kMaxRegions)
    return Invalid("the guest has no memory, or too many regions of it");
  for (size_t i = 0; i < count; i++) {
    if (regions[i].bytes == 0 || regions[i].bytes % haven::kPageBytes != 0) {
      return Invalid(std::string("memory region ") + regions[i].name + " is not a whole number of pages");
    }
  }
  return Status::Ok();
}

}  // namespace

struct haven_session {
  haven_session(session::PrimaryOptions options, const haven_guest_ops& ops, void* opaque, const haven_region* regions,
                size_t region_count, std::vector<blkrep::DiskReplicator::Disk> disks)
      : guest(ops, opaque, regions, region_count), primary(std::move(options), guest, std::move(disks)) {}

  CGuest guest;
  session::PrimarySession primary;
};

int haven_abi_version(void) { return HAVEN_ABI_VERSION; }

haven_session* haven_session_start(const haven_options* options, const haven_guest_ops* ops, void* opaque,
                                   const haven_region* regions, size_t region_count, const haven_disk* disks,
                                   size_t disk_count, haven_error* error) try {
  Status status;
  uint64_t memory_bytes = 0;
  for (size_t i = 0; i < region_count; i++) memory_bytes += regions[i].bytes;
  if (options->size < offsetof(haven_options, encoder_stages) || ops->size < offsetof(haven_guest_ops, make_ready))
    status = Invalid("the caller was built for another libhaven");
  auto parsed = status.ok() ? ReadOptions(options, memory_bytes, disks, disk_count)
                            : haven::Result<session::PrimaryOptions>(status);
  status = parsed.ok() ? CheckRegions(regions, region_count) : parsed.status();
  if (status.ok() && disk_count > haven::wire::kMaxDisks) status = Invalid("the guest has too many disks");
  std::vector<blkrep::DiskReplicator::Disk> list;
  for (size_t i = 0; status.ok() && i < disk_count; i++) list.push_back({disks[i].name, disks[i].bytes});
  if (status.ok()) status = session::CheckMemory(parsed.value(), memory_bytes, haven::os::MemoryLeft());
  if (status.ok()) status = session::PrimarySession::CheckState(parsed.value(), list);
  if (!status.ok()) {
    haven::capi::Report(status, error);
    return nullptr;
  }
  return new haven_session(std::move(parsed.value()), *ops, opaque, regions, region_count, std::move(list));
} catch (const std::exception& e) {
  CopyText(error->message, sizeof(error->message), std::string("cannot start the session: ") + e.what());
  return nullptr;
}

int haven_session_stop(haven_session* s, int reason, haven_error* error) {
  return haven::capi::Report(s->primary.Stop(reason == HAVEN_STOP_GUEST_OFF ? haven::wire::Goodbye::kGuestPoweredOff
                                                                            : haven::wire::Goodbye::kUnprotect),
                             error);
}

void haven_session_free(haven_session* s) { delete s; }

int haven_session_ready(haven_session* s, int result) {
  auto ready = StopResult(result);
  return s->primary.GuestReady(ready.ok() ? Status::Ok() : ready.status()) ? 1 : 0;
}

int haven_session_set_mode(haven_session* s, const haven_mode* mode, haven_error* error) {
  session::ModeSettings settings = s->primary.mode();
  Status status = ReadMode(*mode, settings);
  if (status.ok()) status = s->primary.SetMode(settings);
  return haven::capi::Report(status, error);
}

const char* haven_run_name(int run) {
  return session::GuestRunName(run >= 0 && run <= haven::wire::kMostGuestRun ? static_cast<haven::wire::GuestRun>(run)
                                                                             : haven::wire::GuestRun::kOther);
}

void haven_session_query(haven_session* s, haven_status* status) {
  haven_status full = ToC(s->primary.Query());
  size_t size = std::min(status->size, sizeof(full));
  full.size = size;
  memcpy(status, &full, size);
}

void haven_buffer_append(haven_buffer* buffer, const void* data, size_t bytes) {
  if (!buffer->status.ok()) return;
  auto* octets = static_cast<const uint8_t*>(data);
  buffer->status = haven::Guarded([&] {
    buffer->bytes.insert(buffer->bytes.end(), octets, octets + bytes);
    return Status::Ok();
  });
}

int haven_disk_write(haven_session* s, uint32_t disk, uint64_t offset, uint64_t bytes, const iovec* iov, int iov_count,
                     size_t iov_skip, haven_done_fn done, void* arg) {
  blkrep::Request request{blkrep::Request::Kind::kWrite, false, disk, offset, bytes};
  return s->primary.disks().Submit(request, iov, iov_count, iov_skip, done, arg);
}

int haven_disk_zero(haven_session* s, uint32_t disk, uint64_t offset, uint64_t bytes, int may_unmap, haven_done_fn done,
                    void* arg) {
  blkrep::Request request{blkrep::Request::Kind::kZero, may_unmap != 0, disk, offset, bytes};
  return s->primary.disks().Submit(request, nullptr, 0, 0, done, arg);
}

int haven_disk_discard(haven_session* s, uint32_t disk, uint64_t offset, uint64_t bytes, haven_done_fn done,
                       void* arg) {
  blkrep::Request request{blkrep::Request::Kind::kDiscard, false, disk, offset, bytes};
  return s->primary.disks().Submit(request, nullptr, 0, 0, done, arg);
}

int haven_disk_flush(haven_session* s, uint32_t disk, haven_done_fn done, void* arg) {
  return s->primary.disks().Flush(disk, done, arg);
}

int haven_disk_next_copy(haven_session* s, uint32_t disk, uint64_t* offset, uint64_t* bytes) {
  auto piece = s->primary.disks().NextCopy(disk);
  if (!piece) return 0;
  *offset = piece->offset;
  *bytes = piece->bytes;
  return 1;
}

int haven_disk_copy(haven_session* s, uint32_t disk, uint64_t offset, uint64_t bytes, const void* data,
                    haven_done_fn done, void* arg) {
  return s->primary.disks().SendCopy(disk, {offset, bytes}, data, done, arg);
}

void haven_disk_copy_failed(haven_session* s, uint32_t disk, uint64_t offset, int error) {
  const auto& name = s->primary.disks().disks()[disk].name;
  s->primary.Fail(session::EndOf(Status::FromErrno(
      error < 0 ? -error : error, "cannot read disk " + name + " at offset " + std::to_string(offset))));
}

int haven_net_output(haven_session* s, void* nic, unsigned flags, const iovec* iov, int iov_count) {
  return s->primary.Output(nic, flags, iov, iov_count);
}
