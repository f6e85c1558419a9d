/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cstdio>
#include <thread>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/guest_query.h"
#include "core/clock.h"

namespace haven::cli {

namespace {

using qmp::Json;

/// Whether the first copy is under way; before it the backup gets ready.
bool Copies(const Json& status) {
  return status["state"].String() == "syncing" && status["sync-total-bytes"].Int() > 0;
}

/// Progress for a person; on a terminal in place, else a line now and then.
class Progress {
 public:
  explicit Progress(std::string guest) : guest_(std::move(guest)), tty_(isatty(STDOUT_FILENO)) {}

  void Show(const Json& status, Instant now) {
    const std::string state = status["state"].String();
    const bool new_state = state != state_;
    if (!tty_ && !new_state && now < next_line_) return;
    next_line_ = now + milliseconds(5000);
    state_ = state;
    std::string line = guest_ + ": " + state;
    if (Copies(status)) {
      line += Amount(status, now);
    } else if (state == "syncing") {
      line += ": the backup gets ready";
    } else if (state == "verifying") {
      line += ": the backup tries whether it can go on from the checkpoint";
    } else if (!status["message"].String().empty()) {
      line += ": " + Printable(status["message"].String());
    }
    printf(tty_ ? "\r%s\033[K" : "%s\n", line.c_str());
    fflush(stdout);
  }

  void End() {
    if (tty_ && !state_.empty()) printf("\r\033[K");
  }

 private:
  std::string Amount(const Json& status, Instant now) {
    auto done = static_cast<uint64_t>(status["sync-done-bytes"].Int());
    auto total = static_cast<uint64_t>(status["sync-total-bytes"].Int());
    if (start_bytes_ == kNone || done < start_bytes_) {
      start_bytes_ = done;
      start_ = now;
    }
    std::string text =
        " " + std::to_string(Percent(done, total)) + "%, " + FormatBytes(done) + " of " + FormatBytes(total);
    auto micros = static_cast<double>(MicrosSince(start_, now).count());
    if (micros > 0) {
      double rate = static_cast<double>(done - start_bytes_) * 1e6 / micros;
      text += ", " + FormatBytes(static_cast<uint64_t>(rate)) + "/s";
    }
    return text;
  }

  static constexpr uint64_t kNone = ~uint64_t{0};
  const std::string guest_;
  const bool tty_;
  std::string state_;
  Instant next_line_{};
  uint64_t start_bytes_ = kNone;
  Instant start_{};
};

Status Failed(const std::string& message) { return Status(StatusCode::kRefused, message); }

std::string ReasonOf(const Json& status, const char* otherwise) {
  std::string message = status["message"].String();
  return message.empty() ? otherwise : message;
}

/// @return Ok when protected. @param undo  haven-stop makes sense now.
Status WaitUntilProtected(const Arguments& arguments, bool& undo) {
  constexpr milliseconds kPollPeriod{250};
  /// What breaks it off so often does not pass: a full disk, say.
  constexpr int kMostBrokenOff = 5;
  Progress progress(arguments.guest);
  Instant answered = SteadyClock::now();
  std::string before;
  int broken_off = 0;
  for (;;) {
    Result<Json> status = AskGuest(arguments.QmpPath(), "query-haven");
    undo = status.ok();
    if (!status.ok()) return status.status();
    const std::string state = status.value()["state"].String();
    const Instant now = SteadyClock::now();
    if (state == "protected" || state == "refused" || state == "held" || state == "lost" || state == "stopped") {
      progress.End();
    }
    if (state == "protected") return Status::Ok();
    if (state == "refused") return Failed(ReasonOf(status.value(), "the backup refused"));
    if (state == "lost" || state == "stopped" || state == "held") {
      undo = false;
      return Failed(ReasonOf(status.value(), "the protection was ended by someone else"));
    }
    progress.Show(status.value(), now);
    if (state == "unprotected" && (before == "syncing" || before == "verifying") && ++broken_off == kMostBrokenOff) {
      progress.End();
      return Failed("the first copy was broken off " + std::to_string(broken_off) +
                    " times: " + ReasonOf(status.value(), "for no reason that is known"));
    }
    before = state;
    if (state == "syncing" || state == "verifying") answered = now;
    if (now - answered > std::chrono::seconds(arguments.timeout_s)) {
      progress.End();
      return Failed("no backup answered for " + std::to_string(arguments.timeout_s) + " s at " + arguments.host +
                    " port " + arguments.port + ": " + ReasonOf(status.value(), "is havend running there?"));
    }
    std::this_thread::sleep_for(kPollPeriod);
  }
}

Json EncoderOptions(const Arguments::Encoder& given) {
  Json options = Json::Object();
  if (!given.stages.empty()) options.Set("stages", given.stages);
  if (!given.compression.empty()) options.Set("compression", given.compression);
  if (given.block_bytes != 0) options.Set("block-bytes", given.block_bytes);
  if (given.cache_mib != 0) options.Set("cache-bytes", uint64_t{given.cache_mib} << 20);
  if (given.cache_percent != 0) options.Set("cache-percent", given.cache_percent);
  if (given.cpu_percent != 0) options.Set("cpu-percent", given.cpu_percent);
  if (given.threads != 0) options.Set("threads", given.threads);
  if (given.share) options.Set("share", true);
  return options;
}

}  // namespace

Status Protect(const Arguments& arguments) {
  Json start = Json::Object().Set("guest", arguments.guest).Set("host", arguments.host);
  start.Set("port", arguments.port);
  arguments.mode.AddTo(start);
  start.Set("deadline-ms", arguments.deadline_ms).Set("on-backup-loss", arguments.on_backup_loss);
  start.Set("start-wait", arguments.start_wait_s);
  if (!arguments.on_start.empty()) start.Set("on-start", arguments.on_start);
  if (arguments.output_limit_mib != 0) start.Set("output-limit-bytes", uint64_t{arguments.output_limit_mib} << 20);
  if (arguments.lag_limit_s != 0) start.Set("lag-limit-ms", uint64_t{arguments.lag_limit_s} * 1000);
  if (!arguments.arbiter.empty()) start.Set("arbiter", arguments.arbiter);
  Json encoder = EncoderOptions(arguments.encoder);
  // A device model that does not know of it protects with the defaults.
  if (!encoder.Members().empty()) start.Set("encoder", encoder);
  HAVEN_RETURN_IF_ERROR(AskGuest(arguments.QmpPath(), "haven-start", start).status());
  if (!arguments.wait) {
    printf("%s: replication to %s port %s has begun\n", arguments.guest.c_str(), arguments.host.c_str(),
           arguments.port.c_str());
    return Status::Ok();
  }
  const Instant begin = SteadyClock::now();
  bool undo = false;
  Status status = WaitUntilProtected(arguments, undo);
  if (status.ok()) {
    auto took = static_cast<uint64_t>(MicrosSince(begin, SteadyClock::now()).count());
    printf("%s is protected by %s port %s (after %s)\n", arguments.guest.c_str(), arguments.host.c_str(),
           arguments.port.c_str(), FormatMicros(took).c_str());
    return status;
  }
  if (!undo) return status;
  Status undone = AskGuest(arguments.QmpPath(), "haven-stop").status();
  if (undone.ok()) return status;
  return Failed(status.message() + " (and it could not be undone: " + undone.message() + ")");
}

}  // namespace haven::cli
