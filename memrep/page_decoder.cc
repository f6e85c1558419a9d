// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "core/assert.h"
#include "memrep/block_references.h"
#include "memrep/compression.h"
#include "memrep/page_codec.h"
#include "memrep/page_store.h"
#include "memrep/worker_pool.h"

namespace haven::memrep {
namespace {

constexpr int kCodeShift = 56;
constexpr uint64_t kIndexMask = (1ull << kCodeShift) - 1;
/// What one worker decompresses in one go.
constexpr size_t kPartPages = 16;

Status Malformed(const std::string& why) { return {StatusCode::kProtocol, "PAGES record: " + why}; }

uint64_t Little(const uint8_t* from, size_t bytes) {
  uint64_t v = 0;
  for (size_t i = 0; i < bytes; i++) v |= uint64_t{from[i]} << (8 * i);
  return v;
}

/// Those that are compressed, or may be in what they keep.
size_t CountCompressed(ByteSpan entries, uint32_t count) {
  size_t compressed = 0;
  for (uint32_t i = 0; i < count; i++) {
    auto code = static_cast<wire::PageCode>(entries[i * sizeof(uint64_t) + 7]);
    if (code == wire::PageCode::kCompressed || code == wire::PageCode::kKept) compressed++;
  }
  return compressed;
}

/// How many octets of `in` the payload of a page has. Pure.
Result<size_t> Measure(wire::PageCode code, ByteSpan in) {
  switch (code) {
    case wire::PageCode::kZero: return size_t{0};
    case wire::PageCode::kRaw:
      if (in.size() < kPageBytes) break;
      return size_t{kPageBytes};
    case wire::PageCode::kRun: {
      if (in.size() < kRunHeadBytes) break;
      uint64_t offset = Little(&in[0], 2);
      uint64_t bytes = Little(&in[2], 2);
      if (bytes == 0 || offset + bytes > kPageBytes) {
        return Malformed("a run of " + std::to_string(bytes) + " octets at " + std::to_string(offset) +
                         " does not fit a page");
      }
      if (in.size() - kRunHeadBytes < bytes) break;
      return kRunHeadBytes + bytes;
    }
    case wire::PageCode::kDelta:
    case wire::PageCode::kSparse: {
      const char* why = nullptr;
      size_t bytes = MeasureDelta(in, why);
      if (bytes == 0) return Malformed(std::string("delta: ") + why);
      return bytes;
    }
    case wire::PageCode::kSame:
      if (in.size() < sizeof(uint64_t)) break;
      return sizeof(uint64_t);
    case wire::PageCode::kAssembled: {
      const char* why = nullptr;
      size_t bytes = MeasureAssembled(in, why);
      if (bytes == 0) return Malformed(std::string("assembled page: ") + why);
      return bytes;
    }
    default: return Malformed("unknown code " + std::to_string(static_cast<int>(code)) + " of a page");
  }
  return Malformed("too short for its pages");
}

}  // namespace

PageDecoder::PageDecoder(std::vector<uint64_t> region_pages, WorkerPool* workers)
    : region_pages_(std::move(region_pages)), workers_(workers) {
  unsigned threads = workers_ != nullptr ? workers_->threads() : 1;
  for (unsigned i = 0; i < threads; i++) inflaters_.push_back(std::make_unique<Inflater>());
}

PageDecoder::~PageDecoder() = default;

bool PageDecoder::Exists(uint64_t page_key) const {
  uint64_t region = page_key >> kCodeShift;
  return region < region_pages_.size() && (page_key & kIndexMask) < region_pages_[region];
}

Status PageDecoder::Decode(ByteSpan body, DecodedRecord& out) {
  out.pages.clear();
  compressed_.clear();
  ByteReader r(body);
  uint32_t region = r.U32();
  uint32_t count = r.U32();
  if (!r.ok()) return Malformed("too short");
  if (region >= region_pages_.size()) return Malformed("region " + std::to_string(region) + " does not exist");
  if (count == 0 || count > wire::kMaxPagesPerRecord) {
    return Malformed(std::to_string(count) + " pages are not between 1 and " +
                     std::to_string(wire::kMaxPagesPerRecord));
  }
  if (r.left() < count * sizeof(uint64_t)) return Malformed("too short for its list of pages");
  out.region = region;
  out.pages.reserve(count);
  // The most that they can have; kept from record to record.
  size_t inflated_bytes = CountCompressed(body.subspan(wire::kPagesHeadBytes), count) * kPageBytes;
  if (out.inflated.size() < inflated_bytes) out.inflated.resize(inflated_bytes);
  uint8_t* inflated = out.inflated.data();
  ByteSpan payload = body.subspan(wire::kPagesHeadBytes + count * sizeof(uint64_t));
  for (uint32_t i = 0; i < count; i++) {
    uint64_t entry = r.U64();
    uint64_t index = entry & kIndexMask;
    if (index >= region_pages_[region]) {
      return Malformed("page " + std::to_string(index) + " lies outside of region " + std::to_string(region));
    }
    DecodedPage page{index, nullptr, static_cast<wire::PageCode>(entry >> kCodeShift)};
    HAVEN_RETURN_IF_ERROR(DecodeEntry(page, payload, inflated));
    out.pages.push_back(page);
  }
  if (!payload.empty()) return Malformed(std::to_string(payload.size()) + " octets too long");
  return InflateAll();
}

Status PageDecoder::DecodeEntry(DecodedPage& page, ByteSpan& payload, uint8_t*& inflated) {
  bool shared = page.code == wire::PageCode::kKept || page.code == wire::PageCode::kStored;
  if (shared && lease_ == nullptr) return Malformed("a page is shared, but this session shares none");
  if (page.code == wire::PageCode::kKept) HAVEN_RETURN_IF_ERROR(ReadKept(page.code, payload, page.keep));
  auto data = Result<const uint8_t*>(nullptr);
  if (page.code == wire::PageCode::kCompressed) {
    data = ReadCompressed(page.code, payload, inflated);
  } else if (page.code == wire::PageCode::kStored) {
    data = ReadStored(payload);
    page.code = wire::PageCode::kRaw;  // it is there, and will not change
  } else {
    data = DecodePayload(page.code, payload);
  }
  if (data.ok()) page.data = data.value();
  return data.status();
}

Status PageDecoder::ReadKept(wire::PageCode& code, ByteSpan& payload, uint32_t& slot) {
  ByteReader r(payload);
  slot = r.U32();
  code = static_cast<wire::PageCode>(r.U8());
  if (!r.ok()) return Malformed("too short for its pages");
  payload = payload.subspan(kKeptHeadBytes);
  if (code == wire::PageCode::kKept || code == wire::PageCode::kStored) {
    return Malformed("code " + std::to_string(static_cast<int>(code)) + " may not be kept");
  }
  if (!lease_->Take(slot)) {
    return Malformed("slot " + std::to_string(slot) + " of the store is not this session's to fill, or is taken");
  }
  return Status::Ok();
}

Result<const uint8_t*> PageDecoder::ReadStored(ByteSpan& payload) const {
  ByteReader r(payload);
  uint32_t slot = r.U32();
  if (!r.ok()) return Malformed("too short for its pages");
  payload = payload.subspan(sizeof(uint32_t));
  const uint8_t* data = lease_->store().Find(slot);
  if (data == nullptr) return Malformed("slot " + std::to_string(slot) + " of the store holds no page");
  return data;
}

Result<const uint8_t*> PageDecoder::DecodePayload(wire::PageCode code, ByteSpan& payload) const {
  auto bytes = Measure(code, payload);
  if (!bytes.ok()) return bytes.status();
  const uint8_t* data = code == wire::PageCode::kZero ? nullptr : payload.data();
  if (code == wire::PageCode::kSame && !Exists(Little(data, sizeof(uint64_t)))) {
    return Malformed("a page is to be the same as one that does not exist");
  }
  for (size_t i = 0; code == wire::PageCode::kAssembled && i < RunsOf(data); i++) {
    uint64_t source = RunAt(data, i).source;
    if (!Exists((source & ~kIndexMask) | (source & kIndexMask) / kBlocksPerPage)) {
      return Malformed("assembled page: it names a page that does not exist");
    }
  }
  payload = payload.subspan(bytes.value());
  return data;
}

Result<const uint8_t*> PageDecoder::ReadCompressed(wire::PageCode& code, ByteSpan& payload, uint8_t*& at) {
  ByteReader r(payload);
  auto method = static_cast<wire::Compression>(r.U8());
  code = static_cast<wire::PageCode>(r.U8());
  size_t content = r.U16();
  ByteSpan in = r.Raw(r.U16());
  if (!r.ok()) return Malformed("too short for its compressed pages");
  payload = payload.subspan(kCompressedHeadBytes + in.size());
  if (code != wire::PageCode::kRaw && code != wire::PageCode::kDelta && code != wire::PageCode::kSparse) {
    return Malformed("code " + std::to_string(static_cast<int>(code)) + " may not be compressed");
  }
  if (content == 0 || content > kPageBytes) {
    return Malformed(std::to_string(content) + " octets of a compressed page are not between 1 and 4096");
  }
  compressed_.push_back({method, code, in, at, content});
  const uint8_t* data = at;
  at += content;
  return data;
}

Status PageDecoder::Inflate(const Compressed& page, Inflater& inflater) const {
  if (!inflater.Decompress(page.method, page.in, page.content, page.content_bytes)) {
    return Malformed("a page does not decompress to its " + std::to_string(page.content_bytes) + " octets");
  }
  auto bytes = Measure(page.code, ByteSpan(page.content, page.content_bytes));
  if (!bytes.ok()) return bytes.status();
  if (bytes.value() != page.content_bytes) return Malformed("a compressed page is too long");
  return Status::Ok();
}

Status PageDecoder::InflateAll() {
  size_t parts = (compressed_.size() + kPartPages - 1) / kPartPages;
  std::vector<Status> failures(parts);
  auto inflate = [&](unsigned worker, size_t part) {
    size_t end = std::min((part + 1) * kPartPages, compressed_.size());
    for (size_t i = part * kPartPages; i < end && failures[part].ok(); i++) {
      failures[part] = Inflate(compressed_[i], *inflaters_[worker]);
    }
  };
  if (workers_ != nullptr) {
    workers_->Run(parts, inflate);
  } else {
    for (size_t part = 0; part < parts; part++) inflate(0, part);
  }
  for (const Status& failure : failures) HAVEN_RETURN_IF_ERROR(failure);
  return Status::Ok();
}

Result<uint32_t> DecodePages(ByteSpan body, std::span<const uint64_t> region_pages, std::vector<DecodedPage>& out) {
  PageDecoder decoder({region_pages.begin(), region_pages.end()});
  DecodedRecord record;
  HAVEN_RETURN_IF_ERROR(decoder.Decode(body, record));
  if (!record.inflated.empty()) return Malformed("compressed pages are not expected");  // none has grown it
  out = std::move(record.pages);
  return record.region;
}

void ApplyPage(const DecodedPage& page, std::span<uint8_t* const> regions, uint8_t* to) {
  switch (page.code) {
    case wire::PageCode::kRaw: memcpy(to, page.data, kPageBytes); return;
    case wire::PageCode::kZero:
      if (!IsZeroPage(to)) memset(to, 0, kPageBytes);  // not written when zero: keeps the memory sparse
      return;
    case wire::PageCode::kRun:
      memcpy(to + Little(page.data, 2), page.data + kRunHeadBytes, Little(page.data + 2, 2));
      return;
    case wire::PageCode::kSparse:
      memset(to, 0, kPageBytes);
      BestKernels().apply(page.data, to);
      return;
    case wire::PageCode::kDelta: BestKernels().apply(page.data, to); return;
    case wire::PageCode::kSame: {
      uint64_t key = Little(page.data, sizeof(uint64_t));
      memmove(to, regions[key >> kCodeShift] + (key & kIndexMask) * kPageBytes, kPageBytes);
      return;
    }
    case wire::PageCode::kAssembled: ApplyAssembled(page.data, regions, to); return;
    case wire::PageCode::kCompressed:
    case wire::PageCode::kKept:
    case wire::PageCode::kStored: break;
  }
  HAVEN_ASSERT(false);
}

}  // namespace haven::memrep
