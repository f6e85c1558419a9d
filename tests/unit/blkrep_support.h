/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_BLKREP_SUPPORT_H
#define HAVEN_TESTS_UNIT_BLKREP_SUPPORT_H

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "blkrep/journal.h"
#include "core/bytes.h"

namespace haven::blkrep::test {

/// A folder that is gone with the object; in memory where the system has that,
/// for tests that open thousands of files.
class TempFolder {
 public:
  explicit TempFolder(bool in_memory = true) {
    const char* wanted = getenv("TMPDIR");
    std::string base = wanted ? wanted : "/tmp";
    if (in_memory && access("/dev/shm", W_OK) == 0) base = "/dev/shm";
    std::string name = base + "/haven-blkrep-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) abort();
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline Bytes ReadFile(const std::string& path) {
  constexpr size_t kPart = 1 << 20;
  std::ifstream in(path, std::ios::binary);
  Bytes octets;
  while (in) {
    const size_t had = octets.size();
    octets.resize(had + kPart);
    in.read(reinterpret_cast<char*>(octets.data() + had), kPart);
    octets.resize(had + static_cast<size_t>(in.gcount()));
  }
  return octets;
}

inline void WriteFile(const std::string& path, ByteSpan octets) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(octets.data()), static_cast<std::streamsize>(octets.size()));
}

inline Bytes Pattern(size_t bytes, uint8_t seed) {
  Bytes out(bytes);
  for (size_t i = 0; i < bytes; i++) out[i] = static_cast<uint8_t>(seed + i * 7);
  return out;
}

inline Request WriteOf(uint64_t offset, uint64_t bytes, uint32_t disk = 0) {
  return {Request::Kind::kWrite, false, disk, offset, bytes};
}

/// A request as it comes out of the journal, with its data.
struct Taken {
  Epoch epoch = 0;
  Request request;
  Bytes data;
  bool operator==(const Taken&) const = default;
};

inline Status TakeAll(Journal& journal, std::vector<Taken>& out) {
  for (const Journal::Entry& entry : journal.TakeCommitted()) {
    Taken taken{entry.epoch, entry.request, {}};
    if (entry.request.kind == Request::Kind::kWrite) {
      taken.data.resize(entry.request.bytes);
      HAVEN_RETURN_IF_ERROR(journal.ReadData(entry, taken.data));
    }
    out.push_back(std::move(taken));
  }
  return Status::Ok();
}

/// Both files of a journal.
struct Files {
  Bytes first, second;
  static Files Of(const std::string& path) { return {ReadFile(path), ReadFile(path + ".2")}; }
  void Restore(const std::string& path) const {
    WriteFile(path, first);
    WriteFile(path + ".2", second);
  }
};

}  // namespace haven::blkrep::test

#endif
