// SPDX-License-Identifier: GPL-2.0-or-later
#include "blkrep/journal_recovery.h"

#include <algorithm>

#include "core/assert.h"

namespace haven::blkrep::journal {
namespace {

/// The segment can be understood without the one before it.
bool StandsAlone(const Segment& segment, const Segment::ScanResult& scan) {
  if (!segment.header().needs_previous) return true;
  return std::any_of(scan.records.begin(), scan.records.end(),
                     [](const Segment::Found& found) { return found.header.kind == Kind::kRelease; });
}

State StateAtBegin(const Segment& segment) {
  return State(segment.header().open_epoch, segment.header().unapplied_epoch);
}

Status Replay(const Segment& segment, const Segment::ScanResult& scan, uint8_t file, Recovered& out) {
  out.active = file;
  out.mark_end = kFileHeaderBytes;
  out.mark_sequence = segment.header().first_sequence;
  out.next_sequence = segment.header().first_sequence;
  for (const Segment::Found& found : scan.records) {
    const std::string why_not = out.state.WhyNot(found.header.kind, found.header.epoch);
    if (!why_not.empty()) {
      return Status(StatusCode::kInvalid, segment.path() + ", record at octet " + std::to_string(found.at) +
                                              " cannot be (move the journal away to begin a new one and copy the "
                                              "disks again): " +
                                              why_not);
    }
    out.state.Take(found.header, found.DataAt(), file);
    out.next_sequence++;
    if (found.header.IsRequest()) continue;
    out.mark_end = found.End();
    out.mark_sequence = out.next_sequence;
  }
  return Status::Ok();
}

Result<Recovered> BeginFresh(Segments& segments, uint64_t generation, Epoch epoch, const std::string& damage) {
  Recovered out;
  out.state = State(epoch, epoch);
  out.next_sequence = out.mark_sequence = 1;
  out.damage = damage;
  HAVEN_RETURN_IF_ERROR(segments[0]->Begin({false, generation, 1, epoch, epoch}));
  return out;
}

/// The newer segment needs one that is not there: only what was applied is left.
Result<Recovered> GiveUp(Segments& segments, const Segment& base, const std::string& damage) {
  const FileHeader header = base.header();
  HAVEN_RETURN_IF_ERROR(segments[0]->Clear());
  HAVEN_RETURN_IF_ERROR(segments[1]->Clear());
  return BeginFresh(segments, header.generation + 1, header.unapplied_epoch, damage);
}

Result<Recovered> RecoverAlone(Segments& segments, uint8_t newer, const Segment::ScanResult& scan) {
  Recovered out;
  out.state = StateAtBegin(*segments[newer]);
  HAVEN_RETURN_IF_ERROR(Replay(*segments[newer], scan, newer, out));
  if (!segments[1 - newer]->free()) {
    // Not before its independence is on stable storage.
    HAVEN_RETURN_IF_ERROR(segments[newer]->Sync());
    HAVEN_RETURN_IF_ERROR(segments[1 - newer]->Clear());
  }
  out.damage = scan.damage;
  return out;
}

Result<Recovered> RecoverBoth(Segments& segments, uint8_t newer, const Segment::ScanResult& newer_scan) {
  const uint8_t older = 1 - newer;
  Segment& first = *segments[older];
  Segment& second = *segments[newer];
  Result<Segment::ScanResult> scan = first.Scan();
  if (!scan.ok()) return scan.status();
  const Segment::ScanResult& older_scan = scan.value();
  if (!StandsAlone(first, older_scan)) return GiveUp(segments, first, first.path() + " needs a file that is gone");

  Recovered out;
  out.state = StateAtBegin(first);
  HAVEN_RETURN_IF_ERROR(Replay(first, older_scan, older, out));
  if (second.header().first_sequence == out.next_sequence) {
    if (second.header().open_epoch != out.state.open_epoch() ||
        second.header().unapplied_epoch != out.state.unapplied_epoch()) {
      return Status(StatusCode::kInvalid, "the journals " + first.path() + " and " + second.path() +
                                              " contradict each other: move both away and copy the disks again");
    }
    HAVEN_RETURN_IF_ERROR(Replay(second, newer_scan, newer, out));
    out.damage = newer_scan.damage;
    return out;
  }
  out.damage =
      older_scan.damage.empty() ? first.path() + " ends before " + second.path() + " begins" : older_scan.damage;
  HAVEN_RETURN_IF_ERROR(second.Clear());
  return out;
}

Result<Recovered> Choose(Segments& segments) {
  if (segments[0]->free() && segments[1]->free()) return BeginFresh(segments, 1, 0, "");
  const bool both = !segments[0]->free() && !segments[1]->free();
  const auto generation = [&](int i) { return segments[i]->header().generation; };
  if (both && generation(0) == generation(1)) {
    return Status(StatusCode::kInvalid, "the journals " + segments[0]->path() + " and " + segments[1]->path() +
                                            " do not belong together: move both away");
  }
  const uint8_t newer = both ? generation(1) > generation(0) : segments[0]->free();
  Result<Segment::ScanResult> scan = segments[newer]->Scan();
  if (!scan.ok()) return scan.status();
  if (StandsAlone(*segments[newer], scan.value())) return RecoverAlone(segments, newer, scan.value());
  if (both && generation(newer) == generation(1 - newer) + 1) return RecoverBoth(segments, newer, scan.value());
  const std::string& path = segments[newer]->path();
  return GiveUp(segments, *segments[newer],
                path + " needs the file before it, " + segments[1 - newer]->path() + ", which is empty or another one");
}

}  // namespace

Result<Recovered> Recover(Segments& segments) {
  Result<Recovered> result = Choose(segments);
  if (!result.ok()) return result;
  Segment& active = *segments[result.value().active];
  HAVEN_RETURN_IF_ERROR(active.Cut(active.end()));
  return result;
}

}  // namespace haven::blkrep::journal
