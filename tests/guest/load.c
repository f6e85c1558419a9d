// SPDX-License-Identifier: GPL-2.0-or-later
// Load on memory and on disk1 whose result is known: each page and each block
// holds a pattern made of its place and a generation, and tables remember the last
// generation put there. After a failover tables, pages and blocks must still agree.

#include "kvd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  kPage = 4096,
  kWords = kPage / 8,
  kMaxThreads = 4,
  kZoneBlocks = 1024,  // each thread has 4 MiB of the disk to itself
  kMaxRun = 16,        // blocks in one request
};

// What a block holds. Generations only grow, so that stale content never looks right.
typedef struct Block {
  uint32_t generation;  // of the last pattern written
  bool zero;            // was cleared after that
  bool discarded;       // then zeroes are right as well
} Block;

static volatile bool running;
static LoadSpec load;
static pthread_t memory_thread;
static pthread_t disk_thread[kMaxThreads];
static uint64_t (*pages)[kWords];
static uint32_t *page_generation;
static unsigned page_count;
static volatile uint64_t memory_writes;
static volatile uint64_t disk_operations;
static int disk_fd = -1;
static Block blocks[kMaxThreads][kZoneBlocks];
static bool zone_used[kMaxThreads];
static char error_text[256];

static uint64_t Mix(uint64_t place, uint64_t generation, uint64_t word) {
  uint64_t value = (place << 32 ^ generation) * 0x9e3779b97f4a7c15u + word;
  return (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9u;
}

static void Fill(uint64_t *page, uint64_t place, uint64_t generation) {
  for (unsigned i = 0; i < kWords; i++) {
    page[i] = generation ? Mix(place, generation, i) : 0;
  }
}

static bool Holds(const uint64_t *page, uint64_t place, uint64_t generation) {
  for (unsigned i = 0; i < kWords; i++) {
    if (page[i] != (generation ? Mix(place, generation, i) : 0)) {
      return false;
    }
  }
  return true;
}

static void *DirtyMemory(void *unused) {
  (void)unused;
  const unsigned batch = load.memory_pages_per_second > 100 ? load.memory_pages_per_second / 50 : 1;
  uint64_t next = NowMicroseconds();
  unsigned at = 0;
  while (running) {
    for (unsigned i = 0; i < batch; i++, at = (at + 1) % page_count) {
      Fill(pages[at], at, ++page_generation[at]);
      memory_writes++;
    }
    PaceLoop(&next, (load.memory_pages_per_second + batch - 1) / batch);
  }
  return NULL;
}

static void Complain(const char *what, unsigned zone, unsigned block) {
  snprintf(error_text, sizeof error_text, "disk1 block %u: %s (%s)", zone * kZoneBlocks + block, what, strerror(errno));
  fprintf(stderr, "kvd: %s\n", error_text);
}

static const char *CheckBlocks(uint64_t (*buffer)[kWords], unsigned zone, unsigned first, unsigned run) {
  off_t offset = ((off_t)zone * kZoneBlocks + first) * kPage;
  if (pread(disk_fd, buffer, (size_t)run * kPage, offset) != (ssize_t)run * kPage) {
    Complain("cannot be read", zone, first);
    return error_text;
  }
  for (unsigned i = 0; i < run; i++) {
    const Block *wanted = &blocks[zone][first + i];
    unsigned place = zone * kZoneBlocks + first + i;
    bool right = Holds(buffer[i], place, wanted->zero ? 0 : wanted->generation) ||
                 (wanted->discarded && Holds(buffer[i], place, 0));
    if (!right) {
      snprintf(error_text, sizeof error_text,
               "disk1 block %u does not hold generation %u%s%s that memory says it has (begins "
               "%016llx)",
               place, wanted->generation, wanted->zero ? " (cleared)" : "", wanted->discarded ? " (discarded)" : "",
               (unsigned long long)buffer[i][0]);
      return error_text;
    }
  }
  return NULL;
}

static bool WriteBlocks(uint64_t (*buffer)[kWords], unsigned zone, unsigned first, unsigned run) {
  off_t offset = ((off_t)zone * kZoneBlocks + first) * kPage;
  for (unsigned i = 0; i < run; i++) {
    Block *block = &blocks[zone][first + i];
    block->generation++;
    Fill(buffer[i], zone * kZoneBlocks + first + i, block->generation);
  }
  bool done = pwrite(disk_fd, buffer, (size_t)run * kPage, offset) == (ssize_t)run * kPage;
  for (unsigned i = 0; i < run; i++) {
    blocks[zone][first + i].discarded = false;
    blocks[zone][first + i].zero = false;
  }
  return done;
}

static bool ClearBlocks(unsigned zone, unsigned first, unsigned run, bool discard) {
  uint64_t range[2] = {((uint64_t)zone * kZoneBlocks + first) * kPage, (uint64_t)run * kPage};
  if (ioctl(disk_fd, discard ? BLKDISCARD : BLKZEROOUT, range) != 0) {
    return discard && errno == EOPNOTSUPP;
  }
  for (unsigned i = 0; i < run; i++) {
    Block *block = &blocks[zone][first + i];
    block->discarded = block->discarded || discard;
    if (!discard) {
      block->zero = true;
      block->discarded = false;
    }
  }
  return true;
}

static const char *disk_problem;

static void *WriteDisk(void *argument) {
  const unsigned zone = (unsigned)(uintptr_t)argument;
  uint64_t(*buffer)[kWords] = aligned_alloc(kPage, kMaxRun * kPage);
  uint64_t random = 88172645463325252u + zone;
  uint64_t next = NowMicroseconds();
  while (running && buffer && !disk_problem) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    unsigned run = 1 + (unsigned)(random >> 8) % kMaxRun;
    unsigned first = (unsigned)(random >> 20) % (kZoneBlocks - run);
    unsigned kind = (unsigned)(random >> 44) % 100;
    bool done = true;
    if (kind < 10) {
      disk_problem = CheckBlocks(buffer, zone, first, run);
    } else if (kind < 18) {
      done = ClearBlocks(zone, first, run, false);
    } else if (kind < 22) {
      done = ClearBlocks(zone, first, run, true);
    } else if (kind < 26) {
      done = fdatasync(disk_fd) == 0;
    } else {
      done = WriteBlocks(buffer, zone, first, run);
    }
    if (!done) {
      Complain("operation failed", zone, first);
      disk_problem = error_text;
    }
    __atomic_add_fetch(&disk_operations, 1, __ATOMIC_RELAXED);
    PaceLoop(&next, load.disk_ops_per_second);
  }
  free(buffer);
  return NULL;
}

