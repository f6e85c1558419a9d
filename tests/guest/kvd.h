// SPDX-License-Identifier: GPL-2.0-or-later
// kvd, the server in the test guest: what its parts offer each other.
//
// The program exists to notice when a guest was resumed from a state that does
// not belong together. It therefore keeps each fact twice (memory and disk) and
// chains every acknowledged operation to all earlier ones.
#ifndef HAVEN_TESTS_GUEST_KVD_H
#define HAVEN_TESTS_GUEST_KVD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// --- store.c: acknowledged operations, in memory and in a log on disk0 ---

enum { kMaxPayload = 4096 };

// Opens (or creates) the log and loads what it holds. False: the reason is on stderr.
bool StoreOpen(const char *path);

// Appends one operation: log + fsync, then memory. Returns NULL, or why not.
// `seq` has to be count + 1. On success *hash is the chain after this operation.
const char *StoreAppend(uint64_t seq, const uint8_t *payload, size_t bytes, uint64_t *hash);

uint64_t StoreCount(void);
// The chain after operation `seq` (0 = before the first); seq must be <= count.
uint64_t StoreHashAt(uint64_t seq);

// Reads the log back from the disk (page cache dropped) and compares each record
// with memory. NULL if both agree, else a sentence; any thread.
const char *StoreVerify(void);
// Closes the log; no StoreAppend after it.
void StoreClose(void);

uint32_t Crc32(const uint8_t *bytes, size_t count);

// --- load.c: memory and disk load that can be verified ---

typedef struct LoadSpec {
  unsigned memory_pages_per_second;
  unsigned memory_pages;         // working set
  unsigned disk_threads;         // 0 = none
  unsigned disk_ops_per_second;  // each thread
  unsigned chatter_per_second;   // datagrams of each kind
} LoadSpec;

// Sets the file or device of the disk load; it is overwritten from its start.
bool LoadOpenDisk(const char *path);
void LoadStart(const LoadSpec *spec);
// Ends all load; returns when each thread has finished its operation.
void LoadStop(void);
// With the load stopped: NULL if every page and block holds what was last put there.
const char *LoadVerifyMemory(void);
const char *LoadVerifyDisk(void);
uint64_t LoadMemoryWrites(void);
uint64_t LoadDiskOperations(void);

// --- skew.c: writes to many pages, most of them to few ---

// `pages` of 0 ends them. Returns NULL, or why not.
const char *SkewStart(unsigned pages, unsigned writes_per_second);
void SkewStop(void);
uint64_t SkewWrites(void);
// Stopped: NULL if each page holds what was last put there.
const char *SkewVerify(void);

// --- chatter.c: datagrams that show to the client which state sent them ---

bool ChatterOpen(const char *peer4, const char *peer6, const char *interface);
void ChatterStart(unsigned per_second);
void ChatterStop(void);
uint64_t ChatterSent(void);

// --- stall.c: the longest time that the guest did not run, seen from inside ---

void StallStart(void);
void StallReport(uint64_t *max_us, uint64_t *p99_us);
// [from_us, count] of each kind of stall since the last reset, joined by commas.
void StallHistogram(FILE *out);
// Looks every `period` microseconds from now on; 0: every 5000.
void StallReset(unsigned period);

// --- area.c: parts of any disk, and the discards of disk0's file system ---

// `operation` is write (zeros if `seed` is 0), read (gives *hash), discard, zero, or punch
// (zero, and the disk may deallocate). Returns NULL, or why not.
const char *AreaRun(const char *operation, const char *disk, uint64_t offset, uint64_t bytes, uint64_t seed,
                    uint64_t *hash);
// Each round writes and deletes files in the folder, then has all that is free discarded.
const char *AreaTrim(const char *folder, unsigned rounds, uint64_t *trimmed);

// --- shared ---

uint64_t NowMicroseconds(void);
// 64-bit FNV-1a, continued from `state`.
uint64_t HashBytes(uint64_t state, const void *bytes, size_t count);
// Sleeps so that a loop of `per_second` turns keeps its rate; *next holds its place.
void PaceLoop(uint64_t *next_us, unsigned per_second);

#endif
