/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_XEN_FRONTEND_RULES_H
#define HAVEN_XEN_FRONTEND_RULES_H

#include <cstdint>
#include <optional>
#include <string>

#include "core/status.h"

namespace haven::xen {

/// A PV device that a domain has been given, whether a driver of the guest uses it or not.
struct Frontend {
  std::string type;                   ///< e.g. "vbd"
  std::string number;                 ///< e.g. "51712"
  std::string name;                   ///< in xl.cfg, e.g. "xvda"; empty: it has none
  std::string served_as;              ///< the backend's type, e.g. "qdisk"; empty: nobody serves it
  std::optional<uint32_t> served_by;  ///< the backend's domain
  bool connected = false;             ///< a driver of the guest uses it

  /// E.g. "vbd/51712 (xvda)".
  std::string Title() const;
};

/// What becomes of a device in a checkpoint.
struct Coverage {
  enum class Kind { kReplicated, kHeld, kSaved, kNotHeld, kRefused };
  Kind kind = Kind::kRefused;
  std::string why;      ///< a sentence about "it", empty if it needs none
  std::string instead;  ///< when refused: what to change in xl.cfg
};

/// What is not known to be covered is refused. Pure; any thread.
Coverage CoverageOf(const Frontend& frontend);

}  // namespace haven::xen

#endif
