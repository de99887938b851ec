#!/bin/bash
# The protocol, proved: spin looks at every state of tests/model/board.pml, in several sizes that
# each leave something out, and of wait.pml, and must find what is wrong with every variant that is
# broken on purpose. Without SIZE what CI can afford; SIZE=long adds the larger sizes (minutes, 2 GB).
# Nothing is random.
set -u
cd "$(dirname "$0")/../.." || exit 2
models=$PWD/tests/model
echo "protocol: SEED=${SEED:-0} (not used) SIZE=${SIZE:-}"
for tool in spin gcc; do
    command -v $tool >/dev/null || { echo "protocol: FAILED: $tool is missing (Debian: apt-get install $tool)"; exit 1; }
done
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# check NAME EXPECTED PROPERTY SWITCH...: EXPECTED is sound or broken. PROPERTY: `safety`, the board's
# assertions; `settles`, that its readers come to rest, whosever turn it is; `wait`, that its
# sleepers do, where everybody gets a turn.
check() {
    local name=$1 expected=$2 property=$3 dir model=board.pml search='-m200000' compile
    shift 3
    [ "$expected" = sound ] && compile=-O1 || compile='-O0 -DREVERSE' # the other way round finds sooner
    case $property in
    safety) compile="$compile -DSAFETY" ;;
    settles) search="$search -a"; set -- -DSETTLES "$@" ;;
    wait) # fairness and -DREVERSE do not go together
        model=wait.pml search='-m2000000 -a -f' compile='-O1 -DNFAIR=3' ;;
    esac
    [ "$expected" = sound ] || set -- "-D${name%_again}" "$@"
    dir=$work/$name
    mkdir -p "$dir" && cd "$dir" || return 1
    if ! spin "$@" -a "$models/$model" >spin.log 2>&1 ||
        ! gcc $compile -w -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c >>spin.log 2>&1; then
        cat spin.log
        echo "FAILED: $name does not build"
        return 1
    fi
    (ulimit -t "$seconds" && exec ./pan $search -w24) >pan.log 2>&1
    local code=$? found
    found=$(sed -n -e 's/^pan:1: assertion violated \(.*\) (at depth.*/\1/p' \
        -e 's/^pan:1: acceptance cycle.*/never settles/p' pan.log)
    local states depth
    states=$(awk '/states, stored/ { print $1 }' pan.log)
    depth=$(sed -n 's/.*depth reached \([0-9]*\), errors.*/\1/p' pan.log)
    local size="${states:-?} states, depth ${depth:-?}, $SECONDS s"
    if [ "$expected" = broken ]; then
        [ -n "$found" ] && { echo "  $name: found ($size): $found"; return 0; }
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
seconds=$([ "${SIZE:-}" = long ] && echo 600 || echo 100) # of a processor, for one check
export -f check
export models work seconds

# name expected property switches; what takes long comes first.
cat >"$work/list" <<'LIST'
crash_and_report sound safety -DCOMMANDS=0 -DREPORTS=1 -DCRASHES=1 -DBUFFER=3
crash_and_command sound safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1 -DBUFFER=3
command_reordered sound safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DBUFFER=8
two_catalogs sound safety -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
answered_reports sound safety -DCOMMANDS=0 -DREPORTS=1 -DCRASHES=0 -DSKIPS_LAST
command_settles sound settles -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DBUFFER=3 -DFAILURES=1
death_settles sound settles -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1 -DBUFFER=3 -DDIES
report_settles sound settles -DCOMMANDS=0 -DREPORTS=1 -DCRASHES=0 -DBUFFER=3 -DSKIPS_LAST
sleepers sound wait
sleepers_and_crash sound wait -DCRASHES=1 -DGETS_UP -DCHANGES=1
GENERATION_BEFORE_STATUS broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
GENERATION_RELAXED broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DBUFFER=8
GENERATION_READ_LAST broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
HINT_NOT_VERIFIED broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
INDEX_BEFORE_VERSION broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
DESCRIPTOR_RELAXED broken safety -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
VERSION_NOT_ZEROED broken safety -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
NO_RECHECK broken safety -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER
UNLINK_BEFORE_INDEX broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
RENAME_LATE broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
NO_SWEEP broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
NO_FLOOR broken safety -DCOMMANDS=0 -DREPORTS=0 -DCRASHES=1
NO_FIRST_GENERATION broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
ACK_BEFORE_COMMIT broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
ACK_BEFORE_ANNOUNCE broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0
WORD_WITHOUT_ID broken safety -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0 -DONLY_CATALOGS -DFAILURES=1
REPORTS_NEVER_STALE broken safety -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0
PENDING_NOT_STALE broken safety -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0
OLD_OVER_NEW broken safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1
TICKET_UNSYNCED broken safety -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0 -DONLY_SECRET -DFAILURES=1 -DBUFFER=3
NO_TOUCH broken settles -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0 -DONLY_SECRET -DSKIPS_LAST -DBUFFER=3
NO_RETRY broken settles -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER -DFAILURES=1 -DBUFFER=3
GENERATION_READ_LAST_again broken settles -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DONLY_ORDER -DBUFFER=3
INDEX_BEFORE_VERSION_again broken settles -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=1 -DONLY_ORDER -DDIES -DBUFFER=3
NO_WAKE broken wait
WAKE_OVERTAKES_GENERATION broken wait
NO_COMPARING broken wait
COLLISION_FORGOTTEN broken wait
ONE_PIECE_ONLY broken wait
WAKE_EVERYBODY_IN_PIECES broken wait -DCHANGES=1
NEVER_GETS_UP broken wait -DCRASHES=1 -DCHANGES=1
LIST
[ "${SIZE:-}" != long ] || cat >>"$work/list" <<'LIST'
two_commands sound safety -DCOMMANDS=2 -DREPORTS=0 -DCRASHES=0
command_and_report sound safety -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0
two_readers sound safety -DCOMMANDS=1 -DREPORTS=0 -DCRASHES=0 -DREADERS=2
two_crashes sound safety -DCOMMANDS=0 -DREPORTS=0 -DCRASHES=2
renewal_settles sound settles -DCOMMANDS=1 -DREPORTS=1 -DCRASHES=0 -DONLY_SECRET -DSKIPS_LAST -DBUFFER=3
more_changes sound wait -DCHANGES=4
more_changes_and_crash sound wait -DCRASHES=1 -DGETS_UP
LIST
xargs -P "$(nproc)" -L 1 bash -c 'check "$@"' _ <"$work/list" 2>&1 | tee "$work/log"

# A check that broke off is a failure too.
wanted=$(grep -c . "$work/list")
passed=$(grep -cE '^  [A-Za-z_]+: (holds|found)' "$work/log")
if [ "$passed" -ne "$wanted" ]; then
    echo "protocol: FAILED: $passed of $wanted checks passed"
    exit 1
fi
echo "protocol: passed, $passed checks, $SECONDS s"
