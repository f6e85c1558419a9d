/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_BENCH_MEMREP_MEASURE_H
#define HAVEN_TESTS_BENCH_MEMREP_MEASURE_H

#include "memrep/encoder_options.h"
#include "tests/bench/memrep_pages.h"

namespace haven::bench {

/// Nanoseconds a page, the best of all rounds, and octets on the wire.
struct Measured {
  double memcpy_ns = 0, memcmp_ns = 0, identify_ns = 0, identify_equal_ns = 0;
  double xbzrle_ns = 0, xbzrle_cached_ns = 0, zlib_ns = 0;
  double encode_ns = 0, encode_two_ns = 0, decode_ns = 0, encode_before_decode_ns = 0;
  double raw_send_ns = 0, send_ns = 0;
  uint64_t xbzrle_bytes = 0, bytes = 0, zlib_bytes = 0, changed_block_bytes = 0;
  memrep::EncoderFigures figures;  ///< of the last epoch
};

/// Runs everything on the same pages, one after the other, `rounds` times.
Measured Measure(const Load& load, const memrep::EncoderOptions& options, unsigned rounds);

/// Cycles a page of the encoder's parts, each measured by itself.
struct StageCycles {
  double lookup = 0, compare = 0, code = 0, update = 0, all = 0;
};
StageCycles MeasureStages(const Load& load, const memrep::EncoderOptions& options, unsigned rounds);

}  // namespace haven::bench

#endif
