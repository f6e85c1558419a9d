// SPDX-License-Identifier: GPL-2.0-or-later
//
// The device state of a Xen guest from a hostile primary: decoded; what decodes
// comes back the same, keeps its promises, and makes a configuration and a
// stream for xl.

#include <algorithm>

#include "core/assert.h"
#include "havend/xl/domain_config.h"
#include "xen/domain_state.h"
#include "havend/xl/libxl_stream.h"

using namespace haven;
using namespace haven::havend;
using namespace haven::xen;

namespace {

constexpr uint64_t kFrames = 1 << 20;
const char kOwn[] = R"({"c_info": {"name": "g", "uuid": ""}, "b_info": {"max_vcpus": 1},
  "disks": [{"vdev": "hda"}], "nics": [{"bridge": "b"}]})";

void CheckPromises(const DomainState& state) {
  uint64_t next = 0;
  for (const PageRun& run : state.populated) {
    HAVEN_ASSERT(run.count > 0 && run.first >= next && run.first + run.count <= kFrames);
    next = run.first + run.count + 1;
  }
  for (const HvmParam& param : state.hvm_params) HAVEN_ASSERT(IsSavedHvmParam(param.index));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  auto state = DecodeDomainState({octets, size}, kFrames);
  if (!state.ok()) {
    HAVEN_ASSERT(state.status().code() == StatusCode::kProtocol && !state.status().message().empty());
    return 0;
  }
  CheckPromises(state.value());
  Bytes again;
  Encode(state.value(), again);
  HAVEN_ASSERT(again.size() == size && std::equal(again.begin(), again.end(), octets));

  auto config = MergeDomainConfig(kOwn, state.value().config);
  HAVEN_ASSERT(!config.ok() || DomainName(config.value()).value() == "g");
  Bytes stream;
  AppendStreamHead(state.value(), stream);
  AppendCheckpoint(state.value(), stream);
  HAVEN_ASSERT(stream.size() % 8 == 0);
  return 0;
}
