/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_QMP_JSON_H
#define HAVEN_QMP_JSON_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <json-glib/json-glib.h>

#include "core/status.h"

namespace haven::qmp {

/// A JSON value. Copies share it; one thread at a time. Look-ups of what is
/// absent or of another kind yield the null value or the given default, so a
/// reader needs no checks of its own.
class Json {
 public:
  Json() = default;  ///< null
  Json(const char* text);
  Json(const std::string& text);
  Json(bool value);
  Json(int64_t value);
  Json(int value) : Json(static_cast<int64_t>(value)) {}
  Json(uint32_t value) : Json(static_cast<int64_t>(value)) {}
  Json(uint64_t value) : Json(static_cast<int64_t>(value)) {}
  Json(const Json& other);
  Json(Json&& other) noexcept : node_(other.node_) { other.node_ = nullptr; }
  Json& operator=(Json other) noexcept;
  ~Json();

  static Json Object();
  static Json Array();
  /// @return kInvalid with the parser's reason.
  static Result<Json> Parse(std::string_view text);

  bool IsNull() const;
  bool IsObject() const;
  bool IsArray() const;
  bool IsString() const;

  /// The member of an object, else null.
  Json operator[](const char* name) const;
  bool Has(const char* name) const;
  std::string String(const std::string& otherwise = "") const;
  int64_t Int(int64_t otherwise = 0) const;
  bool Bool(bool otherwise = false) const;
  std::vector<std::string> Members() const;
  std::vector<Json> Elements() const;

  /// Sets a member of an Object(). @return this, for chains.
  Json& Set(const std::string& name, const Json& value);
  /// Adds to the end of an Array().
  void Append(const Json& value);

  /// On one line, without a line feed.
  std::string ToString() const;

 private:
  explicit Json(JsonNode* node) : node_(node) {}
  JsonNode* node_ = nullptr;  ///< owned reference; nullptr: null
};

}  // namespace haven::qmp

#endif
