// SPDX-License-Identifier: GPL-2.0-or-later
// kvd: the server in the test guest. Two TCP ports:
//   7000 data     "P SEQ CRC32 HEXPAYLOAD"  ->  "R SEQ HASH COUNT" after fsync
//                 anything wrong            ->  "E reason"
//   7001 control  one command a line, one JSON object a line back (see kCommands)
// Usage: kvd LOG DISK1 PEER4 PEER6 INTERFACE

#include "kvd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { kDataPort = 7000, kControlPort = 7001, kLine = 2 * kMaxPayload + 128 };

typedef void LineHandler(char *line, FILE *out);

typedef struct Connection {
  int fd;
  LineHandler *handle;
} Connection;

static int HexDigit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// Returns the number of bytes, or -1.
static int DecodeHex(const char *text, uint8_t *bytes) {
  int count = 0;
  for (; HexDigit(text[0]) >= 0 && HexDigit(text[1]) >= 0 && count < kMaxPayload; text += 2) {
    bytes[count++] = (uint8_t)(HexDigit(text[0]) << 4 | HexDigit(text[1]));
  }
  return *text == '\0' ? count : -1;
}

static void HandleData(char *line, FILE *out) {
  unsigned long long seq;
  unsigned crc;
  int at = 0;
  uint8_t payload[kMaxPayload];
  uint64_t hash = 0;
  if (sscanf(line, "P %llu %x %n", &seq, &crc, &at) != 2 || at == 0) {
    fprintf(out, "E not a request\n");
    return;
  }
  int bytes = DecodeHex(line + at, payload);
  if (bytes < 0 || Crc32(payload, (size_t)bytes) != crc) {
    fprintf(out, "E the payload of %llu is damaged\n", seq);
    return;
  }
  const char *problem = StoreAppend(seq, payload, (size_t)bytes, &hash);
  if (problem) {
    fprintf(out, "E %s\n", problem);
  } else {
    fprintf(out, "R %llu %016llx %llu\n", seq, (unsigned long long)hash, seq);
  }
}

static void Answer(FILE *out, const char *problem) {
  if (problem) {
    fprintf(out, "{\"ok\":false,\"error\":\"%s\"}\n", problem);
  } else {
    fprintf(out, "{\"ok\":true}\n");
  }
}

// The kernel's name of this boot: another one after each.
static void BootId(char id[static 40]) {
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");
  id[0] = '\0';
  if (file) {
    if (fgets(id, 40, file)) {
      id[strcspn(id, "\n")] = '\0';
    }
    fclose(file);
  }
}

static void Status(const char *arguments, FILE *out) {
  (void)arguments;
  char boot_id[40];
  BootId(boot_id);
  uint64_t max_us, p99_us, count = StoreCount();
  StallReport(&max_us, &p99_us);
  fprintf(out,
          "{\"ok\":true,\"count\":%llu,\"hash\":\"%016llx\",\"stall_max_us\":%llu,"
          "\"stall_p99_us\":%llu,\"memory_writes\":%llu,\"disk_operations\":%llu,"
          "\"chatter\":%llu,\"skew_writes\":%llu,\"boot_id\":\"%s\"}\n",
          (unsigned long long)count, (unsigned long long)StoreHashAt(count), (unsigned long long)max_us,
          (unsigned long long)p99_us, (unsigned long long)LoadMemoryWrites(), (unsigned long long)LoadDiskOperations(),
          (unsigned long long)ChatterSent(), (unsigned long long)SkewWrites(), boot_id);
}

static void HashAt(const char *arguments, FILE *out) {
  unsigned long long seq = strtoull(arguments, NULL, 10);
  if (seq > StoreCount()) {
    Answer(out, "there is no such operation");
  } else {
    fprintf(out, "{\"ok\":true,\"hash\":\"%016llx\"}\n", (unsigned long long)StoreHashAt(seq));
  }
}

static void Load(const char *arguments, FILE *out) {
  LoadSpec spec = {0};
  if (sscanf(arguments, "%u %u %u %u %u", &spec.memory_pages_per_second, &spec.memory_pages, &spec.disk_threads,
             &spec.disk_ops_per_second, &spec.chatter_per_second) != 5) {
    Answer(out, "load: five numbers are needed");
    return;
  }
  LoadStart(&spec);
  Answer(out, NULL);
}

static void Skew(const char *arguments, FILE *out) {
  unsigned pages = 0, per_second = 0;
  if (sscanf(arguments, "%u %u", &pages, &per_second) < 1) {
    Answer(out, "skew: pages and writes a second are needed");
    return;
  }
  Answer(out, SkewStart(pages, per_second));
}

static void Verify(const char *arguments, FILE *out) {
  (void)arguments;
  LoadStop();
  SkewStop();
  const char *names[] = {"log", "memory", "disk1"};
  const char *problems[] = {StoreVerify(), NULL, NULL};
  char kept[256] = "";
  if (problems[0]) {
    snprintf(kept, sizeof kept, "%s", problems[0]);
    problems[0] = kept;
  }
  problems[1] = LoadVerifyMemory();
  if (!problems[1]) {
    problems[1] = SkewVerify();
  }
  problems[2] = problems[1] ? NULL : LoadVerifyDisk();
  bool ok = !problems[0] && !problems[1] && !problems[2];
  fprintf(out, "{\"ok\":%s,\"count\":%llu", ok ? "true" : "false", (unsigned long long)StoreCount());
  for (int i = 0; i < 3; i++) {
    fprintf(out, ",\"%s\":\"%s\"", names[i], problems[i] ? problems[i] : "ok");
  }
  fprintf(out, "}\n");
}

