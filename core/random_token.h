/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_RANDOM_TOKEN_H
#define HAVEN_CORE_RANDOM_TOKEN_H

#include <optional>
#include <string>
#include <string_view>

#include "core/records.h"

namespace haven {

/// Octets that nobody can guess and that name one thing among all that there ever were. Any thread.
wire::Token RandomToken();
/// Its octets as 32 digits.
std::string Hex(const wire::Token& token);
/// The reverse; nothing: they are not such digits.
std::optional<wire::Token> TokenFromHex(std::string_view digits);

}  // namespace haven

#endif
