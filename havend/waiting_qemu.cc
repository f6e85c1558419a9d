/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/waiting_qemu.h"

#include <cerrno>
#include <fstream>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/records.h"
#include "havend/incoming_stream.h"
#include "havend/log.h"
#include "havend/qemu_arguments.h"
#include "os/pid_file.h"
#include "os/recorded_spawn.h"
#include "os/scoped_fd.h"
#include "os/write_all.h"
#include "session/guest_run.h"

namespace haven::havend {

namespace {

using os::ScopedFd;
using qmp::Json;

constexpr milliseconds kStartTimeout{30000};
constexpr milliseconds kLoadTimeout{60000};
/// Commits wait for it.
constexpr milliseconds kTrialTimeout{10000};
constexpr milliseconds kEndGrace{500};
constexpr char kStreamName[] = "haven-incoming";

/// The last two lines that QEMU wrote: the second often says only that the
/// first has happened.
std::string LastWords(const std::string& log_path) {
  std::ifstream in(log_path);
  std::string line, last, before;
  while (std::getline(in, line)) {
    if (line.empty()) continue;
    before = last;
    last = line;
  }
  constexpr size_t kMaxShown = 400;
  return (before.empty() ? last : before + "; " + last).substr(0, kMaxShown);
}

const memrep::GuestImage::Region* FindRegion(const memrep::GuestImage& image, const std::string& name) {
  for (const auto& region : image.regions()) {
    if (region.name == name && region.fd >= 0) return &region;
  }
  return nullptr;
}

/// The switch learns of the move within milliseconds, also if the first
/// announcements are lost.
Json AnnounceParameters(const char* prefix) {
  const std::string p = prefix;
  return Json::Object().Set(p + "initial", 20).Set(p + "max", 200).Set(p + "rounds", 8).Set(p + "step", 30);
}

Status WriteStream(int fd, const Bytes& stream) {
  if (int error = os::WriteAll(fd, stream); error != 0) {
    return Status::FromErrno(error, "cannot write the state for QEMU");
  }
  if (lseek(fd, 0, SEEK_SET) != 0) return Status::FromErrno(errno, "cannot rewind the state");
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<WaitingQemu>> WaitingQemu::Start(const QemuOptions& options, const memrep::GuestImage& image) {
  const memrep::GuestImage::Region* ram = FindRegion(image, options.ram_region);
  if (ram == nullptr) {
    return Status(StatusCode::kRefused, "the primary has no memory region " + options.ram_region +
                                            ": set ram-region to the name of its main memory");
  }
  HAVEN_RETURN_IF_ERROR(RefuseOwnMemory(options.command, options.ram_region));
  QemuArguments arguments;
  arguments.memory = IncomingMemory{options.ram_region, ram->fd, ram->bytes};
  auto qemu = Spawn(options, arguments);
  if (!qemu.ok()) return qemu;
  Status ready = qemu.value()->GetReadyToLoad();
  return ready.ok() ? std::move(qemu) : qemu.value()->EndBecause(ready);
}

Result<std::unique_ptr<WaitingQemu>> WaitingQemu::StartOff(const QemuOptions& options) { return Spawn(options, {}); }

Result<std::unique_ptr<WaitingQemu>> WaitingQemu::Spawn(const QemuOptions& options, QemuArguments arguments) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return Status::FromErrno(errno, "cannot make a socket pair");
  }
  ScopedFd theirs{pair[1]};
  arguments.control_fd = theirs.fd;
  arguments.qmp_path = options.qmp_path;
  os::ProgramSpec spec;
  spec.argv = QemuCommand(options.command, arguments);
  spec.inherited = {theirs.fd};
  if (arguments.memory) spec.inherited.push_back(arguments.memory->fd);
  spec.output_path = options.LogPath();
  auto child = os::SpawnRecorded(
      spec, [&options](pid_t pid) { return os::WritePidFile(options.PidPath(), os::RecordOf(pid, false)); });
  if (!child.ok()) {
    close(pair[0]);
    return child.status();
  }
  std::unique_ptr<WaitingQemu> qemu(new WaitingQemu(options, std::move(child.value())));
  close(theirs.fd);  // so that the end of the process is the end of the connection
  theirs.fd = -1;
  auto client = qmp::Client::Start(qmp::LineSocket(pair[0]), kStartTimeout);
  if (!client.ok()) return qemu->EndBecause(client.status());
  qemu->qmp_ = std::move(client.value());
  return Result<std::unique_ptr<WaitingQemu>>(std::move(qemu));
}

Status WaitingQemu::EndBecause(Status status) {
  status = Explain(status);
  // It does not take what it was started with: another try would end the same way.
  if (process_->waited_for() && process_->exit_status() > 0) status = {StatusCode::kRefused, status.message()};
  process_->Kill();
  unlink(options_.PidPath().c_str());
  return status.With("the waiting QEMU did not start");
}

Status WaitingQemu::GetReadyToLoad() {
  Json events = Json::Object().Set("capability", "events").Set("state", true);
  Json list = Json::Array();
  list.Append(events);
  Result<Json> done = qmp_->Execute("migrate-set-capabilities", Json::Object().Set("capabilities", list));
  if (!done.ok()) return done.status();
  done = qmp_->Execute("migrate-set-parameters", AnnounceParameters("announce-"));
  if (!done.ok()) return done.status();
  done = qmp_->Execute("qom-get", Json::Object().Set("path", "/machine").Set("property", "type"));
  if (!done.ok()) return done.status();
  machine_ = done.value().String();
  const std::string suffix = "-machine";
  if (machine_.size() > suffix.size() && machine_.ends_with(suffix)) {
    machine_.resize(machine_.size() - suffix.size());
  }
  HAVEN_RETURN_IF_ERROR(Describe());
  // Once more before the load; one that cannot do it must be found now.
  return Forget();
}

Status WaitingQemu::Describe() {
  Result<Json> machine = qmp_->Execute("query-haven-machine");
  if (!machine.ok()) return ExplainUnknown(machine.status());
  description_ = machine.value()["description"].String();
  return wire::CheckMachine(description_).With("the device model's description of itself");
}

Status WaitingQemu::Forget() { return ExplainUnknown(qmp_->Execute("haven-incoming-forget").status()); }

Status WaitingQemu::ExplainUnknown(Status status) {
  if (status.code() != StatusCode::kRefused || qmp_->error_class() != "CommandNotFound") return status;
  return Status(StatusCode::kRefused, options_.command[0] + " is not the qemu-dm of this havend: install the " +
                                          "one that was built with it, or correct the guest's command");
}

Status WaitingQemu::Run(const memrep::GuestImage& image, Reached& reached) {
  reached = Reached::kNothing;
  Status status = Load(image);
  if (!status.ok()) return Explain(status).With("QEMU did not accept the guest's state");
  status = Keep(reached);
  if (!status.ok()) return Explain(status).With("QEMU did not keep the guest's memory");
  return image.guest_paused() ? LeaveStopped(image.guest_run(), reached) : LetRun(reached);
}

Status WaitingQemu::Try(const memrep::GuestImage& image) {
  std::lock_guard lock(image.mutex());
  HAVEN_RETURN_IF_ERROR(SendState(image));
  const Json stream = Json::Object().Set("fdname", kStreamName);
  Status tried = qmp_->Execute("haven-incoming-try", stream, kTrialTimeout).status();
  if (tried.ok()) return tried;
  if (tried.code() == StatusCode::kRefused) {
    const std::string words = LastWords(options_.LogPath());
    tried = {StatusCode::kRefused, tried.message() + (words.empty() ? "" : ": " + words)};
  } else {
    tried = Explain(tried);
  }
  return Status(StatusCode::kRefused, tried.message())
      .With("the backup's device model did not accept the guest's state");
}

Status WaitingQemu::Boot(Reached& reached) {
  reached = Reached::kNothing;
  return LetRun(reached);
}

Status WaitingQemu::Load(const memrep::GuestImage& image) {
  HAVEN_RETURN_IF_ERROR(SendState(image));
  const std::string uri = std::string("fd:") + kStreamName;
  HAVEN_RETURN_IF_ERROR(qmp_->Execute("migrate-incoming", Json::Object().Set("uri", uri)).status());
  return WaitUntilLoaded();
}

Status WaitingQemu::SendState(const memrep::GuestImage& image) {
  std::vector<StreamRegion> regions;
  for (const auto& region : image.regions()) {
    if (region.name == options_.ram_region) continue;
    regions.push_back({region.name, region.data, region.bytes});
  }
  Result<Bytes> stream = ComposeIncomingStream(machine_, regions, image.device_state());
  if (!stream.ok()) return stream.status();
  HAVEN_RETURN_IF_ERROR(Forget());
  return SendStream(stream.value());
}

Status WaitingQemu::SendStream(const Bytes& stream) {
  ScopedFd memory{memfd_create(kStreamName, MFD_CLOEXEC)};
  if (memory.fd < 0) return Status::FromErrno(errno, "cannot make memory for the state");
  HAVEN_RETURN_IF_ERROR(WriteStream(memory.fd, stream));
  Result<Json> done =
      qmp_->Execute("getfd", Json::Object().Set("fdname", kStreamName), qmp::kCommandTimeout, memory.fd);
  return done.status();
}

Status WaitingQemu::WaitUntilLoaded() {
  const Instant deadline = SteadyClock::now() + kLoadTimeout;
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(deadline - SteadyClock::now());
    Result<Json> event = qmp_->NextEvent(std::max(milliseconds(0), left));
    if (!event.ok()) return event.status();
    if (event.value()["event"].String() != "MIGRATION") continue;
    const std::string state = event.value()["data"]["status"].String();
    if (state == "completed") return Status::Ok();
    if (state == "failed") return Status(StatusCode::kEnvironment, "loading failed");
  }
}

