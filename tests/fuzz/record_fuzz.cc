// SPDX-License-Identifier: GPL-2.0-or-later
//
// The decoder of each record body: the first octet of the input is the type,
// the rest the body. What a decoder takes, it encodes to the same octets.

#include "core/assert.h"
#include "core/records.h"

using namespace haven;
using wire::Type;

namespace {

template <typename T>
void CheckSame(const Result<T>& decoded, ByteSpan body) {
  if (!decoded.ok()) {
    HAVEN_ASSERT(decoded.status().code() == StatusCode::kProtocol && !decoded.status().message().empty());
    return;
  }
  Bytes again = wire::Encode(decoded.value());
  HAVEN_ASSERT(again.size() <= body.size() && std::equal(again.begin(), again.end(), body.begin()));
}

/// Its message is cleaned when it is decoded, so only the length is the same.
void CheckError(ByteSpan body) {
  auto error = wire::DecodeError(body);
  if (!error.ok()) return;
  HAVEN_ASSERT(wire::Encode(error.value()).size() == body.size());
  for (unsigned char c : error.value().message) HAVEN_ASSERT(c >= 0x20 && c != 0x7F);
}

void CheckDisk(Type type, ByteSpan body) {
  auto request = wire::DecodeDiskRequest(type, body);
  CheckSame(request, body);
  if (!request.ok()) return;
  HAVEN_ASSERT(request.value().offset + request.value().bytes <= INT64_MAX);
  HAVEN_ASSERT(body.size() == wire::kDiskRequestBytes + (type == Type::kDiskWrite ? request.value().bytes : 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* octets, size_t size) {
  if (size == 0) return 0;
  ByteSpan body(octets + 1, size - 1);
  switch (static_cast<Type>(octets[0])) {
    case Type::kHello: CheckSame(wire::DecodeHello(body), body); break;
    case Type::kHelloReply: CheckSame(wire::DecodeHelloReply(body), body); break;
    case Type::kIdentity: CheckSame(wire::DecodeIdentity(body), body); break;
    case Type::kError: CheckError(body); break;
    case Type::kMachine: CheckSame(wire::DecodeMachine(body), body); break;
    case Type::kLayout: CheckSame(wire::DecodeLayout(body), body); break;
    case Type::kLayoutReply: CheckSame(wire::DecodeLayoutReply(body), body); break;
    case Type::kStore: CheckSame(wire::DecodeStore(body), body); break;
    case Type::kStoreReply: CheckSame(wire::DecodeStoreReply(body), body); break;
    case Type::kHeartbeat: CheckSame(wire::DecodeHeartbeat(body), body); break;
    case Type::kLiveness:
      if (auto liveness = wire::DecodeLiveness(body);
          !liveness.ok() || liveness.value().run != wire::GuestRun::kOther) {
        CheckSame(liveness, body);
      }
      break;
    case Type::kCommitted: CheckSame(wire::DecodeCommitted(body), body); break;
    case Type::kGoodbye: CheckSame(wire::DecodeGoodbye(body), body); break;
    case Type::kDiskWrite:
    case Type::kDiskZero:
    case Type::kDiskDiscard: CheckDisk(static_cast<Type>(octets[0]), body); break;
    case Type::kDiskFlush: CheckSame(wire::DecodeDiskFlush(body), body); break;
    case Type::kDiskAck: CheckSame(wire::DecodeDiskAck(body), body); break;
    case Type::kEpochEnd:
      if (auto end = wire::DecodeEpochEnd(body); !end.ok() || end.value().run != wire::GuestRun::kOther) {
        CheckSame(end, body);
      }
      break;
    default: break;
  }
  return 0;
}
