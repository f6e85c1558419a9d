// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes the seeds of the wire protocol's fuzzers, and the octets of each
// connection of a recorded session: make_corpus FOLDER. After a change of the
// protocol run it on tests/fuzz/corpus and commit what it wrote, without
// streams/, which tests/unit/wire-dump-test makes for itself.

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "blkrep/guest_record.h"
#include "core/assert.h"
#include "core/crc32c.h"
#include "tests/unit/session_recording.h"

using namespace haven;
using session::test::Recorder;
using session::test::Recording;
using wire::Type;

namespace {

std::string folder;

void Save(const std::string& target, const std::string& name, ByteSpan octets) {
  std::filesystem::create_directories(folder + "/" + target);
  std::ofstream file(folder + "/" + target + "/" + name, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(octets.data()), static_cast<std::streamsize>(octets.size()));
  HAVEN_ASSERT(file.good());
}

void SaveRecord(Type type, const std::string& name, Bytes body) {
  body.insert(body.begin(), static_cast<uint8_t>(type));
  Save("record", name, body);
}

void Records() {
  wire::Hello hello;
  hello.guest = "vm1";
  hello.deadline_ms = 1000;
  SaveRecord(Type::kHello, "hello", wire::Encode(hello));
  SaveRecord(Type::kHelloReply, "hello_reply", wire::Encode(wire::HelloReply{2, 1, {}, 500}));
  wire::Identity identity{wire::Role::kBackup, wire::kIdentityCheckpoint, {7}, 14, 1700000000, {}};
  identity.lineage = Lineage({{2, 1700000000, Origin::kPromoted}, {1, 1699999000, Origin::kProtected}});
  SaveRecord(Type::kIdentity, "identity", wire::Encode(identity));
  SaveRecord(Type::kError, "error", wire::Encode(wire::ErrorBody{wire::Error::kPromoted, "he\nwon"}));
  SaveRecord(Type::kMachine, "machine", wire::Encode(wire::Machine{"machine = pc\nmachine acpi = on\n"}));
  wire::Layout layout{{}, {{"pc.ram", 1 << 20}, {"vga", 4096}}, {{"vda", 4 << 20}, {"vdb", 512}}};
  SaveRecord(Type::kLayout, "layout", wire::Encode(layout));
  SaveRecord(Type::kLayoutReply, "layout_reply",
             wire::Encode(wire::LayoutReply{{wire::LayoutReply::Copy::kAll, wire::LayoutReply::Copy::kChanged}}));
  SaveRecord(Type::kStore, "store", wire::Encode(wire::Store{{1, 2, 3}}));
  SaveRecord(Type::kStoreReply, "store_reply", wire::Encode(wire::StoreReply{{4, 5, 6}, 65536, 32768, 16384}));
  SaveRecord(Type::kHeartbeat, "heartbeat", wire::Encode(wire::Heartbeat{1, 2}));
  SaveRecord(Type::kLiveness, "liveness", wire::Encode(wire::Liveness{7000, wire::GuestRun::kIoError}));
  SaveRecord(Type::kCommitted, "committed", wire::Encode(wire::Committed{1200, 800}));
  SaveRecord(Type::kGoodbye, "goodbye", wire::Encode(wire::GoodbyeBody{wire::Goodbye::kUnprotect}));
  SaveRecord(Type::kVerified, "verified", {});
  Bytes write = wire::Encode(wire::DiskRequest{9, 1, wire::kDiskSync, 512, 4});
  write.insert(write.end(), {1, 2, 3, 4});
  SaveRecord(Type::kDiskWrite, "disk_write", write);
  SaveRecord(Type::kDiskZero, "disk_zero", wire::Encode(wire::DiskRequest{9, 1, wire::kDiskMayUnmap, 0, 1 << 20}));
  SaveRecord(Type::kDiskDiscard, "disk_discard", wire::Encode(wire::DiskRequest{9, 63, 0, 0, INT64_MAX}));
  SaveRecord(Type::kDiskFlush, "disk_flush", wire::Encode(wire::DiskFlush{1, 2}));
  SaveRecord(Type::kDiskAck, "disk_ack", wire::Encode(wire::DiskAck{1}));
  SaveRecord(Type::kEpochEnd, "epoch_end", wire::Encode(wire::EpochEnd{5, 3, 256, 2, wire::kGuestPaused}));
  SaveRecord(Type::kEpochEnd, "epoch_end_io_error",
             wire::Encode(wire::EpochEnd{5, 3, 256, 2, wire::kGuestPaused, wire::GuestRun::kIoError}));
}

void GuestRecords() {
  blkrep::GuestRecord record;
  record.guest = "web1";
  record.role = wire::Role::kBackup;
  Save("guest_record", "new_backup", blkrep::Encode(record));
  record.partial = record.synced = true;
  record.life[0] = 7;
  record.epoch = 14;
  record.committed_s = 1700000000;
  record.lineage = Lineage({{2, 1700000000, Origin::kAlone}, {1, 1699999000, Origin::kProtected}});
  record.disks = {{"vda", "/d/a", 4 << 20, "file 00 1 2"}, {"vdb", "", 512, ""}};
  Save("guest_record", "backup", blkrep::Encode(record));
  record.primary_alone_s = 1700000100;
  Save("guest_record", "backup_without", blkrep::Encode(record));
  Bytes never = blkrep::Encode(record);
  std::fill(never.end() - 8, never.end(), uint8_t{0});
  const uint32_t crc = Crc32c(ByteSpan(never).subspan(8), Crc32c(ByteSpan(never).first(4)));
  for (size_t i = 0; i < 4; i++) never[4 + i] = static_cast<uint8_t>(crc >> (8 * i));
  Save("guest_record", "broken_since", never);
  record.primary_alone_s = 0;
  record.role = wire::Role::kPrimary;
  record.backup_host = "10.0.0.2";
  record.backup_port = "7789";
  record.arbiter = "/usr/bin/arbiter x";
  record.on_start = blkrep::GuestRecord::OnStart::kArbiter;
  record.start_wait_s = 60;
  record.discarded = record.adopted = record.given = record.life_ended = true;
  Save("guest_record", "primary", blkrep::Encode(record));
  Bytes broken = blkrep::Encode(record);
  broken[10] = 3;
  Save("guest_record", "broken_role", broken);
  broken = blkrep::Encode(record);
  broken.resize(broken.size() - 3);
  Save("guest_record", "broken_short", broken);
}

void Headers() {
  Save("header", "committed", haven::test::RecordOctets(Type::kCommitted, 7, 5, {}));
  Save("header", "optional",
       ByteSpan(haven::test::RecordOctets(static_cast<Type>(0x7FF0), 0, 0, Bytes(3), true)).first(32));
  Bytes largest = haven::test::RecordOctets(Type::kPages, 1, 2, {});
  largest[22] = 0x40;
  haven::test::MendChecksums(largest);
  Save("header", "largest", largest);
}

/// One page of each code, for the fuzzer's three regions of 5, 1 and 70 pages.
void Pages() {
  auto save = [](const std::string& name, const std::string& hex) { Save("pages", name, haven::test::FromHex(hex)); };
  std::string page;
  for (int i = 0; i < 4096; i++) page += "5a";
  save("raw", "00000000 01000000 0400000000000000" + page);
  save("zero", "02000000 02000000 4500000000000001 0000000000000001");
  save("run", "00000000 01000000 0100000000000002 fe0f 0200 0102");
  save("delta_list",
       "00000000 01000000 0000000000000003 03 40 81 ff 02 01 80 1122334455667788 99" + page.substr(0, 128));
  save("delta_map", "01000000 01000000 0000000000000003 00 0100000000000000 0000000000000000 01 1122334455667788");
  save("sparse", "01000000 01000000 0000000000000004 01 40 01 1122334455667788");
  save("assembled",
       "02000000 01000000 0100000000000007 02 0010 4001000000000002 102f 0000000000000000" + page.substr(0, 128));
  save("assembled_short", "02000000 01000000 0100000000000007 02 0010 4001000000000002 102f 0000000000000000");
  save("same", "02000000 01000000 0100000000000005 0000000000000001");
  save("kept", "00000000 02000000 0100000000000008 0200000000000008 04000000 01 05000000 02 fe0f 0200 0102");
  save("kept_elsewhere", "00000000 01000000 0100000000000008 03000000 01");
  save("stored", "02000000 01000000 4500000000000009 00000000");
  save("stored_nowhere", "02000000 01000000 4500000000000009 04000000");
  // 01 40 01 and a word, as a stored block of zlib.
  save("compressed",
       "01000000 01000000 0000000000000006 01 04 0b00 1600"
       "7801 01 0b00 f4ff 0140011122334455667788 0a9702a7");
}

void Sessions() {
  const Recorder recorder(3);
  const Recording& recording = recorder.recording();
  Bytes whole, small;
  for (const auto& sent : recording.sent) {
    auto header = wire::DecodeHeader(ByteSpan(sent.octets).first(wire::kHeaderBytes)).value();
    if (header.type == Type::kHello) continue;
    whole.push_back(static_cast<uint8_t>(sent.connection));
    whole.insert(whole.end(), sent.octets.begin(), sent.octets.end());
  }
  Save("session", "whole", whole);
  auto add = [&](uint8_t connection, Type type, Epoch epoch, const Bytes& body) {
    Bytes octets = haven::test::RecordOctets(type, epoch, 0, body);
    small.push_back(connection);
    small.insert(small.end(), octets.begin(), octets.end());
  };
  add(1, Type::kIdentity, 0, wire::Encode(wire::Identity{}));
  add(1, Type::kLayout, 0, wire::Encode(wire::Layout{{}, {{"pc.ram", 8192}}, {{"vda", 4096}}}));
  Save("session", "layout", small);
  for (Epoch epoch = 1; epoch <= 2; epoch++) {
    add(3, Type::kPages, epoch, haven::test::FromHex("00000000 01000000 0100000000000002 0800 0100 77"));
    add(2, Type::kDiskZero, epoch, wire::Encode(wire::DiskRequest{1, 0, 0, 0, 512}));
    add(3, Type::kDeviceState, epoch, haven::test::FromHex("0300000000000000 0000000000000000 616263"));
    add(3, Type::kEpochEnd, epoch, wire::Encode(wire::EpochEnd{1, 1, 3, 2, 0}));
    Save("session", "epoch" + std::to_string(epoch), small);
  }
  add(1, Type::kGoodbye, 0, wire::Encode(wire::GoodbyeBody{}));
  Save("session", "goodbye", small);
  small.clear();
  add(1, Type::kIdentity, 0, wire::Encode(wire::Identity{}));
  add(1, Type::kMachine, 0, wire::Encode(wire::Machine{"cpus = 1\n"}));
  add(1, Type::kStore, 0, wire::Encode(wire::Store{}));
  add(1, Type::kLayout, 0, wire::Encode(wire::Layout{{}, {{"pc.ram", 8192}}, {}}));
  add(3, Type::kPages, 0, haven::test::FromHex("00000000 01000000 0100000000000008 00000000 02 0800 0100 77"));
  add(3, Type::kPages, 1,
      haven::test::FromHex("00000000 02000000 0000000000000009 0100000000000008 00000000 01000000 01"));
  add(3, Type::kDeviceState, 1, haven::test::FromHex("0300000000000000 0000000000000000 616263"));
  add(3, Type::kEpochEnd, 1, wire::Encode(wire::EpochEnd{2, 0, 3, 2, 0}));
  Save("session", "shared", small);
}

void Streams() {
  const Recorder recorder(4);
  Save("streams", "control", recorder.recording().StreamOf(wire::Connection::kControl));
  Save("streams", "disk", recorder.recording().StreamOf(wire::Connection::kDisk));
  Save("streams", "memory", recorder.recording().StreamOf(wire::Connection::kMemory));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  folder = argv[1];
  Headers();
  Records();
  GuestRecords();
  Pages();
  Sessions();
  Streams();
  return 0;
}
