#!/bin/sh
# coverage.sh [CTEST-ARGUMENT...] - line coverage of src/ by the tests: builds the preset "coverage", runs CTest in it
# (all tests, unless arguments choose some), and prints what was covered per folder, and each line of src/channel,
# src/client and src/host that was not. Exit code 1 if one of these three is below 90 %.
#
# The counts come from gcov, which every gcc brings (GCOV names another). A process that is killed loses its counts;
# one that ends by _exit() does not: tests/support/coverage_exit.c. COVERAGE_REPORT_ONLY=1 leaves the tests out.
set -eu
cd "$(dirname "$0")/.."
build=build/coverage
least=90
mkdir -p $build/gcov
root=$(pwd)

if [ -z "${COVERAGE_REPORT_ONLY:-}" ]; then
    ${CC:-cc} -O1 -fPIC -c tests/support/coverage_exit.c -o $build/coverage_exit.o
    scripts/build.sh coverage
    find $build -name '*.gcda' -delete
    # What a test says counts as what it covers: a red one is reported, and the figures follow.
    ctest --test-dir $build --output-on-failure --no-tests=error "$@" || echo "coverage: some tests failed" >&2
fi

# One object after the other, because several come from one source; `lines` unites what they counted.
find "$root/$build" -name '*.gcda' | (cd $build/gcov && xargs -r "${GCOV:-gcov}" -t -s "$root" -r 2>/dev/null) |
    awk -F: -v least=$least '
        { line = $2 + 0; count = $1; gsub(/[ *]/, "", count) }
        line == 0 { if ($3 == "Source") file = $4; next }
        file !~ /^src\// || count == "-" { next }
        { at = file ":" line; counted[at] += 0 }
        count ~ /^[0-9]/ { counted[at] = 1 }
        { text = $0; sub(/^[^:]*:[^:]*:/, "", text); texts[at] = text }
        END {
            by_file_and_line = "sort -t: -k1,1 -k2,2n"
            for (at in counted) {
                split(at, part, "/")
                folder = "src/" part[2]
                n_lines[folder]++
                n_covered[folder] += counted[at]
                if (!counted[at] && folder ~ /^src\/(channel|client|host)$/) print at ":" texts[at] | by_file_and_line
            }
            close(by_file_and_line)
            print ""
            n_wanted = split("src/channel src/client src/host src/platform src/engine src/text src/options src/cli", folders, " ")
            for (i = 1; i <= n_wanted; i++) {
                folder = folders[i]
                percent = n_lines[folder] ? 100 * n_covered[folder] / n_lines[folder] : 0
                is_low = i <= 3 && percent < least
                failed = failed || is_low
                printf "%-14s %5d of %5d lines  %5.1f %%%s\n", folder, n_covered[folder], n_lines[folder], percent,
                    is_low ? "  below " least " %" : ""
            }
            exit failed
        }'
