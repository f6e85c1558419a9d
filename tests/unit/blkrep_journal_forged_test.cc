// SPDX-License-Identifier: GPL-2.0-or-later
//
// Journals whose checksums fit and whose content no writer of this version
// would have written: refused with the reason, and left as they are.

#include "blkrep/journal.h"
#include "blkrep/journal_format.h"
#include "core/crc32c.h"
#include "tests/unit/blkrep_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::blkrep;
using namespace haven::blkrep::test;

namespace {

/// Offsets of the records of a file.
std::vector<size_t> RecordsOf(const Bytes& file) {
  std::vector<size_t> out;
  for (size_t at = journal::kFileHeaderBytes; at < file.size();) {
    out.push_back(at);
    const auto header = journal::DecodeRecordHeader(ByteSpan(file).subspan(at, journal::kRecordHeaderBytes));
    at += journal::kRecordHeaderBytes + header.value().DataBytes();
  }
  return out;
}

/// Makes the checksum of the record at `at` fit its octets.
void MendRecord(Bytes& file, size_t at) {
  const ByteSpan header = ByteSpan(file).subspan(at, journal::kRecordHeaderBytes);
  const uint32_t crc = Crc32c(header.subspan(8), Crc32c(header.first(4)));
  for (int i = 0; i < 4; i++) file[at + 4 + i] = static_cast<uint8_t>(crc >> (8 * i));
}

void MendFileHeader(Bytes& file) {
  const ByteSpan header = ByteSpan(file).first(journal::kFileHeaderBytes);
  const uint32_t crc = Crc32c(header.subspan(8), Crc32c(header.first(4)));
  for (int i = 0; i < 4; i++) file[4 + i] = static_cast<uint8_t>(crc >> (8 * i));
}

}  // namespace

TEST_GROUP(ForgedJournal) {
  TempFolder folder;
  std::string path = folder.File("j");

  Result<std::unique_ptr<Journal>> Open(const Files& files) {
    files.Restore(path);
    return Journal::Open(path);
  }
  /// The journal holds epochs 1 and 2; in one file.
  Files Simple() {
    auto opened = Journal::Open(path);
    for (Epoch epoch = 1; epoch <= 2; epoch++) {
      CHECK(opened.value()->Append(epoch, WriteOf(0, 20), Pattern(20, 1)).ok());
      CHECK(opened.value()->Commit(epoch, false).ok());
    }
    return Files::Of(path);
  }
  void CheckRefused(const Files& files, const char* why) {
    const auto opened = Open(files);
    CHECK(opened.status().code() == StatusCode::kInvalid);
    STRCMP_CONTAINS(why, opened.status().message().c_str());
    CHECK(ReadFile(path) == files.first);  // refused is not destroyed
  }
};

TEST(ForgedJournal, SaysWhichOctetIsDamaged) {
  Files files = Simple();
  files.first[journal::kFileHeaderBytes + journal::kRecordHeaderBytes] ^= 1;
  auto opened = Open(files);
  STRCMP_EQUAL((path + ", record at octet 64: its data does not match its checksum").c_str(),
               opened.value()->Damage().c_str());
  CHECK_EQUAL(0, opened.value()->LastCommitted());
}

TEST(ForgedJournal, RefusesARecordThatChecksButThatItDoesNotUnderstand) {
  const Files whole = Simple();
  const struct {
    size_t at;  // in the record header
    uint8_t value;
    const char* why;
  } kForgeries[] = {
      {24, 9, "unknown kind 9"},    {24, 20, "unknown kind 20"},        {25, 2, "unknown flags 2"},
      {25, 1, "unknown flags 1"},   {26, 1, "reserved bits set"},       {27, 1, "reserved bits set"},
      {52, 1, "reserved bits set"}, {39, 0x80, "ends beyond any disk"}, {47, 0x80, "ends beyond any disk"},
  };
  for (const auto& forgery : kForgeries) {
    Files files = whole;
    const size_t at = RecordsOf(files.first)[2];
    files.first[at + forgery.at] = forgery.value;
    MendRecord(files.first, at);
    CheckRefused(files, forgery.why);
    CheckRefused(files, ("record at octet " + std::to_string(at)).c_str());
  }
}

TEST(ForgedJournal, RefusesMarksThatCarryWhatMarksDoNotHave) {
  const Files whole = Simple();
  const struct {
    size_t at;
    const char* why;
  } kForgeries[] = {{28, "a disk range in a mark"},
                    {32, "a disk range in a mark"},
                    {40, "a disk range in a mark"},
                    {48, "a data checksum in a record without data"}};
  for (const auto& forgery : kForgeries) {
    Files files = whole;
    const size_t at = RecordsOf(files.first)[1];
    files.first[at + forgery.at] = 1;
    MendRecord(files.first, at);
    CheckRefused(files, forgery.why);
  }
}

