/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp/json.h"

namespace haven::qmp {

namespace {

template <typename Value, typename Setter>
JsonNode* NewValue(Setter setter, Value value) {
  JsonNode* node = json_node_new(JSON_NODE_VALUE);
  setter(node, value);
  return node;
}

}  // namespace

Json::Json(const char* text) : node_(NewValue(json_node_set_string, text)) {}
Json::Json(const std::string& text) : Json(text.c_str()) {}
Json::Json(bool value) : node_(NewValue(json_node_set_boolean, value)) {}
Json::Json(int64_t value) : node_(NewValue(json_node_set_int, value)) {}
Json::Json(const Json& other) : node_(other.node_ != nullptr ? json_node_ref(other.node_) : nullptr) {}

Json& Json::operator=(Json other) noexcept {
  std::swap(node_, other.node_);
  return *this;
}

Json::~Json() {
  if (node_ != nullptr) json_node_unref(node_);
}

Json Json::Object() {
  JsonNode* node = json_node_new(JSON_NODE_OBJECT);
  json_node_take_object(node, json_object_new());
  return Json(node);
}

Json Json::Array() {
  JsonNode* node = json_node_new(JSON_NODE_ARRAY);
  json_node_take_array(node, json_array_new());
  return Json(node);
}

Result<Json> Json::Parse(std::string_view text) {
  JsonParser* parser = json_parser_new_immutable();
  GError* error = nullptr;
  Json value;
  bool parsed = json_parser_load_from_data(parser, text.data(), static_cast<gssize>(text.size()), &error);
  if (parsed && json_parser_get_root(parser) != nullptr) {
    value.node_ = json_node_ref(json_parser_get_root(parser));
  }
  g_object_unref(parser);
  if (!parsed) {
    Status status(StatusCode::kInvalid, std::string("not JSON: ") + error->message);
    g_error_free(error);
    return status;
  }
  return value;
}

bool Json::IsNull() const { return node_ == nullptr || JSON_NODE_HOLDS_NULL(node_); }
bool Json::IsObject() const { return node_ != nullptr && JSON_NODE_HOLDS_OBJECT(node_); }
bool Json::IsArray() const { return node_ != nullptr && JSON_NODE_HOLDS_ARRAY(node_); }

bool Json::IsString() const {
  return node_ != nullptr && JSON_NODE_HOLDS_VALUE(node_) && json_node_get_value_type(node_) == G_TYPE_STRING;
}

bool Json::Has(const char* name) const {
  return IsObject() && json_object_has_member(json_node_get_object(node_), name);
}

Json Json::operator[](const char* name) const {
  if (!Has(name)) return {};
  return Json(json_node_ref(json_object_get_member(json_node_get_object(node_), name)));
}

std::string Json::String(const std::string& otherwise) const {
  return IsString() ? json_node_get_string(node_) : otherwise;
}

int64_t Json::Int(int64_t otherwise) const {
  if (node_ == nullptr || !JSON_NODE_HOLDS_VALUE(node_)) return otherwise;
  GType type = json_node_get_value_type(node_);
  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE ? json_node_get_int(node_) : otherwise;
}

bool Json::Bool(bool otherwise) const {
  if (node_ == nullptr || !JSON_NODE_HOLDS_VALUE(node_)) return otherwise;
  return json_node_get_value_type(node_) == G_TYPE_BOOLEAN ? json_node_get_boolean(node_) : otherwise;
}

std::vector<std::string> Json::Members() const {
  std::vector<std::string> names;
  if (!IsObject()) return names;
  GList* members = json_object_get_members(json_node_get_object(node_));
  for (GList* at = members; at != nullptr; at = at->next) {
    names.emplace_back(static_cast<const char*>(at->data));
  }
  g_list_free(members);
  return names;
}

std::vector<Json> Json::Elements() const {
  std::vector<Json> elements;
  if (!IsArray()) return elements;
  JsonArray* array = json_node_get_array(node_);
  for (guint i = 0; i < json_array_get_length(array); i++) {
    elements.push_back(Json(json_node_ref(json_array_get_element(array, i))));
  }
  return elements;
}

Json& Json::Set(const std::string& name, const Json& value) {
  JsonNode* copy = value.node_ != nullptr ? json_node_copy(value.node_) : json_node_new(JSON_NODE_NULL);
  json_object_set_member(json_node_get_object(node_), name.c_str(), copy);
  return *this;
}

void Json::Append(const Json& value) {
  JsonNode* copy = value.node_ != nullptr ? json_node_copy(value.node_) : json_node_new(JSON_NODE_NULL);
  json_array_add_element(json_node_get_array(node_), copy);
}

std::string Json::ToString() const {
  if (node_ == nullptr) return "null";
  gchar* text = json_to_string(node_, FALSE);
  std::string result = text;
  g_free(text);
  return result;
}

}  // namespace haven::qmp
