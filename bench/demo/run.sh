#!/bin/sh
# `make run`: broker and web console in the foreground until Ctrl-C, and what to type next.
#
#     run.sh BUILD [STATE]
#
# The state stays in STATE (BUILD/run/state); the runtime directory is a new one on tmpfs. The console takes
# port 8480, or another where that is taken.
set -u
build=$1
state=${2:-$build/run/state}
broker= console=

mkdir -p -m 700 "$state"
parent=${XDG_RUNTIME_DIR:-/dev/shm}
[ -w "$parent" ] || parent=/dev/shm
runtime=$(mktemp -d "$parent/keybroker-run.XXXXXX") || exit 1
chmod 755 "$runtime"
export KEYBROKER_RUNTIME_DIR="$runtime"

end() {
    signalled=yes
    [ -n "$broker" ] || exit 1
    kill $broker $console 2>/dev/null
}
trap end INT TERM # what a shell starts in the background does not hear Ctrl-C itself
trap 'rm -rf "$runtime"' EXIT

pools() {
    "$build/keybroker" show pools | sed 1d | cut -d' ' -f1
}

is_taken() { # is_taken PORT: somebody listens there (state 0A), at whichever address
    grep -qs ":$(printf %04X "$1") [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6
}

say_what_to_type() { # say_what_to_type POOL...
    echo "The broker runs here until Ctrl-C; its state stays in $state."
    echo 'In another terminal, from this directory, type:'
    echo "  export KEYBROKER_RUNTIME_DIR=$runtime"
    if [ $# = 0 ]; then
        echo '  build/keybroker add pool openai vendor=openai     # asks for the first API key'
        echo '  build/keybroker add key openai name=second'
        set -- openai
    else
        echo '  build/keybroker show pools                        # what is there from earlier'
    fi
    echo "  build/keybroker show keys $1"
    echo "  build/keybroker current $1                    # what every worker is handed now"
    echo '  build/keybroker help'
}

"$build/keybrokerd" --state-dir "$state" --runtime-dir "$runtime" &
broker=$!
until "$build/keybroker" show info >/dev/null 2>&1; do
    kill -0 $broker 2>/dev/null || { wait $broker; exit; } # it has said why
    sleep 0.05
done
echo
say_what_to_type $(pools)
if [ -x "$build/keybroker-console" ]; then
    listen=127.0.0.1:8480
    echo 'Or open in a browser what the next line says:'
    if is_taken 8480; then
        echo '(port 8480 is taken, so the console takes another)'
        listen=127.0.0.1:0
    fi
    "$build/keybroker-console" --listen $listen &
    console=$!
fi
# A signal ends a wait before the broker has ended.
signalled=yes
while [ -n "$signalled" ]; do
    signalled=
    wait $broker
    code=$?
done
kill $console 2>/dev/null
exit $code
