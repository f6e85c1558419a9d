# SPDX-License-Identifier: GPL-2.0-or-later
# From what test programs print: counts, "PASSED FAILED", and times, a line "SECONDS NAME" a test.
# shellcheck shell=bash

# tally_make_check BUILD: over all test programs of automake's `make check`. A CppUTest
# program counts with each of its tests, any other one as one test.
tally_make_check() {
  find "$1" -name '*.trs' -not -path '*/root/*' | sort | while read -r trs; do
    summary=$(cpputest_summary "${trs%.trs}.log")
    result=$(sed -n 's/^:global-test-result: *//p' "$trs")
    if [ -n "$summary" ]; then
      echo "$summary" | awk -v result="$result" '{
        ran = 0; bad = 0
        n = split($0, word, /[ (,]+/)
        for (i = 2; i <= n; i++) {
          if (word[i] == "ran") ran = word[i - 1]
          if (word[i] ~ /^failures?$/) bad = word[i - 1]
        }
        # the program failed after its last test, e.g. in a sanitizer
        if (bad == 0 && result != "PASS") bad = 1
        print (ran > bad ? ran - bad : 0), bad
      }'
    elif [ "$result" = PASS ]; then
      echo "1 0"
    elif [ "$result" != SKIP ]; then
      echo "0 1"
    fi
  done | awk '{ passed += $1; failed += $2 } END { print passed + 0, failed + 0 }'
}

# failures_make_check BUILD: what the test programs that failed say, CppUTest's dots left out.
failures_make_check() {
  find "$1" -name '*.trs' -not -path '*/root/*' | sort | while read -r trs; do
    grep -q '^:global-test-result: *\(PASS\|SKIP\)' "$trs" && continue
    echo "--- ${trs:${#1}+1:-4}"
    grep -avE '^[.!]*$' "${trs%.trs}.log" | head -n 60 || true
  done
}

# times_make_check BUILD NAME: of its CppUTest programs; no other one says how long it took.
times_make_check() {
  find "$1" -name '*.trs' -not -path '*/root/*' | while read -r trs; do
    milliseconds=$(cpputest_summary "${trs%.trs}.log" | sed -n 's/.*, \([0-9]*\) ms).*/\1/p')
    [ -z "$milliseconds" ] || echo "$((milliseconds / 1000)) $2: ${trs:${#1}+1:-4}"
  done
}

# The last line of a CppUTest program.
cpputest_summary() { grep -aE '^(OK|Errors) \(.*tests' "$1" 2>/dev/null | tail -n 1 || true; }

# tally_xen FILE WANTED: of the lines of JSON of xen-testbed, which were to be WANTED; one
# that is missing failed, one that was skipped is neither.
tally_xen() {
  local ok skipped
  ok=$(grep -ac '"result": "ok"' "$1" || true)
  skipped=$(grep -ac '"result": "skip"' "$1" || true)
  echo "$ok $(($2 - ok - skipped))"
}

times_xen() { sed -nE 's/^\{"name": "([^"]*)".*"seconds": ([0-9.]+).*/\2 xen: \1/p' "$1"; }

# tally_e2e FILE: from the last line of tests/e2e/run; a run that did not end failed.
tally_e2e() {
  sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1 | grep -a . || echo "0 1"
}

times_e2e() { sed -nE 's/^(ok  |FAIL) (.*[^ ]) +([0-9.]+) s .*/\3 e2e: \2/p' "$1"; }
