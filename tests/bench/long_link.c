// SPDX-License-Identifier: GPL-2.0-or-later
// A link that is as long as is wanted, where the kernel has no netem: two taps, one in each of two network name spaces,
// and whatever enters one comes out of the other some time later.
// usage: long_link NETNS DEVICE NETNS DEVICE MICROSECONDS     the time is that of one way
// Prints "ready" when both devices are there. Ends when stdin does.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { kMaxFrame = 65536 + 64, kMaxWaiting = 20000 };

typedef struct Frame {
  struct Frame* next;
  uint64_t due;  // nanoseconds
  size_t bytes;
  uint8_t data[];
} Frame;

// One direction: what has entered `from` and waits to come out of the other end.
typedef struct Way {
  int from, to;
  Frame *first, **last;
  unsigned waiting;
} Way;

static uint64_t Nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void Die(const char* what) {
  fprintf(stderr, "long_link: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int OpenTap(const char* netns, const char* device) {
  char path[4096];
  snprintf(path, sizeof(path), "/var/run/netns/%s", netns);
  int space = open(path, O_RDONLY | O_CLOEXEC);
  if (space < 0 || setns(space, CLONE_NEWNET) != 0) Die(path);
  close(space);
  int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tap < 0) Die("/dev/net/tun");
  struct ifreq wanted = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  snprintf(wanted.ifr_name, sizeof(wanted.ifr_name), "%s", device);
  if (ioctl(tap, TUNSETIFF, &wanted) != 0) Die(device);
  return tap;
}

static void TakeIn(Way* way, uint64_t delay) {
  static uint8_t buffer[kMaxFrame];
  while (way->waiting < kMaxWaiting) {
    ssize_t got = read(way->from, buffer, sizeof(buffer));
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) Die("reading a tap");
    Frame* frame = malloc(sizeof(*frame) + (size_t)got);
    if (!frame) Die("memory");
    *frame = (Frame){NULL, Nanoseconds() + delay, (size_t)got};
    memcpy(frame->data, buffer, (size_t)got);
    *way->last = frame;
    way->last = &frame->next;
    way->waiting++;
  }
}

// Returns when the next frame is due; UINT64_MAX: there is none.
static uint64_t LetOut(Way* way) {
  while (way->first && way->first->due <= Nanoseconds()) {
    Frame* frame = way->first;
    // A device that is down loses it, as a cable does.
    if (write(way->to, frame->data, frame->bytes) < 0 && errno == EAGAIN) return Nanoseconds() + 100000;
    way->first = frame->next;
    if (!way->first) way->last = &way->first;
    way->waiting--;
    free(frame);
  }
  return way->first ? way->first->due : UINT64_MAX;
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: long_link NETNS DEVICE NETNS DEVICE MICROSECONDS\n");
    return 2;
  }
  int a = OpenTap(argv[1], argv[2]), b = OpenTap(argv[3], argv[4]);
  uint64_t delay = strtoull(argv[5], NULL, 10) * 1000;
  Way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
  for (int i = 0; i < 2; i++) ways[i].last = &ways[i].first;
  puts("ready");
  fflush(stdout);
  while (1) {
    uint64_t first = LetOut(&ways[0]), second = LetOut(&ways[1]);
    uint64_t due = first < second ? first : second, now = Nanoseconds();
    struct pollfd wait[3] = {{.fd = a, .events = ways[0].waiting < kMaxWaiting ? POLLIN : 0},
                             {.fd = b, .events = ways[1].waiting < kMaxWaiting ? POLLIN : 0},
                             {.fd = STDIN_FILENO, .events = POLLIN}};
    uint64_t left = due == UINT64_MAX ? 1000000000 : due > now ? due - now : 0;
    struct timespec limit = {(time_t)(left / 1000000000), (long)(left % 1000000000)};
    if (ppoll(wait, 3, &limit, NULL) < 0 && errno != EINTR) Die("poll");
    char end;
    if (wait[2].revents && read(STDIN_FILENO, &end, 1) <= 0) return 0;
    for (int i = 0; i < 2; i++) {
      if (wait[i].revents) TakeIn(&ways[i], delay);
    }
  }
}
