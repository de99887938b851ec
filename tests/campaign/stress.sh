#!/bin/bash
# The protocol in the real code: a reader on one core, a publisher that is killed over and over on
# the other (stress.c). SIZE is the number of reads.
set -u
cd "$(dirname "$0")/../.." || exit 2
size=${SIZE:-200000000} seed=${SEED:-1}
[ "$size" != long ] || size=1000000000
echo "stress: SEED=$seed SIZE=$size reads"
directory=$(mktemp -d /dev/shm/keybroker-stress.XXXXXX) || exit 2
trap 'rm -rf "$directory"' EXIT
program=${KEYBROKER_BUILD:-build}/campaign/stress
mkdir "$directory/sound"
# It must find what is wrong with a publisher that writes statuses after their generation, and with
# one whose deadlines pass sooner than it says.
for fault in broken early; do
    mkdir "$directory/$fault"
    if "$program" "$size" "$seed" "$directory/$fault" $fault; then
        echo "stress: FAILED: a publisher that is $fault was not noticed"
        exit 1
    fi
done
if "$program" "$size" "$seed" "$directory/sound"; then
    echo "stress: passed, $SECONDS s"
else
    echo "stress: FAILED, $SECONDS s"
    exit 1
fi
