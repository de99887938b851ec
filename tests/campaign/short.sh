#!/bin/sh
# Memory that fails a broker, at any allocation while it starts or serves, and descriptors that run
# out: SIZE allocations each, on both loops (15). Each allocation of the library has its turn in
# tests/unit/test_reader_memory_short.
set -eu
cd "$(dirname "$0")/../.."
size=${SIZE:-15}
echo "campaign short: seed $SEED, size $size"
"${MAKE:-make}" -s build/tests/process/test_short
KEYBROKER_TEST_SIZE=$size KEYBROKER_TEST_SEED=$SEED build/tests/process/test_short --jobs 2
echo "campaign short: no finding"
