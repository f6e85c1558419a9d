// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/image_lock.h"

#include <fcntl.h>

#include <cerrno>
#include <cstdint>

namespace haven::blkrep {
namespace {

/// Who does a thing holds the octet kDoes + bit; who does not let others do it
/// holds kForbids + bit. Held shared, asked for as if to be held alone.
constexpr off_t kDoes = 100, kForbids = 200;

enum Bit : off_t { kConsistentRead = 0, kWrite = 1, kResize = 3 };
constexpr Bit kOurs[] = {kConsistentRead, kWrite};
constexpr Bit kForbidden[] = {kWrite, kResize};

/// @return 0 or errno.
int Lock(int fd, int command, short type, off_t octet, struct flock* answer = nullptr) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = octet;
  lock.l_len = 1;
  int result;
  do {
    result = fcntl(fd, command, &lock);
  } while (result != 0 && errno == EINTR);
  if (answer != nullptr) *answer = lock;
  return result == 0 ? 0 : errno;
}

bool IsFree(int fd, off_t octet) {
  struct flock answer = {};
  return Lock(fd, F_OFD_GETLK, F_WRLCK, octet, &answer) == 0 && answer.l_type == F_UNLCK;
}

bool HasLocks(int error) { return error != ENOLCK && error != ENOSYS && error != EINVAL && error != EOPNOTSUPP; }

}  // namespace

Status ImageLock::Take(int fd, const std::string& path) {
  int error = 0;
  for (Bit bit : kOurs) error = error != 0 ? error : Lock(fd, F_OFD_SETLK, F_RDLCK, kDoes + bit);
  for (Bit bit : kForbidden) error = error != 0 ? error : Lock(fd, F_OFD_SETLK, F_RDLCK, kForbids + bit);
  if (error != 0 && !HasLocks(error)) return Status::Ok();
  bool free = error == 0;
  for (Bit bit : kOurs) free = free && IsFree(fd, kForbids + bit);
  for (Bit bit : kForbidden) free = free && IsFree(fd, kDoes + bit);
  if (free) return Status::Ok();
  Release(fd);
  if (error != 0 && error != EAGAIN && error != EACCES) return Status::FromErrno(error, "cannot lock " + path);
  return {StatusCode::kRefused, path + " is locked by another process: end the guest or the qemu-img that uses it"};
}

void ImageLock::Release(int fd) {
  for (Bit bit : kOurs) Lock(fd, F_OFD_SETLK, F_UNLCK, kDoes + bit);
  for (Bit bit : kForbidden) Lock(fd, F_OFD_SETLK, F_UNLCK, kForbids + bit);
}

}  // namespace haven::blkrep
