// SPDX-License-Identifier: GPL-2.0-or-later
// The physical limit of copying dirty pages: memcpy of N pages out of a guest's memory.
// usage: page_copy FILE     FILE is the guest's memory, shared with it
// Each line "N" on stdin is answered by the microseconds that copying N pages took; the
// pages are scattered over those of the guest that are not zero, and are other ones each
// time, so that they are as cold as the guest's own.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kStagingPages = 16384 };

static const uint8_t* memory;
static uint32_t* used;  // pages of the guest that hold something
static size_t used_count;
static uint8_t* staging;

static uint64_t Nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void FindUsedPages(size_t pages) {
  static const uint8_t zero[kPage];
  for (size_t page = 0; page < pages; page++) {
    if (memcmp(memory + page * kPage, zero, kPage) != 0) {
      used[used_count++] = (uint32_t)page;
    }
  }
}

static uint64_t Random(void) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

static double CopyMicroseconds(size_t count) {
  static uint32_t chosen[kStagingPages];
  for (size_t i = 0; i < count; i++) {
    chosen[i] = used[Random() % used_count];
  }
  uint64_t begin = Nanoseconds();
  for (size_t i = 0; i < count; i++) {
    memcpy(staging + i * kPage, memory + (size_t)chosen[i] * kPage, kPage);
  }
  return (double)(Nanoseconds() - begin) / 1000;
}

int main(int argc, char** argv) {
  struct stat status;
  int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
  if (fd < 0 || fstat(fd, &status) != 0 || status.st_size < kPage) {
    fprintf(stderr, "page_copy: give the file of the guest's memory\n");
    return 2;
  }
  size_t pages = (size_t)status.st_size / kPage;
  memory = mmap(NULL, pages * kPage, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  used = calloc(pages, sizeof *used);
  staging = malloc((size_t)kStagingPages * kPage);
  if (memory == MAP_FAILED || !used || !staging) {
    perror("page_copy");
    return 1;
  }
  memset(staging, 1, (size_t)kStagingPages * kPage);  // its pages exist, as the engine's do
  FindUsedPages(pages);
  char line[64];
  while (used_count && fgets(line, sizeof line, stdin)) {
    size_t count = strtoul(line, NULL, 10);
    printf("%.1f\n", CopyMicroseconds(count < kStagingPages ? count : kStagingPages));
    fflush(stdout);
  }
  return used_count ? 0 : 1;
}
