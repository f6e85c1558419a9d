// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/libxl_stream.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <unistd.h>

#include "core/epoch.h"
#include "tests/unit/xen_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::havend;
using namespace haven::xen;

namespace {

/// Where Debian's xen-utils-4.17 puts it; HAVEN_VERIFY_STREAM names another.
std::string VerifyStream() {
  const char* named = getenv("HAVEN_VERIFY_STREAM");
  return named != nullptr ? named : "/usr/lib/xen-4.17/bin/verify-stream-v2";
}

}  // namespace

TEST_GROUP(LibxlStream){};

TEST(LibxlStream, BeginsWithTheHeaderOfXl) {
  Bytes out;
  AppendXlHeader("{}", out);
  STRCMP_EQUAL(
      "58656e20736176656420646f6d61696e2c20786c20666f726d61740a2000200d"
      "04030201"
      "03000000"
      "00000000"
      "07000000"
      "03000000"
      "7b7d00",
      Hex(out).c_str());
}

TEST(LibxlStream, HasOneHeadWithThePolicies) {
  DomainState s = SampleState();
  Bytes out;
  AppendStreamHead(s, out);
  STRCMP_EQUAL(
      "4c6962786c466d740000000200000000"  // libxl header, big-endian
      "0100000000000000"                  // LIBXC_CONTEXT
      "ffffffffffffffff58454e46000000030000000000000000"
      "020000000c0000000400000011000000"  // x86 HVM from Xen 4.17
      "1100000018000000"
      "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"
      "1200000010000000"
      "d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2"
      "1000000000000000",
      Hex(out).c_str());
}

TEST(LibxlStream, AnnouncesPagesWithTheLengthThatFollows) {
  uint64_t frames[] = {0, 0xfeffc};
  Bytes out;
  AppendPageDataHead(frames, out);
  STRCMP_EQUAL(
      "01000000"
      "18200000"
      "0200000000000000"
      "0000000000000000"
      "fcef0f0000000000",
      Hex(out).c_str());
}

TEST(LibxlStream, EndsAnEpochWithACheckpoint) {
  Bytes out;
  AppendCheckpoint(SampleState(), out);
  STRCMP_EQUAL(
      "0800000018000000"
      "0200000080841e00887766554433221103000000"
      "00000000"
      "0900000003000000"
      "a0a1a20000000000"
      "0a00000028000000"
      "0200000000000000"
      "0100000000000000fcef0f0000000000"
      "1100000000000000ffef0f0000000000"
      "0e00000000000000"  // CHECKPOINT
      "030000000f000000"
      "0200000000000000"  // QEMU upstream, index 0
      "5145564d01020300"
      "0400000000000000",  // CHECKPOINT_END
      Hex(out).c_str());
}

TEST(LibxlStream, EndsWithAnEndRecordOfLibxc) {
  Bytes out;
  AppendStreamEnd(out);
  STRCMP_EQUAL("0000000000000000", Hex(out).c_str());
}

/// What the stand-in for a stock xl makes of the first `bytes` octets: the
/// state of the device model that it resumes with, empty when it does not.
std::string ResumedFrom(const TestFolder& folder, const Bytes& stream, size_t bytes) {
  const char* source = getenv("srcdir");
  const std::string file = folder / "stream";
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(stream.data()), static_cast<std::streamsize>(bytes));
  std::string command = "mkdir -p " + (folder / "domains") + "; rm -f " + (folder / "restored.json") +
                        "; FAKE_XL_STOCK=1 FAKE_XL=" + folder.path() + " python3 " +
                        (source != nullptr ? source : ".") + "/tests/unit/havend_fake_xl.py migrate-receive -r <" +
                        file + " >/dev/null 2>&1";
  (void)!system(command.c_str());
  std::ifstream in(folder / "restored.json");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  const size_t at = text.find("\"emulator\": \"");
  return at == std::string::npos ? "" : text.substr(at + 13, text.find('"', at + 13) - at - 13);
}

TEST(LibxlStream, CutAtAnyRecordEndsInTheLastWholeEpoch) {
  DomainState s = SampleState();
  s.config = R"({"c_info":{"name":"web1","uuid":"01234567-89ab-cdef-0123-456789abcdef"}})";
  Bytes stream;
  AppendXlHeader(s.config, stream);
  AppendStreamHead(s, stream);
  size_t at = stream.size();
  std::vector<size_t> whole;  // where each epoch is complete
  for (const char* epoch : {"one", "two", "three"}) {
    for (uint64_t frame : {0, 5}) {
      AppendPageDataHead(std::span(&frame, 1), stream);
      stream.insert(stream.end(), kPageBytes, static_cast<uint8_t>(epoch[0]));
    }
    s.device_model.assign(epoch, epoch + strlen(epoch));
    AppendCheckpoint(s, stream);
    whole.push_back(stream.size());
  }
  TestFolder folder;
  const char* names[] = {"", "one", "two", "three"};
  int records = 0;
  while (at < stream.size()) {
    const auto passed =
        static_cast<size_t>(std::count_if(whole.begin(), whole.end(), [at](size_t end) { return end <= at; }));
    STRCMP_EQUAL(names[passed], ResumedFrom(folder, stream, at).c_str());
    uint32_t length = 0;
    memcpy(&length, stream.data() + at + 4, sizeof(length));
    at += 8 + (length + 7) / 8 * 8;
    records++;
  }
  LONGS_EQUAL(3 * 8, records);
  STRCMP_EQUAL("three", ResumedFrom(folder, stream, at).c_str());
}

TEST(LibxlStream, PassesXensOwnCheckWhenItHasOneEpoch) {
  if (access(VerifyStream().c_str(), R_OK) != 0) {
    printf("\nskipped: no %s (package xen-utils-4.17)", VerifyStream().c_str());
    return;
  }
  TestFolder folder;
  DomainState s = SampleState();
  Bytes out;
  AppendXlHeader(s.config, out);
  AppendStreamHead(s, out);
  uint64_t frames[] = {0, 1, 5};
  AppendPageDataHead(frames, out);
  out.insert(out.end(), 3 * kPageBytes, 0x5a);
  AppendPlainEnd(s, out);
  std::ofstream(folder / "stream", std::ios::binary)
      .write(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  std::string python_path = VerifyStream().substr(0, VerifyStream().rfind("/bin/")) + "/lib/python";
  std::string verify = "PYTHONPATH=" + python_path + " python3 " + VerifyStream() + " -f xl -i " + (folder / "stream");
  LONGS_EQUAL(0, system(verify.c_str()));
  // The check can fail, too.
  LONGS_EQUAL(0, truncate((folder / "stream").c_str(), static_cast<off_t>(out.size() - 8)));
  CHECK_TRUE(system((verify + " -q").c_str()) != 0);
}
