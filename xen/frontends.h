/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_FRONTENDS_H
#define HAVEN_XEN_FRONTENDS_H

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "core/status.h"
#include "xen/frontend_rules.h"
#include "xen/xen_store.h"

namespace haven::xen {

/// The PV devices of a domain, whoever serves them, and whether a checkpoint covers them. One thread.
///
/// The guest may write what it likes below its own nodes. Who serves a device is libxl's word where libxl has one.
class Frontends {
 public:
  /// @param store  outlives this.
  Frontends(XenStore& store, uint32_t domid);

  Result<std::vector<Frontend>> Find();
  /// @return kRefused with the first that is not covered.
  Status Check();

  /// As Check(), and from here on Covered() knows.
  Status Begin();
  /// Reads nothing unless xenstore has told of a change.
  /// @return kRefused: one is there that was not there at Begin(), or one is not covered any more.
  Status Covered();

 private:
  struct Key {
    std::string type, number;
    auto operator<=>(const Key&) const = default;
  };
  Status AddKeys(const std::string& directory, std::set<Key>& keys);
  /// @return false in `there` if it is not a PV device, or gone by now.
  Result<Frontend> Look(const Key& key, bool& there);
  Result<std::string> BackendOf(const Key& key, bool& there);
  Result<bool> IsConnected(const std::string& device);
  Status CheckAll(const std::vector<Frontend>& found) const;
  void Know(const std::vector<Frontend>& found);
  std::string Named(const Frontend& frontend) const;

  XenStore& store_;
  const uint32_t domid_;
  const std::string guests_;  ///< the directory that the guest sees
  const std::string libxls_;
  std::set<Key> known_;
};

}  // namespace haven::xen

#endif
