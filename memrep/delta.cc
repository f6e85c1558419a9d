// SPDX-License-Identifier: GPL-2.0-or-later
#include "memrep/delta.h"

#include <cstdlib>

#include "memrep/delta_scalar.h"

namespace haven::memrep {
namespace {

void ComparePortable(const uint8_t* base, const uint8_t* page, const Ahead&, PageDiff& diff) {
  uint64_t changed = 0;
  for (size_t block = 0; block < kBlocksPerPage; block++) {
    const uint8_t* a = base + block * kBlockBytes;
    const uint8_t* b = page + block * kBlockBytes;
    uint64_t mask = 0;
    if (memcmp(a, b, kBlockBytes) != 0) {
      for (size_t word = 0; word < kBlockBytes / 8; word++) {
        uint64_t difference = LoadLittle64(a + 8 * word) ^ LoadLittle64(b + 8 * word);
        mask |= uint64_t{NonZeroOctets(difference)} << (8 * word);
      }
      changed |= uint64_t{1} << block;
    }
    diff.byte_masks[block] = mask;
  }
  diff.changed = changed;
  diff.changed_blocks = static_cast<uint32_t>(std::popcount(changed));
}

Coded EncodePortable(const uint8_t* page, const PageDiff& diff, const Ahead&, uint8_t* out, size_t limit) {
  return EncodeScalar(page, diff, out, limit);
}

void ApplyPortable(const uint8_t* delta, uint8_t* page) { ApplyScalar(delta, page); }

void CopyBlocksPortable(const uint8_t* from, uint64_t blocks, uint8_t* to) { CopyBlocksScalar(from, blocks, to); }

const DeltaKernels& ChooseKernels() {
  const char* wish = getenv("HAVEN_SIMD");
  std::string_view name = wish != nullptr ? wish : "";
  if (name == "portable") return PortableKernels();
  if (const DeltaKernels* avx512 = Avx512Kernels(); avx512 != nullptr && name != "avx2") return *avx512;
  if (const DeltaKernels* avx2 = Avx2Kernels()) return *avx2;
  return PortableKernels();
}

size_t CountBits(const uint8_t* from, size_t bytes) {
  size_t bits = 0;
  for (; bytes >= 8; bytes -= 8, from += 8) bits += static_cast<size_t>(std::popcount(LoadLittle64(from)));
  for (; bytes > 0; bytes--, from++) bits += static_cast<size_t>(std::popcount(*from));
  return bits;
}

}  // namespace

const DeltaKernels& PortableKernels() {
  static constexpr DeltaKernels kKernels{"portable", ComparePortable, EncodePortable, ApplyPortable,
                                         CopyBlocksPortable};
  return kKernels;
}

const DeltaKernels& BestKernels() {
  static const DeltaKernels& best = ChooseKernels();
  return best;
}

size_t MeasureDelta(ByteSpan in, const char*& why) {
  why = "too short for its blocks";
  if (in.empty()) return 0;
  unsigned listed = in[0];
  if (listed > kMaxListedBlocks) return why = "too many blocks in a list", 0;
  if (in.size() < (listed == 0 ? kMaxDeltaHeadBytes : 1 + listed)) return 0;
  for (unsigned i = 1; i <= listed; i++) {
    if (in[i] >> 6 == 0) return why = "a listed block has no mode", 0;
    if (i > 1 && (in[i] & 63) <= (in[i - 1] & 63)) return why = "blocks are not in ascending order", 0;
  }
  BlockModes modes;
  size_t at = ReadHead(in.data(), modes);
  if (modes.all() == 0) return why = "no block has changed", 0;
  auto of_words = static_cast<size_t>(std::popcount(modes.words));
  auto of_bytes = static_cast<size_t>(std::popcount(modes.bytes));
  if (in.size() - at < of_words + of_bytes) return 0;
  size_t data = 8 * CountBits(&in[at], of_words) + kBlockBytes * static_cast<size_t>(std::popcount(modes.whole));
  size_t octet_masks = CountBits(&in[at] + of_words, of_bytes);
  at += of_words + of_bytes;
  if (in.size() - at < octet_masks) return 0;
  if (octet_masks != 0) data += CountBits(&in[at], octet_masks);
  at += octet_masks;
  return in.size() - at < data ? 0 : at + data;
}

}  // namespace haven::memrep
