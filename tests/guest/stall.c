// SPDX-License-Identifier: GPL-2.0-or-later
// A thread that sleeps for a short fixed time again and again and records how much
// later than asked it woke up.

#include "kvd.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

enum { kPeriodUs = 5000, kBucketUs = 500, kBuckets = 20000 };

static _Atomic unsigned period_us = kPeriodUs;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint32_t histogram[kBuckets];
static uint64_t samples;
static uint64_t longest_us;

uint64_t NowMicroseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void PaceLoop(uint64_t *next_us, unsigned per_second) {
  uint64_t now = NowMicroseconds();
  *next_us += 1000000u / per_second;
  if (*next_us + 1000000u < now) {
    *next_us = now;  // a long stop is not made up for by a burst
  }
  if (*next_us > now) {
    uint64_t wait = *next_us - now;
    struct timespec pause = {.tv_sec = (time_t)(wait / 1000000u), .tv_nsec = (long)(wait % 1000000u) * 1000};
    nanosleep(&pause, NULL);
  }
}

static void *Sample(void *unused) {
  (void)unused;
  // Before all others, so that it sees what stops the machine, not what is busy in it.
  struct sched_param priority = {.sched_priority = 50};
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
  for (;;) {
    unsigned period = period_us;
    uint64_t before = NowMicroseconds();
    struct timespec pause = {.tv_nsec = (long)period * 1000};
    nanosleep(&pause, NULL);
    uint64_t took = NowMicroseconds() - before;
    uint64_t gap = took > period ? took - period : 0;
    pthread_mutex_lock(&mutex);
    histogram[gap / kBucketUs < kBuckets ? gap / kBucketUs : kBuckets - 1]++;
    samples++;
    longest_us = gap > longest_us ? gap : longest_us;
    pthread_mutex_unlock(&mutex);
  }
  return NULL;
}

void StallStart(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, Sample, NULL);
}

void StallReport(uint64_t *max_us, uint64_t *p99_us) {
  pthread_mutex_lock(&mutex);
  uint64_t seen = 0;
  *max_us = longest_us;
  *p99_us = 0;
  for (unsigned i = 0; i < kBuckets && seen * 100 < samples * 99; i++) {
    seen += histogram[i];
    *p99_us = (uint64_t)(i + 1) * kBucketUs;
  }
  pthread_mutex_unlock(&mutex);
}

void StallHistogram(FILE *out) {
  pthread_mutex_lock(&mutex);
  const char *before = "";
  for (unsigned i = 0; i < kBuckets; i++) {
    if (histogram[i]) {
      fprintf(out, "%s[%u,%u]", before, i * kBucketUs, histogram[i]);
      before = ",";
    }
  }
  pthread_mutex_unlock(&mutex);
}

void StallReset(unsigned period) {
  period_us = period ? period : kPeriodUs;
  pthread_mutex_lock(&mutex);
  memset(histogram, 0, sizeof histogram);
  samples = 0;
  longest_us = 0;
  pthread_mutex_unlock(&mutex);
}
