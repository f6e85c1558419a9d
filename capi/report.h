/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CAPI_REPORT_H
#define HAVEN_CAPI_REPORT_H

#include <cstdio>

#include "capi/haven.h"
#include "core/status.h"

namespace haven::capi {

/// A Status as the functions of the C interface return it: 0, or -1 with `error` filled.
inline int Report(const Status& status, haven_error* error) {
  if (status.ok()) return 0;
  snprintf(error->message, sizeof(error->message), "%s", status.message().c_str());
  return -1;
}

/// What a library without Xen answers.
inline int NoXen(haven_error* error) {
  return Report(Status(StatusCode::kInvalid, "libhaven was built without Xen"), error);
}

}  // namespace haven::capi

#endif
