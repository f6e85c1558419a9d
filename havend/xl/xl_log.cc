// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/xl_log.h"

#include <fstream>
#include <sys/stat.h>

namespace haven::havend {
namespace {

constexpr size_t kMaxCharacters = 300;

}  // namespace

XlLog::XlLog(const std::string& path) : path_(path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0) from_ = info.st_size;
}

std::string XlLog::Complaint() const {
  std::ifstream in(path_);
  in.seekg(from_);
  std::string last;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) last = line;
    if (line.find("error") != std::string::npos) break;
  }
  return last.substr(0, kMaxCharacters);
}

}  // namespace haven::havend
