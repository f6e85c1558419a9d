// SPDX-License-Identifier: GPL-2.0-or-later
//
// The record of which copy of a guest is newest: the octets of docs/generations.md, what is refused,
// and that a crash leaves the old or the new one.

#include "blkrep/guest_record.h"

#include <sys/stat.h>

#include "core/crc32c.h"
#include "os/durable_file.h"
#include "tests/unit/blkrep_support.h"
#include "tests/unit/core_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::test;
using blkrep::test::ReadFile;
using blkrep::test::TempFolder;
using blkrep::test::WriteFile;

namespace {

const char kGolden[] =
    "48564e47 {crc} 0100 01 01 25000000 3c000000"
    "101112131415161718191a1b1c1d1e1f 202122232425262728292a2b2c2d2e2f 303132333435363738393a3b3c3d3e3f"
    "0e00000000000000 00f1536500000000"
    "0100000000000000 0807060504030201 00f1536500000000 0300000000000000"
    "0400 77656231 0600 62636b757031 0400 37373839 0800 2f62696e2f6172 62"
    "01000000 0002000000000000 0300 766461 0600 2f642f766461 0300 6162 63";

Bytes Golden() {
  std::string hex = kGolden;
  hex.replace(hex.find("{crc}"), 5, "00000000");
  Bytes octets = FromHex(hex);
  const uint32_t crc = Crc32c(ByteSpan(octets).subspan(8), Crc32c(ByteSpan(octets).first(4)));
  for (size_t i = 0; i < 4; i++) octets[4 + i] = static_cast<uint8_t>(crc >> (8 * i));
  return octets;
}

wire::Token TokenFrom(uint8_t first) {
  wire::Token token;
  for (size_t i = 0; i < token.size(); i++) token[i] = static_cast<uint8_t>(first + i);
  return token;
}

GuestRecord Sample() {
  GuestRecord record;
  record.guest = "web1";
  record.role = wire::Role::kPrimary;
  record.on_start = GuestRecord::OnStart::kArbiter;
  record.life_ended = record.discarded = record.given = true;
  record.start_wait_s = 60;
  record.life = TokenFrom(0x10);
  record.session = TokenFrom(0x20);
  record.boot = TokenFrom(0x30);
  record.epoch = 14;
  record.committed_s = 1700000000;
  record.lineage = Lineage({{0x0102030405060708, 1700000000, Origin::kAlone}});
  record.backup_host = "bckup1";
  record.backup_port = "7789";
  record.arbiter = "/bin/arb";
  record.disks = {{"vda", "/d/vda", 512, "abc"}};
  return record;
}

Bytes Mended(Bytes octets) {
  const uint32_t crc = Crc32c(ByteSpan(octets).subspan(8), Crc32c(ByteSpan(octets).first(4)));
  for (size_t i = 0; i < 4; i++) octets[4 + i] = static_cast<uint8_t>(crc >> (8 * i));
  return octets;
}

}  // namespace

TEST_GROUP(GuestRecord) { TempFolder folder; };

TEST(GuestRecord, HasTheDocumentsOctets) {
  STRCMP_EQUAL(ToHex(Golden()).c_str(), ToHex(Encode(Sample())).c_str());
  auto decoded = DecodeGuestRecord(Golden());
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value() == Sample());
}

TEST(GuestRecord, EndsWithTheTimeSinceWhenAPrimaryIsAloneWhereOneIs) {
  GuestRecord record = Sample();
  record.primary_alone_s = 0x1122334455667788;
  Bytes octets = Golden();
  octets[12] |= 0x40;
  for (uint8_t octet : FromHex("8877665544332211")) octets.push_back(octet);
  STRCMP_EQUAL(ToHex(Mended(octets)).c_str(), ToHex(Encode(record)).c_str());
  auto decoded = DecodeGuestRecord(Mended(octets));
  HAVEN_CHECK_OK(decoded.status());
  CHECK(decoded.value() == record);
  for (size_t left = 1; left <= 8; left++) {
    const Bytes cut(octets.begin(), octets.end() - static_cast<ptrdiff_t>(left));
    HAVEN_CHECK_FAILS(StatusCode::kInvalid, "it is too short", DecodeGuestRecord(Mended(cut)).status());
  }
  std::fill(octets.end() - 8, octets.end(), uint8_t{0});
  HAVEN_CHECK_FAILS(StatusCode::kInvalid, "it has a primary that is alone, and not since when",
                    DecodeGuestRecord(Mended(octets)).status());
}

