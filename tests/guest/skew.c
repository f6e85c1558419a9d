// SPDX-License-Identifier: GPL-2.0-or-later
// Writes to many pages, most of them to few: a tenth of the pages gets nine tenths of the writes, the others share the
// rest. Each write puts a page's number of writes where that number says, so that what a page holds can be verified.

#include "kvd.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { kPage = 4096, kWords = kPage / 4, kBatchesPerSecond = 200 };

static volatile bool running;
static pthread_t thread;
static uint32_t (*pages)[kWords];
static uint32_t *writes;
static unsigned page_count, writes_per_second;
static volatile uint64_t done;

// Few, so that what pages hold, and what it costs to send them, soon stays the same.
static unsigned Place(uint32_t count) { return count % 4 * (kWords / 4); }

static void *WriteSkewed(void *unused) {
  (void)unused;
  const unsigned hot = page_count / 10, batch = writes_per_second / kBatchesPerSecond;
  uint64_t random = 88172645463325252u, next = NowMicroseconds();
  while (running) {
    for (unsigned i = 0; i < batch; i++) {
      random ^= random << 13;
      random ^= random >> 7;
      random ^= random << 17;
      const unsigned which = (unsigned)(random >> 32),
                     page = which % 10 ? (which / 10) % hot : hot + (which / 10) % (page_count - hot);
      const uint32_t count = ++writes[page];
      pages[page][Place(count)] = count;
    }
    done += batch;
    PaceLoop(&next, kBatchesPerSecond);
  }
  return NULL;
}

void SkewStop(void) {
  if (running) {
    running = false;
    pthread_join(thread, NULL);
  }
}

static void *Room(size_t bytes) {
  void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  return room == MAP_FAILED ? NULL : room;
}

const char *SkewStart(unsigned count, unsigned per_second) {
  SkewStop();
  if (count < 100 || per_second < kBatchesPerSecond) {
    return count == 0 ? NULL : "skew: 100 pages and 200 writes a second at least";
  }
  if (count != page_count) {
    if (pages) {
      munmap(pages, (size_t)page_count * kPage);
      munmap(writes, (size_t)page_count * sizeof *writes);
    }
    page_count = 0;
    pages = Room((size_t)count * kPage);
    writes = Room((size_t)count * sizeof *writes);
    if (!pages || !writes) {
      pages = NULL;
      return "skew: the guest has not so much memory";
    }
    page_count = count;
  }
  writes_per_second = per_second;
  running = true;
  return pthread_create(&thread, NULL, WriteSkewed, NULL) == 0 ? NULL : "skew: no thread";
}

uint64_t SkewWrites(void) { return done; }

const char *SkewVerify(void) {
  static char problem[128];
  for (unsigned i = 0; i < page_count; i++) {
    const uint32_t there = pages[i][Place(writes[i])];
    if (writes[i] != 0 && there != writes[i]) {
      snprintf(problem, sizeof problem, "skew: page %u holds write %u, %u were made", i, there, writes[i]);
      return problem;
    }
  }
  return NULL;
}