static void Stalls(const char *arguments, FILE *out) {
  fprintf(out, "{\"ok\":true,\"stalls\":[");
  StallHistogram(out);
  fprintf(out, "]}\n");
  StallReset((unsigned)strtoul(arguments, NULL, 10));
}

static void Disk(const char *arguments, FILE *out) {
  char operation[16], disk[32];
  unsigned long long offset, bytes, seed = 0;
  uint64_t hash = 0;
  if (sscanf(arguments, "%15s %31s %llu %llu %llu", operation, disk, &offset, &bytes, &seed) < 4) {
    Answer(out, "disk: an operation, a disk, an offset and a length are needed");
    return;
  }
  const char *problem = AreaRun(operation, disk, offset, bytes, seed, &hash);
  if (problem) {
    Answer(out, problem);
  } else {
    fprintf(out, "{\"ok\":true,\"hash\":\"%016llx\"}\n", (unsigned long long)hash);
  }
}

static void Trim(const char *arguments, FILE *out) {
  uint64_t trimmed;
  const char *problem = AreaTrim("/data", (unsigned)strtoul(arguments, NULL, 10), &trimmed);
  if (problem) {
    Answer(out, problem);
  } else {
    fprintf(out, "{\"ok\":true,\"trimmed\":%llu}\n", (unsigned long long)trimmed);
  }
}

// Leaves disk0 in the state in which a file system check must find nothing.
static void Finish(const char *arguments, FILE *out) {
  (void)arguments;
  LoadStop();
  StoreClose();
  sync();
  Answer(out, umount("/data") == 0 ? NULL : strerror(errno));
}

static void End(FILE *out, int how) {
  Answer(out, NULL);
  fflush(out);
  sync();
  // The client closes when it has the answer; a guest that is gone could not send it again.
  struct timeval patience = {.tv_sec = 10};
  char rest;
  setsockopt(fileno(out), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  while (recv(fileno(out), &rest, 1, 0) > 0) {
  }
  reboot(how);
}

static void PowerOff(const char *arguments, FILE *out) {
  (void)arguments;
  End(out, RB_POWER_OFF);
}

// What the log holds is there again afterwards; connections are not.
static void Reboot(const char *arguments, FILE *out) {
  (void)arguments;
  End(out, RB_AUTOBOOT);
}

static const struct {
  const char *name;
  void (*run)(const char *arguments, FILE *out);
} kCommands[] = {
    {"status", Status},     {"hash", HashAt},   {"load", Load}, {"verify", Verify},
    {"stalls", Stalls},     {"finish", Finish}, {"disk", Disk}, {"trim", Trim},
    {"poweroff", PowerOff}, {"reboot", Reboot}, {"skew", Skew},
};

static void HandleControl(char *line, FILE *out) {
  char *arguments = strchr(line, ' ');
  if (arguments) {
    *arguments++ = '\0';
  }
  for (size_t i = 0; i < sizeof kCommands / sizeof kCommands[0]; i++) {
    if (strcmp(line, kCommands[i].name) == 0) {
      kCommands[i].run(arguments ? arguments : "", out);
      return;
    }
  }
  Answer(out, "unknown command");
}

static void *Serve(void *argument) {
  Connection *connection = argument;
  FILE *in = fdopen(connection->fd, "r");
  FILE *out = fdopen(dup(connection->fd), "w");
  char *line = malloc(kLine);
  while (in && out && line && fgets(line, kLine, in)) {
    line[strcspn(line, "\r\n")] = '\0';
    connection->handle(line, out);
    if (fflush(out) != 0) {
      break;
    }
  }
  free(line);
  if (in) {
    fclose(in);
  }
  if (out) {
    fclose(out);
  }
  free(connection);
  return NULL;
}

static int Listen(uint16_t port) {
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0) {
    fprintf(stderr, "kvd: cannot listen on port %u: %s\n", port, strerror(errno));
    exit(1);
  }
  return fd;
}

static void AcceptLoop(int listener, LineHandler *handle) {
  for (;;) {
    Connection *connection = malloc(sizeof *connection);
    int one = 1;
    pthread_t thread;
    connection->fd = accept(listener, NULL, NULL);
    connection->handle = handle;
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connection->fd < 0 || pthread_create(&thread, NULL, Serve, connection) != 0) {
      free(connection);
      continue;
    }
    pthread_detach(thread);
  }
}

static void *ServeControl(void *unused) {
  (void)unused;
  AcceptLoop(Listen(kControlPort), HandleControl);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: kvd LOG DISK1 PEER4 PEER6 INTERFACE\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  if (!StoreOpen(argv[1]) || !ChatterOpen(argv[3], argv[4], argv[5])) {
    return 1;
  }
  LoadOpenDisk(argv[2]);  // a guest without disk1 serves without disk load
  StallStart();
  pthread_t control;
  pthread_create(&control, NULL, ServeControl, NULL);
  int listener = Listen(kDataPort);
  printf("kvd ready\n");
  fflush(stdout);
  AcceptLoop(listener, HandleData);
}
