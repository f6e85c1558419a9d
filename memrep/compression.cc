// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/compression.h"

#include <bit>
#include <lz4.h>
#include <zlib.h>
#include <zstd.h>

#include "core/assert.h"

namespace haven::memrep {
namespace {

constexpr int kZlibLevel = 1;
constexpr int kZstdLevel = 1;

z_stream NewStream() {
  z_stream stream;
  memset(&stream, 0, sizeof(stream));
  return stream;
}

}  // namespace

struct Deflater::State {
  Bytes lz4 = Bytes(static_cast<size_t>(LZ4_sizeofState()));
  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  z_stream zlib = NewStream();
};

Deflater::Deflater() : state_(std::make_unique<State>()) {
  HAVEN_ASSERT(state_->zstd != nullptr);
  HAVEN_ASSERT(deflateInit(&state_->zlib, kZlibLevel) == Z_OK);
}

Deflater::~Deflater() {
  ZSTD_freeCCtx(state_->zstd);
  deflateEnd(&state_->zlib);
}

size_t Deflater::Compress(wire::Compression method, ByteSpan in, uint8_t* out, size_t limit) {
  switch (method) {
    case wire::Compression::kLz4: {
      int bytes = LZ4_compress_fast_extState(state_->lz4.data(), reinterpret_cast<const char*>(in.data()),
                                             reinterpret_cast<char*>(out), static_cast<int>(in.size()),
                                             static_cast<int>(limit), 1);
      return static_cast<size_t>(bytes);  // 0 when it does not fit
    }
    case wire::Compression::kZstd: {
      size_t bytes = ZSTD_compressCCtx(state_->zstd, out, limit, in.data(), in.size(), kZstdLevel);
      return ZSTD_isError(bytes) ? 0 : bytes;
    }
    case wire::Compression::kZlib: {
      z_stream& stream = state_->zlib;
      deflateReset(&stream);
      stream.next_in = const_cast<Bytef*>(in.data());
      stream.avail_in = static_cast<uInt>(in.size());
      stream.next_out = out;
      stream.avail_out = static_cast<uInt>(limit);
      return deflate(&stream, Z_FINISH) == Z_STREAM_END ? limit - stream.avail_out : 0;
    }
  }
  HAVEN_ASSERT(false);
}

struct Inflater::State {
  ZSTD_DCtx* zstd = ZSTD_createDCtx();
  z_stream zlib = NewStream();
};

Inflater::Inflater() : state_(std::make_unique<State>()) {
  HAVEN_ASSERT(state_->zstd != nullptr);
  HAVEN_ASSERT(inflateInit(&state_->zlib) == Z_OK);
}

Inflater::~Inflater() {
  ZSTD_freeDCtx(state_->zstd);
  inflateEnd(&state_->zlib);
}

bool Inflater::Decompress(wire::Compression method, ByteSpan in, uint8_t* out, size_t bytes) {
  switch (method) {
    case wire::Compression::kLz4:
      return LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out),
                                 static_cast<int>(in.size()), static_cast<int>(bytes)) == static_cast<int>(bytes);
    case wire::Compression::kZstd: return ZSTD_decompressDCtx(state_->zstd, out, bytes, in.data(), in.size()) == bytes;
    case wire::Compression::kZlib: {
      z_stream& stream = state_->zlib;
      inflateReset(&stream);
      stream.next_in = const_cast<Bytef*>(in.data());
      stream.avail_in = static_cast<uInt>(in.size());
      stream.next_out = out;
      stream.avail_out = static_cast<uInt>(bytes);
      return inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0;
    }
  }
  return false;
}

}  // namespace haven::memrep
