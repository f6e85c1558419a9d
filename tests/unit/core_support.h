/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_TESTS_UNIT_CORE_SUPPORT_H
#define HAVEN_TESTS_UNIT_CORE_SUPPORT_H

#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "core/crc32c.h"
#include "core/link.h"
#include "core/records.h"

namespace haven::test {

/// "48 56 4e 31" or "48564e31"; white space means nothing.
inline Bytes FromHex(std::string_view text) {
  std::string digits;
  for (char c : text) {
    if (!isspace(static_cast<unsigned char>(c))) digits += c;
  }
  if (digits.size() % 2 != 0) abort();
  Bytes out;
  for (size_t i = 0; i < digits.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return out;
}

inline std::string ToHex(ByteSpan octets) {
  static const char kDigits[] = "0123456789abcdef";
  std::string out;
  for (uint8_t octet : octets) {
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
  }
  return out;
}

/// Makes the header's checksum right again, and the body's if there is one.
inline void MendChecksums(Bytes& record) {
  auto put = [&](size_t at, uint32_t v) {
    for (size_t i = 0; i < 4; i++) record[at + i] = static_cast<uint8_t>(v >> (8 * i));
  };
  if (record.size() > wire::kHeaderBytes) put(24, Crc32c(ByteSpan(record).subspan(wire::kHeaderBytes)));
  put(28, Crc32c(ByteSpan(record).first(28)));
}

/// A whole record as octets.
inline Bytes RecordOctets(wire::Type type, Epoch epoch, uint32_t sequence, ByteSpan body, bool optional = false) {
  wire::Header header{type, optional, epoch, sequence, static_cast<uint32_t>(body.size()), Crc32c(body)};
  Bytes out;
  wire::EncodeHeader(header, out);
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

/// Keeps what is sent, and the octets as they would go over a connection.
class RecordingSender : public RecordSender {
 public:
  using RecordSender::Send;
  Status Send(wire::Type type, Epoch epoch, std::span<const ByteSpan> parts) override {
    Record record;
    for (ByteSpan part : parts) record.body.insert(record.body.end(), part.begin(), part.end());
    Bytes octets = RecordOctets(type, epoch, static_cast<uint32_t>(records.size()), record.body);
    record.header = wire::DecodeHeader(ByteSpan(octets).first(wire::kHeaderBytes)).value();
    stream.insert(stream.end(), octets.begin(), octets.end());
    records.push_back(std::move(record));
    return fails ? Status(StatusCode::kPeerLost, "made to fail") : Status::Ok();
  }

  std::vector<Record> records;
  Bytes stream;
  bool fails = false;
};

}  // namespace haven::test

/// For CppUTest files; use after its headers are included.
#define HAVEN_CHECK_OK(expression)                           \
  do {                                                       \
    const ::haven::Status check_ok_ = (expression);          \
    CHECK_TEXT(check_ok_.ok(), check_ok_.message().c_str()); \
  } while (0)

/// The status has this code and exactly this message.
#define HAVEN_CHECK_FAILS(expected_code, expected_message, expression)                   \
  do {                                                                                   \
    const ::haven::Status check_fails_ = (expression);                                   \
    STRCMP_EQUAL(expected_message, check_fails_.message().c_str());                      \
    LONGS_EQUAL(static_cast<int>(expected_code), static_cast<int>(check_fails_.code())); \
  } while (0)

#endif