TEST(GuestRecord, IsRefusedWhenAnyBitIsFlippedOrAnyOctetIsMissing) {
  for (size_t bit = 0; bit < Golden().size() * 8; bit++) {
    Bytes octets = Golden();
    octets[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    CHECK(DecodeGuestRecord(octets).status().code() == StatusCode::kInvalid);
  }
  for (size_t cut = 0; cut < Golden().size(); cut++) {
    CHECK(DecodeGuestRecord(ByteSpan(Golden()).first(cut)).status().code() == StatusCode::kInvalid);
  }
}

TEST(GuestRecord, WithARightChecksumIsStillReadWithCare) {
  for (size_t cut = 12; cut < Golden().size(); cut++) {
    Bytes octets = Golden();
    octets.resize(cut);
    CHECK(DecodeGuestRecord(Mended(octets)).status().code() == StatusCode::kInvalid);
  }
  Bytes longer = Golden();
  longer.push_back(0);
  HAVEN_CHECK_FAILS(StatusCode::kInvalid, "octets are left over", DecodeGuestRecord(Mended(longer)).status());
  struct {
    size_t at;
    uint8_t octet;
    const char* why;
  } const wrong[] = {{8, 2, "it has format version 2, this program reads version 1"},
                     {10, 3, "it has a role, a policy or flags that this version does not know"},
                     {11, 3, "it has a role, a policy or flags that this version does not know"},
                     {12, 0x80, "it has a role, a policy or flags that this version does not know"},
                     {108, 9, "it has a generation of unknown origin"}};
  for (const auto& [at, octet, why] : wrong) {
    Bytes octets = Golden();
    octets[at] = octet;
    HAVEN_CHECK_FAILS(StatusCode::kInvalid, why, DecodeGuestRecord(Mended(octets)).status());
  }
}

TEST(GuestRecord, ThatIsNotThereIsNoFailure) {
  auto none = LoadGuestRecord(folder.File("nowhere"));
  HAVEN_CHECK_OK(none.status());
  CHECK_FALSE(none.value().has_value());
}

TEST(GuestRecord, IsSavedWithItsFolderAndForItsOwnerOnly) {
  const std::string place = folder.File("state/web1");
  HAVEN_CHECK_OK(SaveGuestRecord(place, Sample()));
  auto loaded = LoadGuestRecord(place);
  HAVEN_CHECK_OK(loaded.status());
  CHECK(*loaded.value() == Sample());
  struct stat st;
  CHECK_EQUAL(0, stat((place + "/generation").c_str(), &st));
  CHECK_EQUAL(0600, st.st_mode & 0777);
}

TEST(GuestRecord, ThatIsDamagedIsNotTakenForNone) {
  const std::string place = folder.File("web1");
  HAVEN_CHECK_OK(SaveGuestRecord(place, Sample()));
  Bytes octets = ReadFile(place + "/generation");
  octets[20] ^= 1;
  WriteFile(place + "/generation", octets);
  auto loaded = LoadGuestRecord(place);
  CHECK(loaded.status().code() == StatusCode::kInvalid);
  STRCMP_CONTAINS("generation", loaded.status().message().c_str());
  STRCMP_CONTAINS("cannot use", loaded.status().message().c_str());
}

TEST(GuestRecord, StaysAsItWasWhenTheNewOneCannotBeWritten) {
  const std::string place = folder.File("web1");
  HAVEN_CHECK_OK(SaveGuestRecord(place, Sample()));
  GuestRecord other = Sample();
  other.epoch = 15;
  // A folder where the new file would be made.
  std::filesystem::create_directories(place + "/generation.new/x");
  CHECK_FALSE(SaveGuestRecord(place, other).ok());
  auto loaded = LoadGuestRecord(place);
  HAVEN_CHECK_OK(loaded.status());
  CHECK_EQUAL(14, loaded.value()->epoch);
}
