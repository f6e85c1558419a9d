/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_XEN_STORE_H
#define HAVEN_XEN_XEN_STORE_H

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"

namespace haven::xen {

/// What Frontends needs of xenstore. Implemented over libxenstore, and by a fake in the unit tests. One thread.
class XenStore {
 public:
  virtual ~XenStore() = default;

  /// @return nothing if there is no such node; kEnvironment with errno.
  virtual Result<std::optional<std::string>> Read(const std::string& path) = 0;
  /// Names of the nodes below `path`; none if there is no such node.
  virtual Result<std::vector<std::string>> List(const std::string& path) = 0;

  /// From here on, and once at once, changes at and below `path` are told.
  virtual Status Watch(const std::string& path) = 0;
  /// Readable when something was told that TakeChanges() has not taken.
  virtual int fd() const = 0;
  /// Blocks not. @return whether something was told.
  virtual bool TakeChanges() = 0;
};

/// The XenStore over libxenstore. @return kEnvironment with errno.
Result<std::unique_ptr<XenStore>> OpenXenStore();

}  // namespace haven::xen

#endif
