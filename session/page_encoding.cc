// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/page_encoding.h"

#include <algorithm>

#include "core/guarded.h"
#include "core/host_boot.h"
#include "memrep/fgbi_encoder.h"

namespace haven::session {
namespace {

/// The encoder's copies of pages, when nothing else is said: this part of the
/// guest's memory, within limits.
constexpr uint64_t kCachePart = 8;
constexpr uint64_t kMinCacheBytes = 16ull << 20;
constexpr uint64_t kMaxCacheBytes = 1ull << 30;

}  // namespace

Status PageEncoding::PrepareSharing(const PrimaryLinks& links, const PrimaryOptions& options, ConnectionEnd& end) {
  if (!options.connect.share) return Status::Ok();
  if ((links.features & wire::kFeatureSharedPages) == 0) {
    note_ = "the backup's configuration lets this guest share no pages (share = GROUP)";
    return Status::Ok();
  }
  auto host = HostToken();
  if (!host.ok()) {
    note_ = "no pages are shared: " + host.status().message();
    return Status::Ok();
  }
  auto store = AskForStore(*links.control, host.value(), options.connect.deadline, end);
  if (!store.ok()) return store.status();
  auto shared = memrep::SharedPages::Open(options.shared_folder, store.value());
  if (shared.ok()) {
    shared_ = std::move(shared.value());
  } else {
    note_ = "no pages are shared: " + shared.status().message();
  }
  return Status::Ok();
}

uint64_t PageEncoding::CacheBytes(const PrimaryOptions& options, uint64_t memory_bytes) {
  if (options.encoder.cache_bytes != 0) return options.encoder.cache_bytes;
  return std::clamp(memory_bytes / kCachePart, kMinCacheBytes, kMaxCacheBytes);
}

Status PageEncoding::Begin(const PrimaryLinks& links, const PrimaryOptions& options, uint64_t memory_bytes,
                           memrep::WorkerPool& workers) {
  memrep::EncoderOptions how = options.encoder;
  how.features = links.features;
  how.workers = &workers;
  how.shared = shared_.get();
  how.cache_bytes = CacheBytes(options, memory_bytes);
  const Status made = Guarded([&] {
    encoder_ = std::make_unique<memrep::FgbiEncoder>(how);
    return Status::Ok();
  });
  if (!made.ok()) {
    return made.With("no memory for the encoder's cache of " + std::to_string(how.cache_bytes >> 20) +
                     " MiB (--cache)");
  }
  harvest_ = HarvestPolicy(how.blocks());
  return Status::Ok();
}

}  // namespace haven::session
