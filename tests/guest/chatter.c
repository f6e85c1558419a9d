// SPDX-License-Identifier: GPL-2.0-or-later
// Datagrams and frames of several ethertypes, each with a counter that only grows in the
// guest's memory. A client that ever receives a counter twice, or a smaller one, has
// seen output of a state that did not survive.

#include "kvd.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kPort = 9999, kMostHead = 28 };

// A frame that does not come from the kernel's IP: what is in it before the text.
typedef struct Raw {
  uint16_t ethertype;
  uint8_t to[6];
  size_t head_bytes;
  uint8_t head[kMostHead];
} Raw;

static const Raw kRaw[] = {
    {0x88b5, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, {0}},  // IEEE 802 local experimental
    {0x88cc, {0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e}, 0, {0}},  // LLDP, to the nearest bridge
    // VLAN 7, and in it the other local experimental one.
    {0x8100, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 4, {0x00, 0x07, 0x88, 0xb6}},
    // ARP: who has 10.77.0.99? Nobody asks. The text is where Ethernet fills up short frames.
    {0x0806, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, kMostHead, {0, 1, 8, 0, 6, 4, 0, 1, [24] = 10, 77, 0, 99}},
};
enum { kRaws = sizeof kRaw / sizeof kRaw[0] };

static int socket4 = -1, socket6 = -1, socket_raw = -1, socket_icmp = -1;
static struct sockaddr_in to4;
static struct sockaddr_in6 to6;
static int interface_index;
static volatile uint64_t counter;
static volatile bool running;
static unsigned rate;
static pthread_t thread;

bool ChatterOpen(const char *peer4, const char *peer6, const char *interface) {
  to4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(kPort)};
  to6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(kPort)};
  interface_index = (int)if_nametoindex(interface);
  if (inet_pton(AF_INET, peer4, &to4.sin_addr) != 1 || inet_pton(AF_INET6, peer6, &to6.sin6_addr) != 1 ||
      interface_index == 0) {
    fprintf(stderr, "kvd: bad chatter target %s, %s on %s\n", peer4, peer6, interface);
    return false;
  }
  socket4 = socket(AF_INET, SOCK_DGRAM, 0);
  socket6 = socket(AF_INET6, SOCK_DGRAM, 0);
  socket_raw = socket(AF_PACKET, SOCK_DGRAM, 0);
  socket_icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  return socket4 >= 0 && socket6 >= 0 && socket_raw >= 0 && socket_icmp >= 0;
}

static void SendRaw(const Raw *raw, const char *text, size_t bytes) {
  struct sockaddr_ll to = {.sll_family = AF_PACKET,
                           .sll_protocol = htons(raw->ethertype),
                           .sll_ifindex = interface_index,
                           .sll_halen = sizeof raw->to};
  uint8_t frame[kMostHead + 64];
  memcpy(to.sll_addr, raw->to, sizeof raw->to);
  memcpy(frame, raw->head, raw->head_bytes);
  memcpy(frame + raw->head_bytes, text, bytes);
  sendto(socket_raw, frame, raw->head_bytes + bytes, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to);
}

static uint16_t Checksum(const void *bytes, size_t count) {
  const uint16_t *at = bytes;
  uint32_t sum = 0;
  for (; count > 1; count -= 2) {
    sum += *at++;
  }
  sum = (sum >> 16) + (sum & 0xffff);
  return (uint16_t) ~(sum + (sum >> 16));
}

static void Ping(uint64_t number) {
  struct {
    struct icmphdr header;
    uint64_t number;
  } packet = {.header = {.type = ICMP_ECHO}, .number = number};
  packet.header.un.echo.sequence = htons((uint16_t)number);
  packet.header.checksum = Checksum(&packet, sizeof packet);
  sendto(socket_icmp, &packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof to4);
  char answer[128];
  while (recv(socket_icmp, answer, sizeof answer, MSG_DONTWAIT) > 0) {
  }
}

static void *Chat(void *unused) {
  (void)unused;
  uint64_t next = NowMicroseconds();
  while (running) {
    char text[64];
    uint64_t number = ++counter;
    int bytes = snprintf(text, sizeof text, "chatter %llu %llu\n", (unsigned long long)number,
                         (unsigned long long)NowMicroseconds());
    // A full queue drops the datagram, as for any sender; the counter goes on.
    sendto(socket4, text, (size_t)bytes, MSG_DONTWAIT, (struct sockaddr *)&to4, sizeof to4);
    sendto(socket6, text, (size_t)bytes, MSG_DONTWAIT, (struct sockaddr *)&to6, sizeof to6);
    for (size_t i = 0; i < kRaws; i++) {
      SendRaw(&kRaw[i], text, (size_t)bytes);
    }
    Ping(number);
    PaceLoop(&next, rate);
  }
  return NULL;
}

void ChatterStart(unsigned per_second) {
  ChatterStop();
  if (per_second && socket4 >= 0) {
    rate = per_second;
    running = true;
    pthread_create(&thread, NULL, Chat, NULL);
  }
}

void ChatterStop(void) {
  if (running) {
    running = false;
    pthread_join(thread, NULL);
  }
}

uint64_t ChatterSent(void) { return counter; }
