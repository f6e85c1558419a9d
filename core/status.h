/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_CORE_STATUS_H
#define HAVEN_CORE_STATUS_H

#include <optional>
#include <string>
#include <utility>

namespace haven {

/// Who is at fault; decides what the caller does about it.
enum class StatusCode {
  kOk,
  kProtocol,     ///< the peer sent something it may not: the session ends
  kEnvironment,  ///< the operating system refused; errno is in the message
  kPeerLost,     ///< the connection ended or went silent
  kRefused,      ///< the peer or a policy said no; repeating it does not help
  kInvalid,      ///< wrong input from the user or the configuration
  kTryAgain,     ///< not now; nothing is wrong
};

/// The outcome of an operation: a code and one sentence for people.
/// Value type; any thread.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  /// @param error  an errno value; its text is appended to `what`.
  static Status FromErrno(int error, const std::string& what);

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  /// The same status with "`fact`: " in front of its message. Ok stays Ok.
  Status With(const std::string& fact) const;
  /// Of a second try, with what the first one failed of, if that was something else. Ok stays Ok.
  Status AfterTry(const Status& first) const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

/// A value or the reason why there is none. Any thread.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) {}

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace haven

#define HAVEN_RETURN_IF_ERROR(expression)          \
  do {                                             \
    ::haven::Status haven_status_ = (expression);  \
    if (!haven_status_.ok()) return haven_status_; \
  } while (0)

#endif
