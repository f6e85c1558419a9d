// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/random_token.h"

#include <sys/random.h>

#include "core/assert.h"
#include "core/scheduler.h"

namespace haven {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

}  // namespace

wire::Token RandomToken() {
  wire::Token token;
  if (Scheduler* scheduler = Scheduler::Current()) {
    scheduler->FillRandom(token);
    return token;
  }
  HAVEN_ASSERT(getrandom(token.data(), token.size(), 0) == static_cast<ssize_t>(token.size()));
  return token;
}

std::string Hex(const wire::Token& token) {
  std::string hex;
  for (uint8_t byte : token) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::optional<wire::Token> TokenFromHex(std::string_view digits) {
  wire::Token token;
  if (digits.size() != 2 * token.size() || digits.find_first_not_of(kDigits) != digits.npos) return {};
  const std::string_view values = kDigits;
  for (size_t i = 0; i < token.size(); i++) {
    token[i] = static_cast<uint8_t>(values.find(digits[2 * i]) << 4 | values.find(digits[2 * i + 1]));
  }
  return token;
}

}  // namespace haven
