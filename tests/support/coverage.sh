#!/bin/sh
# Run test programs of the cov variant, and say which part of the sources they reached.
#
#     coverage.sh PROGRAM...
#
# All counts are of these programs and of what they started. A process that is killed leaves none.
# Ends non-zero if a test failed or a part is below its target. build/coverage/index.html has every
# line; build/coverage/coverage.info is lcov's.
set -u
top=$(pwd)
objects=build/obj/cov
out=build/coverage

# An assertion is the program's opinion of itself: its line counts, its two ends do not.
lcov_quietly() {
    lcov --quiet --rc lcov_branch_coverage=1 --rc 'lcov_excl_br_line=\bassert\(' "$@" >>$out/lcov.log 2>&1 || {
        cat $out/lcov.log >&2
        exit 2
    }
}

mkdir -p $out
: >$out/lcov.log
lcov_quietly --zerocounters --directory $objects
# Also what no test reaches has lines that count.
lcov_quietly --capture --initial --directory $objects --base-directory "$top" --no-external --output-file $out/none.info
KEYBROKER_VARIANT=cov tests/support/run.sh "$top/build/cov/log" "$@"
failed=$?
lcov_quietly --capture --directory $objects --base-directory "$top" --no-external --output-file $out/tests.info
lcov_quietly --add-tracefile $out/none.info --add-tracefile $out/tests.info --output-file $out/all.info
lcov_quietly --extract $out/all.info "$top/broker/*" "$top/client/*" "$top/include/*" --output-file $out/some.info
lcov_quietly --remove $out/some.info "$top/broker/console/*" --output-file $out/coverage.info
genhtml --quiet --branch-coverage --rc genhtml_med_limit=80 --prefix "$top" --title keybroker \
    --output-directory $out $out/coverage.info >>$out/lcov.log 2>&1 || {
    cat $out/lcov.log >&2
    exit 2
}

awk -v top="$top/" '
    # A part is those sources whose path matches; targets in percent, 0 = only shown.
    function part(name, pattern, lines_target, branches_target) {
        names[++parts] = name
        patterns[parts] = pattern
        line_targets[parts] = lines_target
        branch_targets[parts] = branches_target
    }
    function share(hit, found) { return found ? 100 * hit / found : 100 }
    function cell(hit, found, target) {
        below = share(hit, found) < target
        short_of_it = short_of_it || below
        return sprintf("%6.1f%% of %5d%s", share(hit, found), found, below ? sprintf(" < %d%%", target) : "       ")
    }
    BEGIN {
        part("broker core", "^broker/", 90, 80)
        part("client core (the library)", "^client/[a-z_]*[.]", 90, 80)
        part("  board", "^(broker/board[.]|include/keybroker_shared/board[.])", 95, 0)
        part("  catalog", "^(broker/catalog|client/catalog[.]|include/keybroker_shared/catalog[.])", 95, 0)
        part("  store", "^broker/(store|vault)", 95, 0)
        part("  pool model", "^broker/(model|change|event|recovery|trouble|(key|pool|status|trouble)_rules)", 95, 0)
        part("the command (keybroker)", "^client/cli/", 0, 0)
        part("the example worker", "^client/examples/", 0, 0)
    }
    /^SF:/ { file = substr($0, 4 + length(top)) }
    /^L[FH]:|^BR[FH]:/ {
        split($0, field, ":")
        for (i = 1; i <= parts; i++)
            if (file ~ patterns[i])
                sum[i, field[1]] += field[2]
    }
    END {
        printf "  %-28s %s            %s\n", "", "        lines", "      branches"
        for (i = 1; i <= parts; i++)
            printf "  %-28s %s  %s\n", names[i], cell(sum[i, "LH"], sum[i, "LF"], line_targets[i]),
                cell(sum[i, "BRH"], sum[i, "BRF"], branch_targets[i])
        print "  every line: build/coverage/index.html"
        exit short_of_it
    }' $out/coverage.info || {
    echo 'coverage: a part is below its target' >&2
    exit 1
}
exit $failed
