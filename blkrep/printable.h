/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_BLKREP_PRINTABLE_H
#define HAVEN_BLKREP_PRINTABLE_H

#include <string>
#include <string_view>

namespace haven::blkrep {

/// What others wrote (labels, names, attributes) as a part of a message: one
/// line of ASCII that no terminal takes for an order, and not a long one.
inline std::string Printable(std::string_view text, size_t most = 64) {
  std::string out;
  for (const char c : text.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > most ? out + "..." : out;
}

}  // namespace haven::blkrep

#endif
