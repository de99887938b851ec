#!/bin/sh
# kill -9: SIZE rounds of a broker killed at a random moment under admin changes, reports and 16
# reading workers (test_kill), and a broker killed before and after calls that concern its files
# (test_steps): SIZE of each kind chosen at random, at most 40; every one from SIZE=1000 on.
set -u
size=${SIZE:-500}
steps=$size
[ "$steps" -le 40 ] || steps=40
[ "$size" -lt 1000 ] || steps=0
echo "campaign-kill: SEED=$SEED SIZE=$size"
export KEYBROKER_TEST_SEED="$SEED" KEYBROKER_KILL_ROUNDS="$size" KEYBROKER_STEPS="$steps"
tests=$KEYBROKER_BUILD/tests/process
failed=
"$tests/test_steps" --jobs 2 --filter 'steps/a_broker_killed_*' || failed="$failed steps"
"$tests/test_kill" || failed="$failed kill"
[ -z "$failed" ] || {
    echo "campaign-kill: found something:$failed"
    exit 1
}
echo 'campaign-kill: nothing found'
