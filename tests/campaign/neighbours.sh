#!/bin/sh
# How much longer another user's failovers take while a hostile one floods, connects and knocks:
# SIZE failovers each (80), quiet and hostile stretches in turn, both loops. Fails when a failover
# does not come; the ratios are a measurement, and want a machine of their own. SEED is not used:
# nothing here is drawn.
set -eu
cd "$(dirname "$0")/../.."
size=${SIZE:-80}
echo "campaign neighbours: seed $SEED, size $size"
"${MAKE:-make}" -s build/tests/process/test_neighbours_delay
KEYBROKER_TEST_SIZE=$size build/tests/process/test_neighbours_delay --jobs 1
echo "campaign neighbours: every failover came"
