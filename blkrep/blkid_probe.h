/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_BLKID_PROBE_H
#define HAVEN_BLKREP_BLKID_PROBE_H

#include <blkid.h>

#include <string>

#include "blkrep/open_disk.h"

namespace haven::blkrep {

/// libblkid's probe of an open disk, which it reads and never writes. One thread;
/// the disk outlives it.
class BlkidProbe {
 public:
  explicit BlkidProbe(const OpenedDisk& disk) : probe_(blkid_new_probe()) {
    ok_ = probe_ != nullptr && blkid_probe_set_device(probe_, disk.fd(), 0, 0) == 0;
  }
  ~BlkidProbe() { blkid_free_probe(probe_); }
  BlkidProbe(const BlkidProbe&) = delete;
  BlkidProbe& operator=(const BlkidProbe&) = delete;

  bool ok() const { return ok_; }
  blkid_probe get() { return probe_; }
  /// What was found under libblkid's name for it; empty: nothing.
  std::string Value(const char* name) {
    const char* value = nullptr;
    return blkid_probe_lookup_value(probe_, name, &value, nullptr) == 0 ? value : "";
  }

 private:
  blkid_probe probe_;
  bool ok_ = false;
};

}  // namespace haven::blkrep

#endif