TEST(ForgedJournal, RefusesRecordsThatCheckButContradictEachOther) {
  const Files whole = Simple();  // write 1, commit 1, write 2, commit 2
  const struct {
    size_t record;
    size_t at;
    uint8_t value;
    const char* why;
  } kForgeries[] = {
      {2, 16, 1, "a request of epoch 1, which is committed already"},
      {3, 16, 0, "a commit of epoch 0 after that of a later epoch"},
      {3, 24, 17, "epoch 2 is marked applied but not committed"},
      {3, 24, 18, "an epoch in a mark that has none"},
      {3, 23, 0xFF, "impossible epoch"},
  };
  for (const auto& forgery : kForgeries) {
    Files files = whole;
    const size_t at = RecordsOf(files.first)[forgery.record];
    files.first[at + forgery.at] = forgery.value;
    if (forgery.value == 0xFF) std::fill_n(files.first.begin() + at + 16, 8, 0xFF);
    MendRecord(files.first, at);
    CheckRefused(files, forgery.why);
  }
}

TEST(ForgedJournal, CutsAtARecordWithAnotherSequenceNumber) {
  Files files = Simple();
  const size_t at = RecordsOf(files.first)[2];
  files.first[at + 8] = 9;
  MendRecord(files.first, at);
  auto opened = Open(files);
  STRCMP_CONTAINS("it has sequence number 9 where 3 is due", opened.value()->Damage().c_str());
  CHECK_EQUAL(1, opened.value()->LastCommitted());
}

TEST(ForgedJournal, RefusesFilesThatAreNotItsOwnAndLeavesThemAlone) {
  CheckRefused({Pattern(5000, 3), {}}, "it is not a HAVEN journal");
  CheckRefused({Bytes(5000), {}}, "it is not a HAVEN journal");  // an empty disk image
  CheckRefused({{'h', 'i', '\n'}, {}}, "it is not a HAVEN journal");
}

TEST(ForgedJournal, RefusesAHeaderOfAnotherVersionOrWithReservedBits) {
  const Files whole = Simple();
  const struct {
    size_t at;
    uint8_t value;
    const char* why;
  } kForgeries[] = {{8, 2, "it has format version 2, this program reads version 1"},
                    {10, 2, "reserved bits set"},
                    {12, 1, "reserved bits set"},
                    {63, 1, "reserved bits set"},
                    {16, 0, "contradicts itself"},
                    {23, 0xFF, "contradicts itself"},
                    {31, 0xFF, "contradicts itself"},
                    {40, 5, "contradicts itself"}};
  for (const auto& forgery : kForgeries) {
    Files files = whole;
    files.first[forgery.at] = forgery.value;
    MendFileHeader(files.first);
    CheckRefused(files, forgery.why);
  }
}

TEST(ForgedJournal, RefusesTwoFilesOfTheSameGeneration) {
  Files files = Simple();
  files.second = files.first;
  CheckRefused(files, "do not belong together");
}

TEST(ForgedJournal, RefusesASecondFileWhoseHeaderContradictsTheFirst) {
  auto opened = Journal::Open(path, 100);
  CHECK(opened.value()->Append(1, WriteOf(0, 100), Pattern(100, 1)).ok());
  CHECK(opened.value()->Append(1, WriteOf(0, 100), Pattern(100, 2)).ok());
  opened.value().reset();
  Files files = Files::Of(path);
  CHECK(!files.second.empty());
  files.second[32] = 9;  // the lowest epoch that is not committed
  MendFileHeader(files.second);
  CheckRefused(files, "contradict each other");
}

TEST(ForgedJournal, GivesUpWhatNeedsAFileThatNeverWas) {
  auto opened = Journal::Open(path, 100);
  CHECK(opened.value()->Append(1, WriteOf(0, 100), Pattern(100, 1)).ok());
  CHECK(opened.value()->Append(1, WriteOf(0, 100), Pattern(100, 2)).ok());
  CHECK(opened.value()->Commit(1, false).ok());
  opened.value().reset();
  Files files = Files::Of(path);
  files.first[10] = 1;  // needs a previous one, too
  MendFileHeader(files.first);
  opened = Open(files);
  CHECK_TEXT(opened.ok(), opened.status().message().c_str());
  STRCMP_CONTAINS("needs a file that is gone", opened.value()->Damage().c_str());
  CHECK_EQUAL(0, opened.value()->LastCommitted());
  CHECK_EQUAL(0, opened.value()->TakeCommitted().size());
}
