// SPDX-License-Identifier: GPL-2.0-or-later
#include "havend/xl/json_members.h"

namespace haven::havend {

Node ParseObject(const std::string& text, std::string& why) {
  GError* error = nullptr;
  Node node(json_from_string(text.c_str(), &error), json_node_unref);
  if (error != nullptr) {
    why = error->message;
    g_error_free(error);
    node.reset();
  } else if (node && !JSON_NODE_HOLDS_OBJECT(node.get())) {
    node.reset();
  }
  if (!node && why.empty()) why = "it is no JSON object";
  return node;
}

JsonNode* Member(JsonObject* object, const char* name) {
  return object != nullptr ? json_object_get_member(object, name) : nullptr;
}

JsonObject* ObjectMember(JsonObject* object, const char* name) {
  JsonNode* node = Member(object, name);
  return node != nullptr && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : nullptr;
}

JsonArray* ArrayMember(JsonObject* object, const char* name) {
  JsonNode* node = Member(object, name);
  return node != nullptr && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : nullptr;
}

std::string StringMember(JsonObject* object, const char* name) {
  JsonNode* node = Member(object, name);
  const char* text = node != nullptr && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : nullptr;
  return text != nullptr ? text : "";
}

JsonObject* ElementObject(JsonArray* array, guint index) {
  JsonNode* node = json_array_get_element(array, index);
  return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : nullptr;
}

guint Length(JsonArray* array) { return array != nullptr ? json_array_get_length(array) : 0; }

std::string Printed(JsonNode* node) {
  char* text = json_to_string(node, FALSE);
  std::string printed = text;
  g_free(text);
  return printed;
}

}  // namespace haven::havend
