/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_SESSION_PAIR_H
#define HAVEN_TESTS_UNIT_SESSION_PAIR_H

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>

#include "core/assert.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/session_fakes.h"

namespace haven::session::test {

/// A primary and a backup over loopback, and the knobs of both.
struct Pair {
  Pair() {
    backup_options.name = "vm";
    backup_options.state_dir = folder.File("state");
    backup_options.disks = {{"vda", folder.File("vda")}, {"vdb", folder.File("vdb")}};
    backup_options.create = true;
    backup_options.deadline = milliseconds(10000);
    activator.replica_paths = {folder.File("vda"), folder.File("vdb")};
    primary_options.connect = {"vm", "127.0.0.1", listener.port(), milliseconds(10000)};
    primary_options.state_dir = folder.File("primary-state");
    primary_options.life[0] = 1;
    primary_options.mode.interval = milliseconds(5);
  }
  ~Pair() {
    EndPrimary();
    EndBackup();
  }

  /// From here on time passes for both sides only by `clock`. Silence is no matter
  /// then, unless a test sets a deadline.
  void UseFakeClock() {
    backup_options.clock = primary_options.connect.clock = &clock;
    backup_options.deadline = primary_options.connect.deadline = std::chrono::hours(1);
    listener.SetClock(clock);
  }
  /// Eventually(), while time passes, one epoch's interval after the other.
  bool AsTimePasses(const std::function<bool()>& condition) {
    return Eventually([&] {
      if (condition()) return true;
      clock.Pass(primary_options.mode.interval);
      return false;
    });
  }
  void StartBackup() {
    backup = std::make_unique<BackupGuest>(backup_options, activator);
    listener.SetGuest(backup.get());
  }
  void EndBackup() {
    listener.SetGuest(nullptr);
    backup.reset();
  }
  void StartPrimary() {
    loop.Run([this] {
      primary = std::make_unique<PrimarySession>(primary_options, guest, guest.DiskList());
      guest.primary = primary.get();
      guest.ended = false;
    });
  }
  /// As a device model that ends protection and goes on, or has ended.
  void StopPrimary(wire::Goodbye reason) {
    loop.Run([&] { (void)primary->Stop(reason); });
    HAVEN_ASSERT(Eventually([this] { return guest.ended.load(); }));
  }
  void EndPrimary() {
    if (!primary) return;
    loop.Run([this] { (void)primary->Stop(wire::Goodbye::kGuestPoweredOff); });
    (void)Eventually([this] { return guest.ended.load(); });
    loop.Run([this] {
      guest.primary = nullptr;
      primary.reset();
    });
  }
  PrimaryStatus Query() {
    PrimaryStatus status;
    loop.Run([&] { status = primary->Query(); });
    return status;
  }
  bool PrimaryReaches(PrimaryState state) {
    return Eventually([&] { return Query().state == state; });
  }
  /// Passes `time`, at whose end somebody waits, and waits until the last moment for that.
  /// @return false when that wait does not begin, or ends too early.
  bool WaitsOut(milliseconds time) {
    if (!clock.IsAwaited(time)) return false;
    clock.Pass(time - milliseconds(1));
    if (!clock.IsAwaited(milliseconds(1))) return false;
    clock.Pass(milliseconds(1));
    return true;
  }
  bool BackupReaches(BackupState state) {
    return Eventually([&] { return backup->Query().state == state; });
  }
  bool Protects() { return PrimaryReaches(PrimaryState::kProtected) && BackupReaches(BackupState::kProtecting); }
  /// Runs `steps` of the guest's own doing.
  void Steps(int steps) {
    for (int i = 0; i < steps; i++) loop.Run([this] { guest.Step(random); });
  }
  void Frame(const std::string& text) {
    loop.Run([&] { guest.SendFrameOut(text); });
  }
  bool FrameIsOut(const std::string& text) {
    bool out = false;
    loop.Run([&] { out = std::find(guest.frames.begin(), guest.frames.end(), text) != guest.frames.end(); });
    return out;
  }
  /// An arbiter that decides with `verdict` (a shell command) and writes down who asked.
  std::string Arbiter(const std::string& verdict) {
    std::string path = folder.File("arbiter");
    std::ofstream(path) << "#!/bin/sh\necho $HAVEN_ROLE $HAVEN_INSTANCE >> " << folder.File("asked") << "\n"
                        << verdict << "\n";
    chmod(path.c_str(), 0700);
    return path;
  }
  /// One that does not answer when it is asked first, and then lets whoever asks go on.
  std::string ArbiterThatHangsFirst() {
    const std::string hung = folder.File("hung");
    return Arbiter("test -e " + hung + " && exit 0\ntouch " + hung + "\nexec sleep 1000");
  }
  bool ArbiterHangs() {
    return Eventually([&] { return access(folder.File("hung").c_str(), F_OK) == 0; });
  }
  std::string Asked() {
    Bytes text = blkrep::test::ReadFile(folder.File("asked"));
    return {text.begin(), text.end()};
  }

