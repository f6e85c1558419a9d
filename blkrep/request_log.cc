// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/request_log.h"

#include <utility>

namespace haven::blkrep {
namespace {

/// Small enough that an urgent write behind a piece waits little for it.
constexpr uint64_t kCopyBytes = 256 * 1024;

}  // namespace

RequestLog::RequestLog(const std::vector<uint64_t>& disk_bytes) {
  for (uint64_t bytes : disk_bytes) maps_.emplace_back(bytes);
}

void RequestLog::Begin(const std::vector<bool>& copy_all) {
  for (size_t i = 0; i < maps_.size(); i++) {
    if (copy_all[i]) maps_[i].MarkAll();
    maps_[i].BeginCopy();
  }
  syncing_ = true;
  epoch_ = 1;
  epoch_records_ = 0;
}

void RequestLog::Lost() {
  for (DirtyMap& map : maps_) map.ConnectionLost();
}

Epoch RequestLog::Written(uint32_t disk, uint64_t offset, uint64_t bytes, uint64_t records) {
  maps_[disk].MarkWritten(epoch_, offset, bytes);
  if (!syncing_) epoch_records_ += records;
  return current();
}

std::optional<DirtyMap::Piece> RequestLog::NextCopy(uint32_t disk) {
  if (!syncing_) return std::nullopt;
  return maps_[disk].NextCopy(kCopyBytes);
}

uint64_t RequestLog::CopyLeftBytes() const {
  uint64_t left = 0;
  for (const DirtyMap& map : maps_) left += map.CopyLeftBytes();
  return left;
}

uint64_t RequestLog::Cut() {
  syncing_ = false;
  epoch_++;
  return std::exchange(epoch_records_, 0);
}

void RequestLog::Committed(Epoch epoch) {
  for (DirtyMap& map : maps_) map.Committed(epoch);
}

}  // namespace haven::blkrep
