/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_HAVEND_XL_JSON_MEMBERS_H
#define HAVEN_HAVEND_XL_JSON_MEMBERS_H

#include <memory>
#include <string>

#include <json-glib/json-glib.h>

namespace haven::havend {

// Of JSON that may be anything: what is not of the type that was asked for is not there. Pure; any thread.

using Node = std::unique_ptr<JsonNode, decltype(&json_node_unref)>;

/// @return null with `why` filled when the text is no JSON object.
Node ParseObject(const std::string& text, std::string& why);
std::string Printed(JsonNode* node);

// Null when there is none; `object` may be null, too.
JsonNode* Member(JsonObject* object, const char* name);
JsonObject* ObjectMember(JsonObject* object, const char* name);
JsonArray* ArrayMember(JsonObject* object, const char* name);
/// Empty when there is none.
std::string StringMember(JsonObject* object, const char* name);

JsonObject* ElementObject(JsonArray* array, guint index);
guint Length(JsonArray* array);

}  // namespace haven::havend

#endif
