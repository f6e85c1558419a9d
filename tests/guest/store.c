// SPDX-License-Identifier: GPL-2.0-or-later
// The acknowledged operations: a log on disk0 that is flushed before each reply,
// and the same records in memory, joined by a chained hash.

#include "kvd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct RecordHeader {
  uint64_t seq;
  uint64_t hash;  // the chain after this record
  uint32_t crc;
  uint32_t bytes;
} RecordHeader;

typedef struct Record {
  RecordHeader header;
  uint8_t *payload;
} Record;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *log_path;
static int log_fd = -1;
static Record *records;
static uint64_t count;
static uint64_t capacity;
static char error_text[256];

static const uint64_t kChainStart = 0xcbf29ce484222325u;

uint64_t HashBytes(uint64_t state, const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  for (size_t i = 0; i < size; i++) {
    state = (state ^ at[i]) * 0x100000001b3u;
  }
  return state;
}

uint32_t Crc32(const uint8_t *bytes, size_t size) {
  static uint32_t table[256];
  if (!table[1]) {
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++) {
        value = (value >> 1) ^ (value & 1 ? 0xedb88320u : 0);
      }
      table[i] = value;
    }
  }
  uint32_t crc = ~0u;
  for (size_t i = 0; i < size; i++) {
    crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}

static uint64_t Chain(uint64_t state, uint64_t seq, const uint8_t *payload, size_t bytes) {
  uint8_t prefix[16];
  for (int i = 0; i < 8; i++) {
    prefix[i] = (uint8_t)(state >> (8 * i));
    prefix[8 + i] = (uint8_t)(seq >> (8 * i));
  }
  return HashBytes(HashBytes(kChainStart, prefix, sizeof prefix), payload, bytes);
}

static bool Remember(const RecordHeader *header, const uint8_t *payload) {
  if (count == capacity) {
    uint64_t wanted = capacity ? capacity * 2 : 1024;
    Record *grown = realloc(records, wanted * sizeof *grown);
    if (!grown) {
      return false;
    }
    records = grown;
    capacity = wanted;
  }
  uint8_t *copy = malloc(header->bytes ? header->bytes : 1);
  if (!copy) {
    return false;
  }
  memcpy(copy, payload, header->bytes);
  records[count].header = *header;
  records[count].payload = copy;
  count++;
  return true;
}

// Reads the record at the position of `fd`. 1 = read, 0 = clean end, -1 = torn or wrong.
static int ReadRecord(int fd, RecordHeader *header, uint8_t *payload) {
  ssize_t got = read(fd, header, sizeof *header);
  if (got == 0) {
    return 0;
  }
  if (got != (ssize_t)sizeof *header || header->bytes > kMaxPayload ||
      read(fd, payload, header->bytes) != (ssize_t)header->bytes || Crc32(payload, header->bytes) != header->crc) {
    return -1;
  }
  return 1;
}

bool StoreOpen(const char *path) {
  static uint8_t payload[kMaxPayload];
  RecordHeader header;
  int got;
  log_path = path;
  log_fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0644);
  if (log_fd < 0) {
    fprintf(stderr, "kvd: cannot open %s: %s\n", path, strerror(errno));
    return false;
  }
  while ((got = ReadRecord(log_fd, &header, payload)) == 1) {
    if (!Remember(&header, payload)) {
      return false;
    }
  }
  if (got < 0) {
    fprintf(stderr, "kvd: %s is torn after %llu records\n", path, (unsigned long long)count);
  }
  return got == 0;
}

const char *StoreAppend(uint64_t seq, const uint8_t *payload, size_t bytes, uint64_t *hash) {
  static uint8_t buffer[sizeof(RecordHeader) + kMaxPayload];
  const char *problem = NULL;
  pthread_mutex_lock(&mutex);
  if (log_fd < 0) {
    problem = "the log is closed";
  } else if (seq != count + 1) {
    snprintf(error_text, sizeof error_text, "expected operation %llu, not %llu", (unsigned long long)(count + 1),
             (unsigned long long)seq);
    problem = error_text;
  } else {
    RecordHeader header = {.seq = seq,
                           .hash = Chain(StoreHashAt(count), seq, payload, bytes),
                           .crc = Crc32(payload, bytes),
                           .bytes = (uint32_t)bytes};
    memcpy(buffer, &header, sizeof header);
    memcpy(buffer + sizeof header, payload, bytes);
    ssize_t wanted = (ssize_t)(sizeof header + bytes);
    if (write(log_fd, buffer, (size_t)wanted) != wanted || fsync(log_fd) != 0) {
      snprintf(error_text, sizeof error_text, "cannot write the log: %s", strerror(errno));
      problem = error_text;
    } else if (!Remember(&header, payload)) {
      problem = "out of memory";
    } else {
      *hash = header.hash;
    }
  }
  pthread_mutex_unlock(&mutex);
  return problem;
}

uint64_t StoreCount(void) { return count; }

uint64_t StoreHashAt(uint64_t seq) { return seq ? records[seq - 1].header.hash : kChainStart; }

static void DropPageCache(void) {
  sync();
  int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd >= 0) {
    if (write(fd, "3\n", 2) != 2) {
      fprintf(stderr, "kvd: cannot drop the page cache\n");
    }
    close(fd);
  }
}

static const char *CompareWithMemory(int fd) {
  static uint8_t payload[kMaxPayload];
  uint64_t state = kChainStart;
  for (uint64_t i = 0; i < count; i++) {
    const Record *wanted = &records[i];
    RecordHeader header;
    int got = ReadRecord(fd, &header, payload);
    const char *what = NULL;
    state = Chain(state, i + 1, wanted->payload, wanted->header.bytes);
    if (state != wanted->header.hash || wanted->header.seq != i + 1) {
      what = "the chain in memory is broken";
    } else if (got != 1) {
      what = got ? "the record on disk is torn" : "the disk lacks a record that memory has";
    } else if (memcmp(&header, &wanted->header, sizeof header) != 0 ||
               memcmp(payload, wanted->payload, header.bytes) != 0) {
      what = "disk and memory differ";
    }
    if (what) {
      snprintf(error_text, sizeof error_text, "operation %llu: %s", (unsigned long long)(i + 1), what);
      return error_text;
    }
  }
  uint8_t more;
  return read(fd, &more, 1) == 0 ? NULL : "the disk has more records than memory";
}

const char *StoreVerify(void) {
  pthread_mutex_lock(&mutex);
  DropPageCache();
  int fd = open(log_path, O_RDONLY);
  const char *problem = fd < 0 ? "the log cannot be opened" : CompareWithMemory(fd);
  if (fd >= 0) {
    close(fd);
  }
  pthread_mutex_unlock(&mutex);
  return problem;
}

void StoreClose(void) {
  pthread_mutex_lock(&mutex);
  if (log_fd >= 0) {
    close(log_fd);
    log_fd = -1;
  }
  pthread_mutex_unlock(&mutex);
}
