#!/bin/sh
# Random steps of the clock (milliseconds to ten years, forward and back) under a broker and a
# reader, with new expiries, rate limits and restarts between, against an oracle: SIZE runs of ten
# steps on each loop (2), each with a seed of its own.
set -eu
cd "$(dirname "$0")/../.."
size=${SIZE:-2}
echo "campaign time: seed $SEED, size $size"
"${MAKE:-make}" -s build/tests/process/test_clock
run=0
while [ $run -lt "$size" ]; do
    KEYBROKER_TEST_SIZE=10 KEYBROKER_TEST_SEED=$((SEED + run)) build/tests/process/test_clock \
      --filter 'clock/any_steps*' || { echo "campaign time: finding at seed $((SEED + run))"; exit 1; }
    run=$((run + 1))
done
echo "campaign time: $size runs on each loop, no finding"
