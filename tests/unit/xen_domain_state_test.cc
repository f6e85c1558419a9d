// SPDX-License-Identifier: GPL-2.0-or-later
#include "xen/domain_state.h"

#include "tests/unit/xen_support.h"

#include <CppUTest/TestHarness.h>

using namespace haven;
using namespace haven::xen;

namespace {

constexpr uint64_t kFrames = 8;

std::string WhyRefused(const DomainState& state) {
  Bytes out;
  Encode(state, out);
  auto decoded = DecodeDomainState(out, kFrames);
  return decoded.ok() ? "" : decoded.status().message();
}

}  // namespace

TEST_GROUP(XenDomainState){};

TEST(XenDomainState, ComesBackAsItWas) {
  DomainState s = SampleState();
  Bytes out;
  Encode(s, out);
  auto decoded = DecodeDomainState(out, kFrames);
  CHECK_TRUE(decoded.ok());
  const DomainState& d = decoded.value();
  CHECK_TRUE(d.device_model == s.device_model && d.hvm_context == s.hvm_context && d.hvm_params == s.hvm_params);
  CHECK_TRUE(d.tsc == s.tsc && d.cpuid_policy == s.cpuid_policy && d.msr_policy == s.msr_policy);
  CHECK_TRUE(d.populated == s.populated && d.config == s.config);
  LONGS_EQUAL(4, d.xen_major);
  LONGS_EQUAL(17, d.xen_minor);
}

TEST(XenDomainState, BeginsWithTheDocumentedOctets) {
  Bytes out;
  Encode(SampleState(), out);
  STRCMP_EQUAL(
      "48584453"
      "01000000"
      "0100000008000000"
      "0400000011000000"
      "0200000018000000"
      "c1c1",
      Hex(ByteSpan(out).first(34)).c_str());
}

TEST(XenDomainState, IsRefusedWhenCutAfterAnyOctet) {
  Bytes out;
  Encode(SampleState(), out);
  for (size_t bytes = 0; bytes < out.size(); bytes++) {
    auto decoded = DecodeDomainState(ByteSpan(out).first(bytes), kFrames);
    CHECK_FALSE(decoded.ok());
    CHECK_TRUE(decoded.status().code() == StatusCode::kProtocol);
  }
}

TEST(XenDomainState, IsRefusedWithOctetsLeftOver) {
  Bytes out;
  Encode(SampleState(), out);
  out.push_back(0);
  STRCMP_CONTAINS("left over", DecodeDomainState(out, kFrames).status().message().c_str());
}

TEST(XenDomainState, NeverCrashesWhenAnyOctetIsFlipped) {
  Bytes out;
  Encode(SampleState(), out);
  size_t refused = 0;
  for (size_t at = 0; at < out.size(); at++) {
    Bytes bad = out;
    bad[at] ^= 0xff;
    if (!DecodeDomainState(bad, kFrames).ok()) refused++;
  }
  CHECK_TRUE(refused > out.size() / 4);
}

TEST(XenDomainState, SaysWhenThePrimaryIsNoXenGuest) {
  Bytes qemu = {'Q', 'E', 'V', 'M', 0, 0, 0, 3};
  STRCMP_CONTAINS("is the primary under Xen?", DecodeDomainState(qemu, kFrames).status().message().c_str());
}

TEST(XenDomainState, MaySetOnlyTheParametersThatAreSaved) {
  DomainState s = SampleState();
  s.hvm_params.push_back({13, 0});  // HVM_PARAM_DM_DOMAIN
  STRCMP_CONTAINS("parameter 13 may not be set", WhyRefused(s).c_str());
  s.hvm_params.back() = s.hvm_params.front();
  STRCMP_CONTAINS("parameter 1 comes twice", WhyRefused(s).c_str());
}

TEST(XenDomainState, KeepsPopulatedRunsInsideOfTheGuest) {
  DomainState s = SampleState();
  for (PageRun bad : {PageRun{6, 3}, PageRun{8, 1}, PageRun{6, 0}, PageRun{1, 1}, PageRun{5, 1},
                      PageRun{7, ~uint64_t{0}}, PageRun{~uint64_t{0}, 1}}) {
    s.populated = {{0, 2}, {5, 1}, bad};
    STRCMP_CONTAINS("populated", WhyRefused(s).c_str());
  }
  s.populated = {{0, 2}, {2, 1}};  // not one run
  STRCMP_CONTAINS("populated", WhyRefused(s).c_str());
}

TEST(XenDomainState, NeedsEverySectionToHoldSomething) {
  DomainState s = SampleState();
  s.hvm_context.clear();
  STRCMP_CONTAINS("HVM context", WhyRefused(s).c_str());
  s = SampleState();
  s.cpuid_policy.pop_back();
  STRCMP_CONTAINS("CPUID policy", WhyRefused(s).c_str());
  s = SampleState();
  s.device_model.clear();
  STRCMP_CONTAINS("device model", WhyRefused(s).c_str());
  s = SampleState();
  s.xen_major = 0;
  STRCMP_CONTAINS("version of Xen", WhyRefused(s).c_str());
  s = SampleState();
  s.config = std::string("{}\0", 3);
  STRCMP_CONTAINS("no text", WhyRefused(s).c_str());
}

TEST(XenDomainState, FindsTheRunsOfABitmap) {
  std::vector<uint64_t> bitmap = {0x8000000000000001, ~uint64_t{0}, 0x3, 0, uint64_t{1} << 63};
  std::vector<PageRun> runs = RunsOf(bitmap);
  CHECK_TRUE((runs == std::vector<PageRun>{{0, 1}, {63, 67}, {319, 1}}));
  CHECK_TRUE(RunsOf({0, 0}).empty());
}
