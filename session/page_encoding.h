/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_SESSION_PAGE_ENCODING_H
#define HAVEN_SESSION_PAGE_ENCODING_H

#include <memory>
#include <string>

#include "memrep/page_codec.h"
#include "memrep/shared_pages.h"
#include "session/harvest_policy.h"
#include "session/primary_options.h"

namespace haven::session {

/// How pages travel on one connection: what an encoder knows of the backup ends with it. Driver thread.
class PageEncoding {
 public:
  /// Before LAYOUT: opens what is needed to share pages, or note() says why they are not shared.
  /// @return not Ok: the connection has failed, `end` is filled.
  Status PrepareSharing(const PrimaryLinks& links, const PrimaryOptions& options, ConnectionEnd& end);
  /// What the encoder's cache grows to, for a guest with so much memory.
  static uint64_t CacheBytes(const PrimaryOptions& options, uint64_t memory_bytes);
  /// After LAYOUT_REPLY.
  /// @param workers  outlive it.
  /// @return kEnvironment: there is no memory for it.
  Status Begin(const PrimaryLinks& links, const PrimaryOptions& options, uint64_t memory_bytes,
               memrep::WorkerPool& workers);

  memrep::PageEncoder& encoder() { return *encoder_; }
  HarvestPolicy& harvest() { return harvest_; }
  /// Why pages are not shared, although that is wanted; empty otherwise.
  const std::string& note() const { return note_; }

 private:
  std::unique_ptr<memrep::SharedPages> shared_;  ///< the shared file goes with its last user; outlives the encoder
  std::unique_ptr<memrep::PageEncoder> encoder_;
  HarvestPolicy harvest_{false};
  std::string note_;
};

}  // namespace haven::session

#endif