bool LoadOpenDisk(const char *path) {
  struct stat status;
  disk_fd = open(path, O_RDWR | O_DIRECT);
  if (disk_fd < 0 || fstat(disk_fd, &status) != 0) {
    fprintf(stderr, "kvd: no disk load, cannot open %s: %s\n", path, strerror(errno));
    return false;
  }
  return true;
}

static void PreparePages(unsigned wanted) {
  if (pages || !wanted) {
    return;  // the working set stays what the first load made it
  }
  pages = aligned_alloc(kPage, (size_t)wanted * kPage);
  page_generation = calloc(wanted, sizeof *page_generation);
  page_count = pages && page_generation ? wanted : 0;
  for (unsigned i = 0; i < page_count; i++) {
    Fill(pages[i], i, 0);
  }
}

void LoadStart(const LoadSpec *spec) {
  LoadStop();
  load = *spec;
  load.disk_threads = load.disk_threads < kMaxThreads ? load.disk_threads : kMaxThreads;
  load.disk_threads = disk_fd >= 0 && load.disk_ops_per_second ? load.disk_threads : 0;
  PreparePages(load.memory_pages);
  if (!page_count) {
    load.memory_pages_per_second = 0;
  }
  running = true;
  if (load.memory_pages_per_second) {
    pthread_create(&memory_thread, NULL, DirtyMemory, NULL);
  }
  for (unsigned i = 0; i < load.disk_threads; i++) {
    if (!zone_used[i]) {
      zone_used[i] = ClearBlocks(i, 0, kZoneBlocks, false);
    }
    pthread_create(&disk_thread[i], NULL, WriteDisk, (void *)(uintptr_t)i);
  }
  ChatterStart(load.chatter_per_second);
}

void LoadStop(void) {
  if (!running) {
    return;
  }
  running = false;
  if (load.memory_pages_per_second) {
    pthread_join(memory_thread, NULL);
  }
  for (unsigned i = 0; i < load.disk_threads; i++) {
    pthread_join(disk_thread[i], NULL);
  }
  ChatterStop();
}

const char *LoadVerifyMemory(void) {
  for (unsigned i = 0; i < page_count; i++) {
    if (!Holds(pages[i], i, page_generation[i])) {
      snprintf(error_text, sizeof error_text, "memory page %u does not hold generation %u", i, page_generation[i]);
      return error_text;
    }
  }
  return NULL;
}

const char *LoadVerifyDisk(void) {
  const char *problem = disk_problem;
  uint64_t(*buffer)[kWords] = aligned_alloc(kPage, kMaxRun * kPage);
  for (unsigned zone = 0; zone < kMaxThreads && buffer && !problem; zone++) {
    for (unsigned at = 0; zone_used[zone] && at < kZoneBlocks && !problem; at += kMaxRun) {
      problem = CheckBlocks(buffer, zone, at, kMaxRun);
    }
  }
  free(buffer);
  return buffer ? problem : "out of memory";
}

uint64_t LoadMemoryWrites(void) { return memory_writes; }

uint64_t LoadDiskOperations(void) { return disk_operations; }
