// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/shared_pages.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/epoch.h"
#include "core/random_token.h"
#include "core/threads.h"

namespace haven::memrep {
namespace {

constexpr char kPrefix[] = "haven-pages-";
constexpr uint64_t kMagic = 0x31534547415048;  // "HPAGES1"
constexpr uint32_t kLayoutVersion = 1;
/// How far from its place in the index a page may be.
constexpr uint64_t kProbes = 8;
/// A file that another process is just making is opened after so many tries.
constexpr int kTries = 200;
constexpr milliseconds kTryInterval{5};

/// At the front of the file.
struct Header {
  uint64_t magic;
  uint32_t version, slots;
  uint8_t instance[wire::kSessionTokenBytes];
};

/// Of a slot.
enum State : uint32_t { kEmpty = 0, kClaimed = 1, kKnown = 2 };

static_assert(std::atomic<uint32_t>::is_always_lock_free && std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<uint32_t>) == 4 && sizeof(std::atomic<uint64_t>) == 8);

constexpr uint64_t RoundUp(uint64_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

Header HeaderFor(const wire::StoreReply& store) {
  Header header{kMagic, kLayoutVersion, store.slots, {}};
  std::copy(store.instance.begin(), store.instance.end(), header.instance);
  return header;
}

/// Not removed, and no other file has taken its place.
bool HasItsName(int fd, const std::string& path) {
  struct stat open_file, named_file;
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &named_file) == 0 && open_file.st_ino == named_file.st_ino &&
         open_file.st_dev == named_file.st_dev;
}

/// Removes a file that is open and locked for this process alone.
void Remove(int fd, const std::string& path) {
  if (HasItsName(fd, path)) unlink(path.c_str());
}

/// An index entry: part of the hash, and the slot plus one.
constexpr uint64_t Entry(uint64_t hash, uint32_t slot) { return hash >> 32 << 32 | (slot + 1); }

}  // namespace

std::string SharedPages::PathOf(const std::string& folder, const wire::Token& instance) {
  return folder + "/" + kPrefix + Hex(instance);
}

SharedPages::Shape SharedPages::ShapeOf(uint32_t slots) {
  Shape shape{};
  shape.slots = slots;
  shape.index_entries = std::bit_ceil(uint64_t{slots} * 2);
  shape.states_at = kPageBytes;
  shape.index_at = shape.states_at + RoundUp(slots * sizeof(uint32_t));
  shape.pages_at = shape.index_at + RoundUp(shape.index_entries * sizeof(uint64_t));
  shape.bytes = shape.pages_at + slots * uint64_t{kPageBytes};
  return shape;
}

SharedPages::SharedPages(std::string path, int fd, const wire::StoreReply& store, const Shape& shape)
    : path_(std::move(path)), fd_(fd), shape_(shape), next_(store.first), end_(store.first + store.count) {}

Result<std::unique_ptr<SharedPages>> SharedPages::Open(const std::string& folder, const wire::StoreReply& store) {
  Sweep(folder);
  std::string path = PathOf(folder, store.instance);
  Shape shape = ShapeOf(store.slots);
  auto fd = OpenLocked(path, shape, store);
  if (!fd.ok()) return fd.status();
  std::unique_ptr<SharedPages> shared(new SharedPages(path, fd.value(), store, shape));
  HAVEN_RETURN_IF_ERROR(shared->Map(store));
  return Result<std::unique_ptr<SharedPages>>(std::move(shared));
}

SharedPages::~SharedPages() {
  if (data_ != nullptr) munmap(data_, shape_.pages_at);
  if (pages_ != nullptr) munmap(const_cast<uint8_t*>(pages_), shape_.slots * kPageBytes);
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) Remove(fd_, path_);
  close(fd_);
}

/// Who is alone with a file makes it anew: what is in it is of processes that are gone.
Result<int> SharedPages::OpenLocked(const std::string& path, const Shape& shape, const wire::StoreReply& store) {
  for (int i = 0; i < kTries; i++) {
    int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return Status::FromErrno(errno, "cannot open " + path);
    Status made;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) made = Initialise(fd, shape, store);
    // Changing a lock may let it go for a moment, in which another process
    // removes the file, or makes it again, which nobody has used yet.
    bool locked = made.ok() && flock(fd, LOCK_SH | LOCK_NB) == 0;
    if (locked && HasItsName(fd, path)) return fd;
    close(fd);
    HAVEN_RETURN_IF_ERROR(made.With("cannot make " + path));
    if (!locked) SleepFor(kTryInterval);
  }
  return Status(StatusCode::kEnvironment, "another process holds " + path);
}

