// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs a fuzz target on every file given, and on every file in every folder
// given, in the order of their names: the committed corpus is a test without
// libFuzzer.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size);

namespace {

namespace fs = std::filesystem;

/// @return false with a message if `argument` is neither a file nor a folder.
bool Collect(const std::string& argument, std::vector<std::string>& files) {
  std::error_code error;
  if (!fs::is_directory(argument, error)) {
    if (fs::is_regular_file(argument, error)) {
      files.push_back(argument);
      return true;
    }
    fprintf(stderr, "%s is neither a file nor a folder\n", argument.c_str());
    return false;
  }
  for (fs::recursive_directory_iterator at(argument, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored)) files.push_back(at->path().string());
  }
  if (error) fprintf(stderr, "cannot list %s: %s\n", argument.c_str(), error.message().c_str());
  return !error;
}

bool Replay(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> octets{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    fprintf(stderr, "cannot read %s\n", path.c_str());
    return false;
  }
  // An exact copy, so that a read beyond the end is seen by the sanitizer.
  const std::vector<uint8_t> input(octets.begin(), octets.end());
  LLVMFuzzerTestOneInput(input.data(), input.size());
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> files;
  for (int i = 1; i < argc; i++)
    if (!Collect(argv[i], files)) return 2;
  if (files.empty()) {
    fprintf(stderr, "usage: %s FILE|FOLDER...: nothing to replay\n", argv[0]);
    return 2;
  }
  std::sort(files.begin(), files.end());
  for (const std::string& path : files) {
    // Named before it runs: a crash leaves the culprit as the last line.
    fprintf(stderr, "%s\n", path.c_str());
    if (!Replay(path)) return 2;
  }
  printf("%zu inputs replayed\n", files.size());
  return 0;
}
