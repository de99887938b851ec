#!/bin/sh
# SIZE workers that come, report and go, in sixteens; as many forks beside threads; a fortieth as
# many rounds of stopping and continuing workers and broker (160). Both loops.
set -eu
cd "$(dirname "$0")/../.."
size=${SIZE:-160}
echo "campaign processes: seed $SEED, size $size"
"${MAKE:-make}" -s build/tests/process/test_processes
KEYBROKER_TEST_SIZE=$size KEYBROKER_TEST_SEED=$SEED build/tests/process/test_processes --jobs 2
echo "campaign processes: no finding"
