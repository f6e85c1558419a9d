// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/guarded.h"

#include <exception>
#include <new>
#include <string>

namespace haven::internal {
namespace {

// Short enough to be in the string itself.
Status OutOfMemory() { return {StatusCode::kEnvironment, "out of memory"}; }

}  // namespace

Status WhatWasThrown() noexcept {
  try {
    try {
      throw;
    } catch (const std::bad_alloc&) {
      return OutOfMemory();
    } catch (const std::exception& e) {
      return {StatusCode::kEnvironment, e.what()};
    } catch (...) {
      return {StatusCode::kEnvironment, "an unknown exception"};
    }
  } catch (...) {  // there was no room for the words
    return OutOfMemory();
  }
}

}  // namespace haven::internal
