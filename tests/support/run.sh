#!/bin/sh
# Run test programs one after the other and say at the end how it went.
#
#     run.sh LOGDIR PROGRAM...
#
# All of them are run, whatever happens; the last line sums them up. A program's output is shown when
# it fails and kept in LOGDIR. Sanitizers write what they find to files there, also those of brokers that a test started
# and whose output nobody reads: any such file is a failure, even if every assertion held.
set -u
logs=$1
shift
mkdir -p "$logs"
rm -f "$logs"/sanitizer.*

common="log_path=$logs/sanitizer"
export ASAN_OPTIONS="$common:detect_leaks=1:abort_on_error=0:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="$common:print_stacktrace=1:${UBSAN_OPTIONS:-}"
export LSAN_OPTIONS="$common:${LSAN_OPTIONS:-}"
export TSAN_OPTIONS="$common:second_deadlock_stack=1:${TSAN_OPTIONS:-}"

# The number after a word of a program's last line.
number() { echo "$summary" | sed -n "s/.*$1: \([0-9]*\).*/\1/p"; }

failed=
passed_count=0
failed_count=0
for program in "$@"; do
    name=$(basename "$program")
    start=$(date +%s)
    timeout -k 10 "${TEST_TIMEOUT:-600}" "$program" --jobs "${TEST_JOBS:-2}" \
        >"$logs/$name.log" 2>&1 </dev/null
    code=$?
    summary=$(grep -a 'Synthesis:' "$logs/$name.log" | tail -1 | sed 's/.*Synthesis: //')
    found=$(ls "$logs" | grep -c '^sanitizer\.')
    passing=$(number Passing)
    failing=$(number Failing)
    passed_count=$((passed_count + ${passing:-0}))
    failed_count=$((failed_count + ${failing:-0}))
    if [ $code -eq 0 ] && [ -n "$summary" ] && [ "$found" -eq 0 ]; then
        printf '  %-28s %s (%d s)\n' "$name" "$summary" $(($(date +%s) - start))
        continue
    fi
    failed="$failed $name"
    [ "${failing:-0}" -gt 0 ] || failed_count=$((failed_count + 1)) # it broke off, or a sanitizer spoke
    cat "$logs/$name.log"
    for report in "$logs"/sanitizer.*; do
        [ -e "$report" ] || continue
        cat "$report"
        mv "$report" "$logs/$name.$(basename "$report")"
    done
    printf '  %-28s FAILED (exit code %d) %s\n' "$name" $code "$summary"
done
[ -z "$failed" ] || echo "failed:$failed" >&2
echo "$passed_count passed, $failed_count failed"
[ -z "$failed" ]
