/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "havend/log.h"

#include <cstdio>
#include <ctime>
#include <unistd.h>

namespace haven::havend {

void Log(const std::string& message) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  localtime_r(&now.tv_sec, &local);
  char stamp[40];
  size_t length = strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &local);
  snprintf(stamp + length, sizeof(stamp) - length, ".%03ld ", now.tv_nsec / 1000000);

  std::string line = stamp + message;
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  }
  line += '\n';
  // There is nobody to tell when the log cannot be written.
  [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace haven::havend
