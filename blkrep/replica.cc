// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/replica.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "blkrep/image_lock.h"
#include "os/files.h"
#include "os/write_all.h"

namespace haven::blkrep {
namespace {

/// Block devices zero and deallocate in whole sectors of at most this size.
constexpr uint64_t kDeviceAlignment = 4096;

Status Failed(int error, const std::string& what) { return Status::FromErrno(error, what); }

std::string Range(uint64_t offset, uint64_t bytes) {
  return std::to_string(bytes) + " octets at octet " + std::to_string(offset);
}

Status WriteAll(int fd, ByteSpan data, uint64_t offset) {
  const uint64_t end = offset + data.size();
  const int error = os::WriteAllAt(fd, data, offset);
  return error == 0 ? Status::Ok() : Failed(error, "cannot write " + Range(end - data.size(), data.size()));
}

Status WriteZeros(int fd, uint64_t offset, uint64_t bytes) {
  static constexpr std::array<uint8_t, 256 * 1024> kZeros{};
  while (bytes > 0) {
    const uint64_t part = std::min<uint64_t>(bytes, kZeros.size());
    HAVEN_RETURN_IF_ERROR(WriteAll(fd, ByteSpan(kZeros).first(part), offset));
    offset += part;
    bytes -= part;
  }
  return Status::Ok();
}

/// What an operation that is not there answers, depending on who lacks it.
bool IsUnsupported(int error) {
  return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV || error == ENOTTY;
}

/// @return 0 or errno.
int Fallocate(int fd, int mode, uint64_t offset, uint64_t bytes) {
  while (os::Files::Here().Allocate(fd, mode | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                                    static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

int DeviceZeroOut(int fd, uint64_t offset, uint64_t bytes) {
  uint64_t range[2] = {offset, bytes};
  return ioctl(fd, BLKZEROOUT, range) == 0 ? 0 : errno;
}

/// Zeroes without writing zeros, by what the system offers. @return 0 or errno.
int ZeroFast(int fd, bool device, bool may_unmap, uint64_t offset, uint64_t bytes) {
  int error = EOPNOTSUPP;
  if (may_unmap) error = Fallocate(fd, FALLOC_FL_PUNCH_HOLE, offset, bytes);
  if (IsUnsupported(error)) error = Fallocate(fd, FALLOC_FL_ZERO_RANGE, offset, bytes);
  if (IsUnsupported(error) && device) error = DeviceZeroOut(fd, offset, bytes);
  return error;
}

struct Parts {
  uint64_t head, middle, tail;  ///< octets
};

/// Splits a range so that the middle is aligned for a device.
Parts Split(bool device, uint64_t offset, uint64_t bytes) {
  if (!device) return {0, bytes, 0};
  const uint64_t to_aligned = (kDeviceAlignment - offset % kDeviceAlignment) % kDeviceAlignment;
  const uint64_t head = std::min(bytes, to_aligned);
  const uint64_t middle = (bytes - head) / kDeviceAlignment * kDeviceAlignment;
  return {head, middle, bytes - head - middle};
}

Status Zero(int fd, bool device, const Request& request) {
  const Parts parts = Split(device, request.offset, request.bytes);
  const uint64_t middle_at = request.offset + parts.head;
  HAVEN_RETURN_IF_ERROR(WriteZeros(fd, request.offset, parts.head));
  if (parts.middle > 0) {
    const int error = ZeroFast(fd, device, request.may_unmap, middle_at, parts.middle);
    if (IsUnsupported(error)) {
      HAVEN_RETURN_IF_ERROR(WriteZeros(fd, middle_at, parts.middle));
    } else if (error != 0) {
      return Failed(error, "cannot zero " + Range(middle_at, parts.middle));
    }
  }
  return WriteZeros(fd, middle_at + parts.middle, parts.tail);
}

/// By punching holes only, also on devices: the kernel then promises zeros,
/// which BLKDISCARD does not. That it is not possible is no failure.
Status Discard(int fd, bool device, const Request& request) {
  const Parts parts = Split(device, request.offset, request.bytes);
  if (parts.middle == 0) return Status::Ok();
  const uint64_t at = request.offset + parts.head;
  const int error = Fallocate(fd, FALLOC_FL_PUNCH_HOLE, at, parts.middle);
  if (error == 0 || IsUnsupported(error)) return Status::Ok();
  return Failed(error, "cannot discard " + Range(at, parts.middle));
}

}  // namespace

Result<std::unique_ptr<Replica>> Replica::Open(const std::string& path, uint64_t bytes, const ReplicaOptions& options) {
  auto disk = OpenReplicaDisk(path, bytes, options);
  if (!disk.ok()) return disk.status();
  return std::unique_ptr<Replica>(new Replica(std::move(disk.value()), bytes));
}

Replica::~Replica() { ImageLock::Release(disk_.fd()); }

Status Replica::Apply(const Request& request, ByteSpan data) {
  if (request.offset > bytes_ || request.bytes > bytes_ - request.offset) {
    return Status(StatusCode::kProtocol, "a request of " + Range(request.offset, request.bytes) +
                                             " leaves its disk of " + std::to_string(bytes_) + " octets");
  }
  const uint64_t data_bytes = request.kind == Request::Kind::kWrite ? request.bytes : 0;
  if (data.size() != data_bytes) {
    return Status(StatusCode::kProtocol, "a request for " + std::to_string(data_bytes) + " octets of data comes with " +
                                             std::to_string(data.size()));
  }
  if (request.bytes == 0) return Status::Ok();
  switch (request.kind) {
    case Request::Kind::kWrite: return WriteAll(disk_.fd(), data, request.offset);
    case Request::Kind::kZero: return Zero(disk_.fd(), disk_.device(), request);
    case Request::Kind::kDiscard: return Discard(disk_.fd(), disk_.device(), request);
  }
  return Status(StatusCode::kProtocol, "a disk request of an unknown kind");
}

Status Replica::Sync() {
  if (os::Files::Here().SyncData(disk_.fd()) == 0) return Status::Ok();
  return Failed(errno, "cannot sync the replica");
}

}  // namespace haven::blkrep
