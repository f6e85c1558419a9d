/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_XL_LOG_H
#define HAVEN_HAVEND_XL_XL_LOG_H

#include <ios>
#include <string>

namespace haven::havend {

/// What an xl that is started from here on says in its log. One thread.
class XlLog {
 public:
  explicit XlLog(const std::string& path);
  /// The first line that says "error", else the last one; shortened. Empty: it says nothing.
  std::string Complaint() const;

 private:
  const std::string path_;
  std::streamoff from_ = 0;
};

}  // namespace haven::havend

#endif