Status WaitingQemu::Keep(Reached& reached) {
  reached = Reached::kMemory;
  Result<Json> kept = qmp_->Execute("haven-incoming-keep", {}, kLoadTimeout);
  if (!kept.ok()) return kept.status();
  if (kept.value()["written-bytes"].Int(-1) == 0) reached = Reached::kNothing;
  return Status::Ok();
}

Status WaitingQemu::RecordGuest() { return os::WritePidFile(options_.PidPath(), os::RecordOf(process_->pid(), true)); }

Status WaitingQemu::LetRun(Reached& reached) {
  // On disk before the guest runs: a later havend must never end this process.
  HAVEN_RETURN_IF_ERROR(RecordGuest());
  Status status = Resume(reached);
  if (!status.ok()) return Explain(status).With("the guest does not run");
  qmp_.reset();
  return Status::Ok();
}

Status WaitingQemu::LeaveStopped(wire::GuestRun run, Reached& reached) {
  HAVEN_RETURN_IF_ERROR(RecordGuest());
  Log("guest " + options_.name + ": " + session::DescribeLeft(run) + " " + options_.qmp_path);
  reached = Reached::kGuest;
  qmp_.reset();
  return Status::Ok();
}

Status WaitingQemu::Resume(Reached& reached) {
  const Reached before = reached;
  reached = Reached::kGuest;
  Result<Json> done = qmp_->Execute("cont");
  if (!done.ok()) {
    // An answer that says no means that nothing was executed.
    if (done.status().code() == StatusCode::kRefused) reached = before;
    return done.status();
  }
  Result<Json> state = qmp_->Execute("query-status");
  if (!state.ok()) return state.status();
  if (!state.value()["running"].Bool()) {
    return Status(StatusCode::kEnvironment, "its run state is " + state.value()["status"].String("unknown"));
  }
  // The incoming side announced when the guest was not running yet, and then
  // network back ends may hold the frames. Losing this one costs time, no guest.
  if (!qmp_->Execute("announce-self", AnnounceParameters("")).ok()) {
    Log("guest " + options_.name + ": runs, but its addresses could not be announced again");
  }
  return Status::Ok();
}

Status WaitingQemu::Explain(Status status) {
  if (status.code() == StatusCode::kRefused || !process_->WaitForEnd(kEndGrace)) return status;
  std::string words = LastWords(options_.LogPath());
  return Status(StatusCode::kEnvironment, "the process " + process_->HowItEnded() +
                                              (words.empty() ? "" : ", saying: " + words) + " (see " +
                                              options_.LogPath() + ")");
}

}  // namespace haven::havend
