#!/bin/sh
# What the web console's page waits for: `show keys` of a pool with 1,000 keys through
# keybroker-console, one request after the other on one connection, beside the same with one key.
#
#     bench/console.sh [BUILD]        BUILD: where the programs are (build); needs curl
set -eu
build=${1:-build}
rounds=500
state=$(mktemp -d "$build/console-state.XXXXXX")
runtime=$(mktemp -d /dev/shm/keybroker-bench.XXXXXX)
chmod 700 "$state"
chmod 755 "$runtime"
trap 'kill $console $broker 2>/dev/null || true; wait; rm -rf "$state" "$runtime"' EXIT
console= broker=

"$build/keybrokerd" --state-dir "$state" --runtime-dir "$runtime" 2>"$state/log" &
broker=$!
until [ -S "$runtime/admin.sock" ]; do sleep 0.05; done
"$build/keybroker-console" --listen 127.0.0.1:0 --runtime-dir "$runtime" >"$state/address" &
console=$!
until grep -q token "$state/address"; do sleep 0.05; done
address=$(sed -n '1s/.*: //p' "$state/address")
site=${address%/*}
secret=$(curl -s -c "$state/cookies" "$address" | sed -n 's/.*name="page-secret" content="\([^"]*\)".*/\1/p')

keys=$(seq 1000 | sed 's/.*/{"name":"key&","config":{"api_key":"sk-bench-&-0123456789abcdef"}}/' | paste -sd,)
echo "{\"pool\":{\"vendor\":\"openai\"},\"keys\":[$keys]}" | "$build/keybroker" -r "$runtime" import many mode=create >/dev/null
echo sk-bench-0123456789abcdef | "$build/keybroker" -r "$runtime" add pool one vendor=openai >/dev/null

measure() { # measure POOL NAME
    for _ in $(seq $rounds); do
        printf 'next\nurl = "%s/api/command"\noutput = "%s/body"\nwrite-out = "%%{http_code} %%{time_total}\\n"\n' "$site" "$state"
        printf 'cookie = "%s/cookies"\nheader = "Origin: %s"\nheader = "Content-Type: application/json"\n' "$state" "$site"
        printf 'header = "Keybroker-Page-Secret: %s"\n' "$secret"
        printf 'data = "{\\"words\\":[\\"show\\",\\"keys\\",\\"%s\\"]}"\n' "$1"
    done | sed 1d >"$state/requests"
    curl -s -K "$state/requests" >"$state/times"
    [ "$(grep -c '^200 ' "$state/times")" = $rounds ] || { echo "not every request was answered" >&2; exit 1; }
    bytes=$(wc -c <"$state/body")
    sort -k2n "$state/times" | awk -v name="$2" -v bytes="$bytes" '{ ms[NR] = $2 * 1000 } END {
        printf "%-22s %9d bytes   p50 %6.2f ms   p99 %6.2f ms   slowest %6.2f ms\n",
            name, bytes, ms[int(NR * 0.5)], ms[int(NR * 0.99)], ms[NR] }'
}
measure one 'show keys, 1 key'
measure many 'show keys, 1,000 keys'
