/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HAVEN_MEMREP_SEARCH_PACE_H
#define HAVEN_MEMREP_SEARCH_PACE_H

#include <cstddef>
#include <cstdint>

namespace haven::memrep {

/// How often it is worth to search for something: always, until `enough` searches
/// in a row have found nothing; then for one page in `every`, until one finds again.
class SearchPace {
 public:
  constexpr SearchPace(uint32_t enough, uint32_t every) : enough_(enough), every_(every) {}

  /// @param page number among those of the record.
  bool Wants(size_t page) const { return fruitless_ < enough_ || page % every_ == 0; }
  /// After each search.
  void Note(bool found) { fruitless_ = found ? 0 : fruitless_ + (fruitless_ < enough_); }

 private:
  const uint32_t enough_, every_;
  uint32_t fruitless_ = 0;
};

}  // namespace haven::memrep

#endif
