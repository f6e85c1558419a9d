// SPDX-License-Identifier: GPL-2.0-or-later
//
// Journal::Open() on any octets, then everything the backup does with what it
// found. The input is the length of the first file (u32), the first file, and
// the second file. The checksums of the input are mended, so that the fuzzer
// gets past them; an odd length is taken as it is.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "blkrep/journal.h"
#include "blkrep/journal_format.h"
#include "core/assert.h"
#include "core/crc32c.h"

using namespace haven;
using namespace haven::blkrep;

namespace {

struct Folder {
  Folder() {
    std::string name = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    name += "/haven-journal-fuzz-XXXXXX";
    HAVEN_ASSERT(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() {
    unlink((path + "/j").c_str());
    unlink((path + "/j.2").c_str());
    rmdir(path.c_str());
  }
  std::string path;
};

void WriteFile(const std::string& path, ByteSpan octets) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  HAVEN_ASSERT(fd >= 0);
  HAVEN_ASSERT(write(fd, octets.data(), octets.size()) == static_cast<ssize_t>(octets.size()));
  close(fd);
}

void MendHeader(std::span<uint8_t> header) {
  const uint32_t crc = Crc32c(header.subspan(8), Crc32c(header.first(4)));
  for (size_t i = 0; i < 4; i++) header[4 + i] = static_cast<uint8_t>(crc >> (8 * i));
}

void Mend(std::span<uint8_t> file) {
  if (file.size() < journal::kFileHeaderBytes) return;
  MendHeader(file.first(journal::kFileHeaderBytes));
  size_t at = journal::kFileHeaderBytes;
  while (file.size() - at >= journal::kRecordHeaderBytes) {
    const auto header = file.subspan(at, journal::kRecordHeaderBytes);
    const auto record = journal::DecodeRecordHeader(header);
    at += journal::kRecordHeaderBytes;
    const uint64_t data_bytes = record.ok() ? record.value().DataBytes() : 0;
    if (data_bytes <= file.size() - at) {
      if (record.ok() && record.value().kind == journal::Kind::kWrite) {
        const uint32_t crc = Crc32c(file.subspan(at, data_bytes));
        for (size_t i = 0; i < 4; i++) header[48 + i] = static_cast<uint8_t>(crc >> (8 * i));
      }
      at += data_bytes;
    }
    MendHeader(header);
  }
}

void Use(Journal& journal) {
  const Epoch committed = journal.LastCommitted();
  Epoch last = 0;
  for (const Journal::Entry& entry : journal.TakeCommitted()) {
    HAVEN_ASSERT(entry.epoch >= last && entry.epoch <= committed);
    last = entry.epoch;
    if (entry.request.kind != Request::Kind::kWrite) continue;
    // In the file, so bounded by the input.
    Bytes data(entry.request.bytes);
    HAVEN_ASSERT(journal.ReadData(entry, data).ok());
  }
  HAVEN_ASSERT(journal.TakeCommitted().empty());
  const Request request{Request::Kind::kWrite, false, 0, 0, 3};
  const Bytes data{1, 2, 3};
  const Epoch next = committed + 1;
  if (next > journal::kMaxEpoch) return;
  HAVEN_ASSERT(journal.Append(next, request, data).ok());
  HAVEN_ASSERT(journal.Commit(next, false).ok());
  HAVEN_ASSERT(journal.TakeCommitted().size() == 1);
  HAVEN_ASSERT(journal.MarkApplied(next).ok());
  HAVEN_ASSERT(journal.LastCommitted() == next);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  static const Folder folder;
  ByteReader reader(ByteSpan(octets, size));
  const uint32_t length = reader.U32();
  if (!reader.ok()) return 0;
  Bytes rest(octets + 4, octets + size);
  const size_t first = std::min<size_t>(length, rest.size());
  const std::span<uint8_t> one = std::span(rest).first(first);
  const std::span<uint8_t> two = std::span(rest).subspan(first);
  if (length % 2 == 0) {
    Mend(one);
    Mend(two);
  }
  const std::string path = folder.path + "/j";
  WriteFile(path, one);
  WriteFile(path + ".2", two);
  Epoch committed = 0;
  {
    auto journal = Journal::Open(path, 4096);
    if (!journal.ok()) return 0;
    Use(*journal.value());
    committed = journal.value()->LastCommitted();
  }
  // What it made of the input is a sound journal.
  auto again = Journal::Open(path, 4096);
  HAVEN_ASSERT(again.ok() && again.value()->Damage().empty());
  HAVEN_ASSERT(again.value()->LastCommitted() == committed);
  return 0;
}
