// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/disk_mark.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>

#include "blkrep/open_disk.h"
#include "blkrep/printable.h"
#include "core/random_token.h"
#include "os/files.h"

namespace haven::blkrep {
namespace {

constexpr char kAttribute[] = "user.haven";
constexpr size_t kMaxTextBytes = 512;
constexpr size_t kMaxGuestCharacters = 255;

/// Cuts the word off that `text` begins with.
std::string_view TakeWord(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

template <typename T>
bool ParseNumber(std::string_view word, T& out) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), out);
  return error == std::errc() && end == word.data() + word.size();
}

}  // namespace

std::string MarkText(const DiskMark& mark) {
  return "1 " + Hex(mark.id) + " " + std::to_string(mark.inode) + " " + std::to_string(mark.birth_ns) + " " +
         Printable(mark.guest, kMaxGuestCharacters);
}

DiskMark ParseMark(const std::string& text) {
  DiskMark mark;
  mark.state = DiskMark::State::kUnreadable;
  std::string_view left = text;
  if (TakeWord(left) != "1") return mark;
  const auto id = TokenFromHex(TakeWord(left));
  if (!id) return mark;
  mark.id = *id;
  if (!ParseNumber(TakeWord(left), mark.inode) || !ParseNumber(TakeWord(left), mark.birth_ns)) return mark;
  mark.guest = Printable(left, kMaxGuestCharacters);
  if (!mark.guest.empty()) mark.state = DiskMark::State::kMarked;
  return mark;
}

Result<DiskMark> ReadMark(int fd) {
  char text[kMaxTextBytes];
  const ssize_t bytes = fgetxattr(fd, kAttribute, text, sizeof(text));
  DiskMark mark;
  if (bytes >= 0) {
    mark = ParseMark(std::string(text, static_cast<size_t>(bytes)));
    struct stat st;
    if (fstat(fd, &st) != 0) return Status::FromErrno(errno, "cannot examine the file");
    mark.copied = mark.state == DiskMark::State::kMarked && (mark.inode != st.st_ino || mark.birth_ns != BirthOf(fd));
    return mark;
  }
  switch (errno) {
    case ENODATA: return mark;
    case ENOTSUP: mark.state = DiskMark::State::kUnsupported; return mark;
    case ERANGE: mark.state = DiskMark::State::kUnreadable; return mark;
  }
  return Status::FromErrno(errno, "cannot read its mark, the attribute user.haven");
}

Result<DiskMark> ReadMark(const std::string& path) {
  auto disk = OpenDisk(path, O_RDONLY);
  if (!disk.ok()) return disk.status();
  if (disk.value().device()) return Status(StatusCode::kInvalid, path + " is a block device: only files carry a mark");
  auto mark = ReadMark(disk.value().fd());
  if (!mark.ok()) return mark.status().With(path);
  return mark;
}

Status WriteMark(int fd, const DiskMark& mark) {
  const std::string text = MarkText(mark);
  if (os::Files::Here().SetAttribute(fd, kAttribute, text.data(), text.size()) != 0)
    return Status::FromErrno(errno, "cannot write its mark, the attribute user.haven");
  if (os::Files::Here().Sync(fd) != 0) return Status::FromErrno(errno, "cannot sync its mark");
  return Status::Ok();
}

int64_t BirthOf(int fd) {
  struct statx st;
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) != 0 || (st.stx_mask & STATX_BTIME) == 0) return 0;
  return st.stx_btime.tv_sec * 1000000000ll + st.stx_btime.tv_nsec;
}

}  // namespace haven::blkrep