Status SharedPages::Initialise(int fd, const Shape& shape, const wire::StoreReply& store) {
  Header header = HeaderFor(store);
  if (ftruncate(fd, 0) != 0 || ftruncate(fd, static_cast<off_t>(shape.bytes)) != 0) {
    return Status::FromErrno(errno, "cannot size it");
  }
  // Writing through a mapping where there is no memory left would end the process.
  if (int error = posix_fallocate(fd, 0, static_cast<off_t>(shape.pages_at)); error != 0) {
    return Status::FromErrno(error, "no room");
  }
  if (pwrite(fd, &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header))) {
    return Status::FromErrno(errno, "cannot write it");
  }
  return Status::Ok();
}

Status SharedPages::Map(const wire::StoreReply& store) {
  struct stat st;
  Header found{}, wanted = HeaderFor(store);
  if (fstat(fd_, &st) != 0) return Status::FromErrno(errno, "cannot look at " + path_);
  bool ours = S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
  if (!ours) return {StatusCode::kInvalid, path_ + " is not a file of this user alone"};
  bool same = pread(fd_, &found, sizeof(found), 0) == static_cast<ssize_t>(sizeof(found)) &&
              memcmp(&found, &wanted, sizeof(found)) == 0 && static_cast<uint64_t>(st.st_size) == shape_.bytes;
  if (!same) return {StatusCode::kInvalid, path_ + " is not of this store, or of another version"};
  void* data = mmap(nullptr, shape_.pages_at, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED) return Status::FromErrno(errno, "cannot map " + path_);
  data_ = static_cast<uint8_t*>(data);
  void* pages =
      mmap(nullptr, shape_.slots * kPageBytes, PROT_READ, MAP_SHARED, fd_, static_cast<off_t>(shape_.pages_at));
  if (pages == MAP_FAILED) return Status::FromErrno(errno, "cannot map " + path_);
  pages_ = static_cast<const uint8_t*>(pages);
  return Status::Ok();
}

/// Files of processes that were killed.
void SharedPages::Sweep(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().filename().string().compare(0, strlen(kPrefix), kPrefix) != 0) continue;
    int fd = open(entry.path().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) continue;  // another user's
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) Remove(fd, entry.path());
    close(fd);
  }
}

std::optional<uint32_t> SharedPages::Find(uint64_t hash, const uint8_t* page) const {
  for (uint64_t probe = 0; probe < kProbes; probe++) {
    uint64_t entry = IndexAt(hash, probe).load(std::memory_order_acquire);
    if (entry == 0) return std::nullopt;
    auto slot = static_cast<uint32_t>(entry) - 1;
    if (entry >> 32 != hash >> 32 || slot >= shape_.slots) continue;
    if (StateAt(slot).load(std::memory_order_acquire) != kKnown) continue;
    if (memcmp(pages_ + uint64_t{slot} * kPageBytes, page, kPageBytes) == 0) return slot;
  }
  return std::nullopt;
}

std::optional<uint32_t> SharedPages::Publish(const uint8_t* page) {
  while (next_ < end_) {
    uint32_t slot = next_++;
    uint32_t empty = kEmpty;
    // A process whose session has ended may still be writing to a slot that was
    // its own before.
    if (!StateAt(slot).compare_exchange_strong(empty, kClaimed)) continue;
    // Not through the mapping: see Initialise().
    auto at = static_cast<off_t>(shape_.pages_at + uint64_t{slot} * kPageBytes);
    if (pwrite(fd_, page, kPageBytes, at) == static_cast<ssize_t>(kPageBytes)) return slot;
    next_ = end_;  // there is no memory left
  }
  return std::nullopt;
}

void SharedPages::MakeKnown(uint32_t slot, uint64_t hash) {
  StateAt(slot).store(kKnown, std::memory_order_release);
  for (uint64_t probe = 0; probe < kProbes; probe++) {
    uint64_t free = 0;
    if (IndexAt(hash, probe).compare_exchange_strong(free, Entry(hash, slot), std::memory_order_release)) return;
  }
  // Full hereabouts: nobody finds it, which is all that happens.
}

}  // namespace haven::memrep
