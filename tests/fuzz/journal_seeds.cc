// SPDX-License-Identifier: GPL-2.0-or-later
//
// Writes the seeds of the journal's fuzzer: journal_seeds FOLDER. Run it again
// after a change of the format, and commit what it wrote.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "blkrep/journal.h"
#include "core/assert.h"

using namespace haven;
using namespace haven::blkrep;

namespace {

std::string folder_of_seeds, scratch;

Bytes Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The length is even: the fuzzer mends the checksums of its variations.
void Save(const std::string& name, Bytes first, const Bytes& second) {
  if (first.size() % 2 != 0) first.push_back(0);
  Bytes out;
  ByteWriter w(out);
  w.U32(static_cast<uint32_t>(first.size()));
  w.Raw(first);
  w.Raw(second);
  std::ofstream file(folder_of_seeds + "/" + name, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(out.data()), static_cast<std::streamsize>(out.size()));
  HAVEN_ASSERT(file.good());
}

void SaveFiles(const std::string& name) { Save(name, Read(scratch), Read(scratch + ".2")); }

void Must(const Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.message().c_str());
  exit(1);
}

std::unique_ptr<Journal> Fresh(uint64_t segment_bytes) {
  unlink(scratch.c_str());
  unlink((scratch + ".2").c_str());
  auto opened = Journal::Open(scratch, segment_bytes);
  Must(opened.status());
  return std::move(opened.value());
}

void Append(Journal& journal, Epoch epoch) {
  const Bytes data(24, static_cast<uint8_t>(epoch));
  Must(journal.Append(epoch, {Request::Kind::kWrite, false, 0, epoch * 512, data.size()}, data));
  Must(journal.Append(epoch, {Request::Kind::kZero, true, 1, 0, 4096}, {}));
  Must(journal.Append(epoch, {Request::Kind::kDiscard, false, 1, 4096, 4096}, {}));
}

void OneFile() {
  auto journal = Fresh(Journal::kSegmentBytes);
  SaveFiles("empty-journal");
  Append(*journal, 1);
  SaveFiles("staged");
  Append(*journal, 2);
  Must(journal->Commit(1, false));
  SaveFiles("committed-with-next-staged");
  journal->TakeCommitted();
  Must(journal->MarkApplied(1));
  SaveFiles("applied");
  Must(journal->DiscardUncommitted());
  Append(*journal, 2);
  Must(journal->Commit(2, false));
  SaveFiles("dropped");
  Bytes torn = Read(scratch);
  torn.resize(torn.size() - 30);
  Save("torn-commit", torn, {});
  Must(journal->StartOver().ok() ? Status(StatusCode::kInvalid, "not refused") : Status::Ok());
  journal->TakeCommitted();
  Must(journal->MarkApplied(2));
  Must(journal->StartOver());
  SaveFiles("started-over");
}

void TwoFiles() {
  auto journal = Fresh(400);
  for (Epoch epoch = 1; epoch <= 3; epoch++) {
    Append(*journal, epoch);
    Must(journal->Commit(epoch, false));
  }
  SaveFiles("two-files");
  Save("second-file-alone", {}, Read(scratch + ".2"));
  const Bytes first = Read(scratch);
  journal->TakeCommitted();
  Must(journal->MarkApplied(2));
  SaveFiles("first-applied");
  Append(*journal, 4);
  Must(journal->Commit(4, false));
  journal->TakeCommitted();
  Must(journal->MarkApplied(3));
  SaveFiles("first-released");
  Save("released-but-not-cleared", first, Read(scratch + ".2"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  folder_of_seeds = argv[1];
  std::filesystem::create_directories(folder_of_seeds);
  scratch = folder_of_seeds + "/scratch";
  OneFile();
  TwoFiles();
  Save("nothing", {}, {});
  Save("not-a-journal", Bytes(200, 'x'), {});
  unlink(scratch.c_str());
  unlink((scratch + ".2").c_str());
  return 0;
}
