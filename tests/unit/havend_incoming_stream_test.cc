// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/incoming_stream.h"

#include <cstdio>
#include <string>

#include "core/epoch.h"

#include <CppUTest/TestHarness.h>

using haven::Bytes;
using haven::ByteSpan;
using haven::kPageBytes;
using haven::Result;
using haven::StatusCode;
using haven::havend::ComposeIncomingStream;

namespace {

/// Hexadecimal; more than 64 equal octets in a row as (OCTET*COUNT).
std::string Hex(ByteSpan bytes) {
  constexpr size_t kLongRun = 64;
  std::string text;
  for (size_t at = 0; at < bytes.size();) {
    size_t end = at;
    while (end < bytes.size() && bytes[end] == bytes[at]) end++;
    char octet[3];
    snprintf(octet, sizeof(octet), "%02x", bytes[at]);
    if (end - at > kLongRun) {
      text += std::string("(") + octet + "*" + std::to_string(end - at) + ")";
    } else {
      for (size_t i = at; i < end; i++) text += octet;
    }
    at = end;
  }
  return text;
}

Bytes FromHex(const std::string& text) {
  Bytes bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

/// Magic, version 3, one full section "rtc" with a footer, end.
const char kDeviceState[] =
    "5145564d"
    "00000003"
    "04"
    "00000005"
    "03727463"
    "00000000"
    "00000003"
    "aabb"
    "7e"
    "00000005"
    "00";

}  // namespace

TEST_GROUP(HavendIncomingStream){};

TEST(HavendIncomingStream, PutsTheConfigurationBeforeTheDevicesAndAnEmptyDescriptionAfter) {
  Result<Bytes> stream = ComposeIncomingStream("pc-i440fx-7.2", {}, FromHex(kDeviceState));
  CHECK_TRUE(stream.ok());
  STRCMP_EQUAL(
      "5145564d"
      "00000003"
      "07"
      "0000000d"
      "70632d693434306678"
      "2d372e32"
      "04"
      "00000005"
      "03727463"
      "00000000"
      "00000003"
      "aabb"
      "7e"
      "00000005"
      "00"
      "06"
      "00000000",
      Hex(stream.value()).c_str());
}

TEST(HavendIncomingStream, SendsMemoryAsASectionOfFormatFourInFrontOfTheDevices) {
  Bytes rom(2 * kPageBytes, 0);
  for (size_t i = 0; i < kPageBytes; i++) rom[i] = 0xc3;
  Bytes video(kPageBytes, 0);
  video[kPageBytes - 1] = 1;
  Result<Bytes> stream = ComposeIncomingStream(
      "pc", {{"pc.rom", rom.data(), rom.size()}, {"vga", video.data(), video.size()}}, FromHex(kDeviceState));
  CHECK_TRUE(stream.ok());
  STRCMP_EQUAL(
      "5145564d"
      "00000003"
      "07"
      "00000002"
      "7063"
      "04"
      "00000000"
      "0372616d"
      "00000000"
      "00000004"
      "0000000000003004"  // 12 KiB in all, MEM_SIZE
      "0670632e726f6d"
      "0000000000002000"
      "03766761"
      "0000000000001000"
      "0000000000000008"
      "0670632e726f6d"
      "(c3*4096)"  // PAGE, with the block's name
      "0000000000001022"
      "00"  // ZERO, CONTINUE
      "0000000000000008"
      "03766761"
      "(00*4095)01"
      "0000000000000010"  // end of section
      "7e"
      "00000000"
      "04"
      "00000005"
      "03727463"
      "00000000"
      "00000003"
      "aabb"
      "7e"
      "00000005"
      "00"
      "06"
      "00000000",
      Hex(stream.value()).c_str());
}

TEST(HavendIncomingStream, RefusesDeviceStateThatIsNoQemuStream) {
  for (const char* hex : {"", "5145564d", "5145564d00000003", "5145565d000000030400", "5145564d000000020400"}) {
    Result<Bytes> stream = ComposeIncomingStream("pc", {}, FromHex(hex));
    CHECK_FALSE(stream.ok());
    CHECK(stream.status().code() == StatusCode::kProtocol);
    STRCMP_EQUAL("the device state is no QEMU stream of version 3", stream.status().message().c_str());
  }
}

TEST(HavendIncomingStream, RefusesDeviceStateThatBeginsOrEndsInTheMiddle) {
  for (const char* hex : {"5145564d000000030200", "5145564d000000030401"}) {
    Result<Bytes> stream = ComposeIncomingStream("pc", {}, FromHex(hex));
    CHECK_FALSE(stream.ok());
    STRCMP_EQUAL("the device state is not made of whole device sections", stream.status().message().c_str());
  }
}

TEST(HavendIncomingStream, RefusesARegionThatIsNotMadeOfPages) {
  Bytes data(kPageBytes, 0);
  Result<Bytes> stream = ComposeIncomingStream("pc", {{"odd", data.data(), 100}}, FromHex(kDeviceState));
  CHECK_FALSE(stream.ok());
  STRCMP_EQUAL("memory region odd has a bad name or size", stream.status().message().c_str());
}
