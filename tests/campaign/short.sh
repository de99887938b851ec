#!/bin/sh
# Memory that fails a broker, at any allocation while it starts or serves, descriptors that run out
# and memory that may not be locked: SIZE allocations each, on both loops (15), chosen at random;
# SIZE=0: every one, in turn. Each allocation of the library has its turn in
# tests/unit/test_reader_memory_short.
set -eu
cd "$(dirname "$0")/../.."
size=${SIZE:-15}
echo "campaign short: seed $SEED, size $size"
"${MAKE:-make}" -s build/tests/process/test_short
KEYBROKER_TEST_SIZE=$size KEYBROKER_TEST_SEED=$SEED build/tests/process/test_short --jobs 2
echo "campaign short: no finding"
