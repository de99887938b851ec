#!/bin/sh
# Disks and damage: SIZE flipped bits and some lengths (every one from SIZE=100000 on) of store,
# catalog and board, SIZE/50 damaged boards that a broker starts beside; one EIO, one ENOSPC at SIZE/50
# calls that concern the broker's files (every one from SIZE=100000 on). Disks that are full, failing,
# read-only or gone, and runtime directories that are wiped under running workers, are in `make test`
# (test_disk, test_runtime_wiped), and here from SIZE=100000 on.
set -u
size=${SIZE:-1000}
lengths=100
steps=$((size / 50))
if [ "$size" -ge 100000 ]; then
    lengths=0
    steps=0
fi
echo "campaign-disk: SEED=$SEED SIZE=$size"
export KEYBROKER_TEST_SEED="$SEED" KEYBROKER_FLIPS="$size" KEYBROKER_LENGTHS="$lengths" \
    KEYBROKER_STEPS="$steps" KEYBROKER_BOARDS=$((size / 50))
failed=
run() { # run NAME ARGUMENT...
    program=$1
    shift
    "$KEYBROKER_BUILD/tests/$program" --jobs 2 "$@" || failed="$failed $program"
}
run unit/test_store_flips
run unit/test_reader_flips
run process/test_damaged_board
run process/test_steps --filter 'steps/an_input_output_error_*'
run process/test_steps --filter 'steps/a_full_disk_*'
[ "$size" -lt 100000 ] || {
    run process/test_disk
    run process/test_runtime_wiped
}
[ -z "$failed" ] || {
    echo "campaign-disk: found something:$failed"
    exit 1
}
echo 'campaign-disk: nothing found'
