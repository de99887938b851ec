#!/bin/bash
# The protocol, proved: spin looks at every state of tests/model/board.pml, in several sizes that
# each leave something out, and must find what is wrong with every variant that is broken on purpose.
# Without SIZE what CI can afford; SIZE=long adds the larger sizes (minutes, 2 GB). Nothing is random.
set -u
cd "$(dirname "$0")/../.." || exit 2
model=$PWD/tests/model/board.pml
echo "protocol: SEED=${SEED:-0} (not used) SIZE=${SIZE:-}"
for tool in spin gcc; do
    command -v $tool >/dev/null || { echo "protocol: FAILED: $tool is missing (Debian: apt-get install $tool)"; exit 1; }
done
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# check NAME EXPECTED OPTIMISATION SECONDS SWITCH...: EXPECTED is sound or broken.
check() {
    local name=$1 expected=$2 optimisation=$3 seconds=$4 dir
    shift 4
    dir=$work/$name
    mkdir -p "$dir" && cd "$dir" || return 1
    if ! spin "$@" -a "$model" >spin.log 2>&1 ||
        ! gcc "$optimisation" -w -DCOLLAPSE -DSAFETY -DMEMLIM=1900 -o pan pan.c >>spin.log 2>&1; then
        cat spin.log
        echo "FAILED: $name does not build"
        return 1
    fi
    timeout "$seconds" ./pan -m100000 -w24 >pan.log 2>&1
    local code=$? violated
    violated=$(sed -n 's/^pan:1: assertion violated \(.*\) (at depth.*/\1/p' pan.log)
    local states depth
    states=$(awk '/states, stored/ { print $1 }' pan.log)
    depth=$(sed -n 's/.*depth reached \([0-9]*\), errors.*/\1/p' pan.log)
    local size="${states:-?} states, depth ${depth:-?}"
    if [ "$expected" = broken ]; then
        [ -n "$violated" ] && { echo "  $name: found ($size): $violated"; return 0; }
        echo "FAILED: spin does not find what is wrong with $name ($size, code $code)"
        return 1
    fi
    # Complete: ended by itself, nothing found, nothing cut off.
    if [ $code -eq 0 ] && grep -q 'errors: 0' pan.log && ! grep -qE 'Search not completed|max search depth' pan.log; then
        echo "  $name: holds ($size)"
        return 0
    fi
    cat pan.log
    echo "FAILED: $name (code $code)"
    return 1
}
export -f check
export model work

{
    # name expected optimisation seconds switches
    while read -r line; do [ -z "$line" ] || echo "$line"; done <<'LIST'
crash_and_command sound -O1 100 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1 -DBUFFER=3
crash_and_report sound -O1 100 -DCOMMANDS=0 -DREPORTS=1 -DCRASHES=1 -DBUFFER=3
command_reordered sound -O1 100 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DBUFFER=8
two_catalogs sound -O1 100 -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
answered_reports sound -O1 100 -DCOMMANDS=0 -DREPORTS=1 -DCRASHES=0 -DSKIPS_LAST
GENERATION_BEFORE_STATUS broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
GENERATION_RELAXED broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DBUFFER=8
GENERATION_READ_LAST broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
HINT_NOT_VERIFIED broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
INDEX_BEFORE_VERSION broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
DESCRIPTOR_RELAXED broken -O0 60 -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
VERSION_NOT_ZEROED broken -O0 60 -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
NO_RECHECK broken -O0 60 -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
UNLINK_BEFORE_INDEX broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
RENAME_LATE broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
NO_SWEEP broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
NO_FLOOR broken -O0 60 -DCOMMANDS=0 -DREPORTS=0 -DCRASHES=1
NO_FIRST_GENERATION broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
ACK_BEFORE_COMMIT broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
ACK_BEFORE_ANNOUNCE broken -O0 60 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
WORD_WITHOUT_ID broken -O0 60 -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_CATALOGS -DFAILURES=1
REPORTS_NEVER_STALE broken -O0 60 -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0
PENDING_NOT_STALE broken -O0 60 -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0
LIST
    [ "${SIZE:-}" != long ] || cat <<'LIST'
two_commands sound -O2 600 -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0
command_and_report sound -O2 600 -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0
two_readers sound -O2 600 -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DREADERS=2
two_crashes sound -O2 600 -DCOMMANDS=0 -DREPORTS=0 -DCRASHES=2
LIST
} | sed 's/^\([A-Z_]*\) broken \(.*\)$/\1 broken \2 -D\1/' |
    xargs -P "$(nproc)" -L 1 bash -c 'check "$@"' _ 2>&1 | tee "$work/log"

# 23 lines, and 4 more when long: a check that broke off is a failure too.
wanted=$([ "${SIZE:-}" = long ] && echo 27 || echo 23)
passed=$(grep -cE '^  [A-Za-z_]+: (holds|found)' "$work/log")
if [ "$passed" -ne "$wanted" ]; then
    echo "protocol: FAILED: $passed of $wanted checks passed"
    exit 1
fi
echo "protocol: passed, $passed checks, $SECONDS s"
