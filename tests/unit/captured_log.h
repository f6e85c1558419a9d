/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_CAPTURED_LOG_H
#define HAVEN_TESTS_UNIT_CAPTURED_LOG_H

#include <chrono>
#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>

namespace haven::test {

/// What havend's Log() writes, while this lives. Any thread.
class CapturedLog {
 public:
  explicit CapturedLog(std::string path)
      : path_(std::move(path)),
        file_(open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)),
        before_(dup(STDERR_FILENO)) {
    dup2(file_, STDERR_FILENO);
  }
  ~CapturedLog() {
    dup2(before_, STDERR_FILENO);
    close(before_);
    close(file_);
  }

  /// Also when there are no more descriptors.
  std::string Text() const {
    std::string text(static_cast<size_t>(lseek(file_, 0, SEEK_END)), '\0');
    const ssize_t got = pread(file_, text.data(), text.size(), 0);
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }
  /// How often it says so.
  size_t Count(const std::string& what) const {
    const std::string text = Text();
    size_t count = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) count++;
    return count;
  }
  /// Until it says so `times` times. @return false: it never does.
  bool Waits(const std::string& what, size_t times = 1) const {
    for (int look = 0; look < 2000; look++) {
      if (Count(what) >= times) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

 private:
  const std::string path_;
  const int file_, before_;
};

}  // namespace haven::test

#endif
