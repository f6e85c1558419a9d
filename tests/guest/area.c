// SPDX-License-Identifier: GPL-2.0-or-later
// What a test does to a part of any disk of the guest, and files that come and go on
// disk0 with the file system's discards after them.

#include "kvd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { kChunk = 1 << 20, kBlock = 4096, kCluster = 2 << 20 };

typedef struct Area {
  int fd;
  uint64_t offset, bytes;
  uint64_t seed;    // of what is written; 0: zeros
  uint64_t *hash;   // of what is read
  uint8_t *buffer;  // kChunk octets, aligned
} Area;

static void FillBuffer(uint8_t *buffer, uint64_t seed) {
  uint64_t *words = (uint64_t *)buffer;
  for (unsigned i = 0; i < kChunk / sizeof *words; i++) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    words[i] = seed;  // never 0, but from 0
  }
}

static size_t Part(const Area *area, uint64_t done) {
  return area->bytes - done < kChunk ? (size_t)(area->bytes - done) : kChunk;
}

static bool Write(const Area *area) {
  for (uint64_t at = 0; at < area->bytes; at += kChunk) {
    size_t part = Part(area, at);
    FillBuffer(area->buffer, area->seed ? area->seed + at : 0);
    if (pwrite(area->fd, area->buffer, part, (off_t)(area->offset + at)) != (ssize_t)part) {
      return false;
    }
  }
  return fdatasync(area->fd) == 0;
}

static bool Read(const Area *area) {
  *area->hash = 0;
  for (uint64_t at = 0; at < area->bytes; at += kChunk) {
    size_t part = Part(area, at);
    if (pread(area->fd, area->buffer, part, (off_t)(area->offset + at)) != (ssize_t)part) {
      return false;
    }
    const uint64_t *words = (const uint64_t *)area->buffer;
    for (size_t i = 0; i < part / sizeof *words; i++) {
      *area->hash = (*area->hash ^ words[i]) * 0x9e3779b97f4a7c15u;
    }
  }
  return true;
}

static bool RangeControl(const Area *area, unsigned long request) {
  uint64_t range[2] = {area->offset, area->bytes};
  return ioctl(area->fd, request, range) == 0;
}

static bool Discard(const Area *area) { return RangeControl(area, BLKDISCARD); }

static bool Zero(const Area *area) { return RangeControl(area, BLKZEROOUT); }

// Zeroes, and the disk may deallocate.
static bool Punch(const Area *area) {
  return fallocate(area->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)area->offset, (off_t)area->bytes) == 0;
}

static void *WriteBuffer(void *argument) {
  const Area *area = argument;
  ssize_t bytes = (ssize_t)area->bytes;
  return pwrite(area->fd, area->buffer, area->bytes, (off_t)area->offset) == bytes ? NULL : argument;
}

// In each cluster, which is allocated but zero: its second half is written, and a moment
// later its first block is zeroed.
static bool Contend(const Area *area) {
  bool done = true;
  FillBuffer(area->buffer, area->seed);
  for (uint64_t at = 0; done && at < area->bytes; at += kCluster) {
    pthread_t writer;
    void *failed = NULL;
    Area cluster = *area, half = *area, block = *area;
    cluster.offset = block.offset = area->offset + at;
    cluster.bytes = kCluster;
    half.offset = cluster.offset + kCluster / 2;
    half.bytes = kCluster / 2;
    block.bytes = kBlock;
    done = Zero(&cluster) && pthread_create(&writer, NULL, WriteBuffer, &half) == 0;
    if (done) {
      usleep(at / kCluster % 8 * 300);
      done = Punch(&block);
      pthread_join(writer, &failed);
      done = done && !failed;
    }
  }
  return done;
}

static const struct {
  const char *name;
  bool (*run)(const Area *area);
} kOperations[] = {
    {"write", Write}, {"read", Read}, {"discard", Discard}, {"zero", Zero}, {"punch", Punch}, {"contend", Contend},
};

const char *AreaRun(const char *operation, const char *disk, uint64_t offset, uint64_t bytes, uint64_t seed,
                    uint64_t *hash) {
  const char *problem = "unknown operation";
  Area area = {.offset = offset, .bytes = bytes, .seed = seed, .hash = hash};
  area.fd = open(disk, O_RDWR | O_DIRECT);
  if (area.fd < 0) {
    return "there is no such disk";
  }
  area.buffer = aligned_alloc(kBlock, kChunk);
  for (size_t i = 0; area.buffer && i < sizeof kOperations / sizeof kOperations[0]; i++) {
    if (strcmp(operation, kOperations[i].name) == 0) {
      problem = kOperations[i].run(&area) ? NULL : strerror(errno);
    }
  }
  free(area.buffer);
  close(area.fd);
  return problem;
}

// Of 1 to 64 blocks each, so that the holes that it leaves have all sizes.
static bool WriteFile(const char *path, uint8_t *buffer, uint64_t seed) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0644);
  size_t bytes = (1 + seed % 64) * kBlock;
  FillBuffer(buffer, seed);
  bool done = fd >= 0 && write(fd, buffer, bytes) == (ssize_t)bytes && fsync(fd) == 0;
  if (fd >= 0) {
    close(fd);
  }
  return done;
}

static const char *TrimRound(const char *folder, uint8_t *buffer, uint64_t *random, uint64_t *trimmed) {
  char path[64];
  for (unsigned i = 0; i < 32; i++) {
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    snprintf(path, sizeof path, "%s/file%u", folder, (unsigned)(*random >> 59));
    if (*random >> 40 & 1) {
      unlink(path);
    } else if (!WriteFile(path, buffer, *random >> 20)) {
      return strerror(errno);
    }
  }
  struct fstrim_range range = {.len = UINT64_MAX};
  int fd = open(folder, O_RDONLY | O_DIRECTORY);
  const char *problem = fd < 0 || ioctl(fd, FITRIM, &range) != 0 ? strerror(errno) : NULL;
  *trimmed += range.len;
  if (fd >= 0) {
    close(fd);
  }
  return problem;
}

const char *AreaTrim(const char *folder, unsigned rounds, uint64_t *trimmed) {
  uint8_t *buffer = aligned_alloc(kBlock, kChunk);
  const char *problem = buffer ? NULL : "out of memory";
  uint64_t random = 1;
  *trimmed = 0;
  for (unsigned i = 0; i < rounds && !problem; i++) {
    problem = TrimRound(folder, buffer, &random, trimmed);
  }
  free(buffer);
  return problem;
}
