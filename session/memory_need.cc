// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/memory_need.h"

#include <algorithm>

#include "session/checkpointer.h"
#include "session/page_encoding.h"

namespace haven::session {
namespace {

constexpr uint64_t kMiB = 1u << 20;

std::string InMiB(uint64_t bytes) { return std::to_string(bytes / kMiB) + " MiB"; }

}  // namespace

Status CheckMemory(const PrimaryOptions& options, uint64_t memory_bytes, const std::optional<os::MemoryLimit>& limit) {
  const uint64_t copies = std::min(memory_bytes, Checkpointer::kWarmPages * kPageBytes);
  const uint64_t cache = PageEncoding::CacheBytes(options, memory_bytes);
  if (!limit || limit->left_bytes >= copies + cache) return Status::Ok();
  return {StatusCode::kRefused, "protection needs at least " + InMiB(copies + cache) +
                                    " more memory in the guest's device model, " + InMiB(cache) +
                                    " of it for the encoder's cache (--cache), and the system lets it have " +
                                    InMiB(limit->left_bytes) + ": raise " + limit->name};
}

}  // namespace haven::session