  haven::test::FakeClock clock;
  blkrep::test::TempFolder folder;
  MainLoop loop;
  FakeGuest guest{&loop};
  FakeActivator activator;
  FakeListener listener{uint16_t{0}};
  BackupGuestOptions backup_options;
  PrimaryOptions primary_options;
  std::unique_ptr<BackupGuest> backup;
  std::unique_ptr<PrimarySession> primary;
  std::mt19937 random{1};
};

/// One connection of a primary made by hand, record by record.
class HandMade {
 public:
  HandMade(const std::string& port, wire::Connection kind, const wire::Token& token = {},
           const std::string& guest = "vm", uint32_t deadline_ms = 0)
      : link(ConnectTo(port)) {
    wire::Hello hello;
    hello.deadline_ms = deadline_ms;
    hello.connection = kind;
    hello.token = token;
    hello.guest = guest;
    (void)link.Send(wire::Type::kHello, 0, wire::Encode(hello)).ok();
  }
  /// The next record but HEARTBEAT and VERIFIED; an empty ERROR record when there is none.
  Record Next(milliseconds timeout = milliseconds(20000)) {
    Record record;
    while (true) {
      last = link.Receive(record, timeout);
      if (!last.ok()) return {};
      if (record.header.type == wire::Type::kVerified) verified++;
      if (record.header.type != wire::Type::kHeartbeat && record.header.type != wire::Type::kVerified) return record;
    }
  }
  /// The HELLO_REPLY's token.
  wire::Token Token() {
    auto reply = wire::DecodeHelloReply(Next().body);
    return reply.ok() ? reply.value().token : wire::Token{};
  }
  /// "code message" of the ERROR that comes next, else what came instead.
  std::string Error() {
    Record record = Next();
    if (!last.ok()) return "no record: " + last.message();
    if (record.header.type != wire::Type::kError) return wire::TypeName(record.header.type);
    auto error = wire::DecodeError(record.body);
    return std::to_string(static_cast<int>(error.value().code)) + " " + error.value().message;
  }
  bool Ended() {
    Next();
    return last.code() == StatusCode::kPeerLost;
  }

  Link link;
  Status last;
  int verified = 0;  ///< how often VERIFIED came
};

/// What a primary says that was never protected before, in its run number `life`.
inline wire::Identity FirstOf(uint8_t life) {
  wire::Identity identity;
  identity.role = wire::Role::kPrimary;
  identity.flags = wire::kIdentityFresh;
  identity.life[0] = life;
  identity.lineage = Lineage({{100, 1700000000, Origin::kProtected}});
  return identity;
}

/// All three connections of a primary made by hand, with LAYOUT sent.
struct HandMadeSession {
  explicit HandMadeSession(const std::string& port, const std::string& guest = "vm")
      : control(port, wire::Connection::kControl, {}, guest) {
    token = control.Token();
    disk = std::make_unique<HandMade>(port, wire::Connection::kDisk, token, guest);
    disk->Next();
    memory = std::make_unique<HandMade>(port, wire::Connection::kMemory, token, guest);
    memory->Next();
  }
  void Identify() {
    (void)control.link.Send(wire::Type::kIdentity, 0, wire::Encode(identity)).ok();
    const Record answer = control.Next();
    if (answer.header.type == wire::Type::kIdentity) backup = wire::DecodeIdentity(answer.body).value();
    identified = true;
  }
  /// @return the record that answers LAYOUT, or the ERROR that says why this primary is refused.
  Record SendLayout() {
    if (!identified) Identify();
    layout.regions = {{"pc.ram", 4 * kPageBytes}};
    layout.disks = {{"vda", 8192}};
    (void)control.link.Send(wire::Type::kLayout, 0, wire::Encode(layout)).ok();
    return control.Next();
  }
  /// A whole epoch of one page of zeros and the device state.
  void SendEpoch(Epoch epoch, uint64_t disk_records = 0) {
    Bytes pages = haven::test::FromHex("00000000 01000000 0000000000000001");
    Bytes device;
    ByteWriter writer(device);
    writer.U64(device_state.size());
    writer.U64(0);  // the offset
    writer.Raw(device_state);
    (void)memory->link.Send(wire::Type::kPages, epoch, pages).ok();
    (void)memory->link.Send(wire::Type::kDeviceState, epoch, device).ok();
    (void)memory->link
        .Send(wire::Type::kEpochEnd, epoch, wire::Encode(wire::EpochEnd{1, disk_records, device_state.size(), 2, 0}))
        .ok();
  }
  void Close() {
    control.link.Close();
    disk->link.Close();
    memory->link.Close();
  }

  HandMade control;
  wire::Token token;
  std::unique_ptr<HandMade> disk, memory;
  wire::Identity identity = FirstOf(1);
  wire::Identity backup;  ///< as it says
  bool identified = false;
  wire::Layout layout;
  Bytes device_state = {'a', 'b', 'c'};
};

}  // namespace haven::session::test

#endif
