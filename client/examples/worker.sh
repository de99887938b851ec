#!/bin/sh
# A worker in shell: each call gets the key that is current now, in the environment variables that
# the vendor's own tools read (OPENAI_API_KEY, OPENAI_BASE_URL …). Copy it.
#
#     worker.sh POOL QUESTION...          asks one question after the other, prints the answers
#
# A shell cannot report what became of a key; other workers on the host do, and the next call gets
# the next key. So what fails is tried again, a little later each time, with whatever key is current
# then. The key never stands on a command line, where every user could see it.
set -eu

# Runs with the key in its environment: `keybroker exec` started it.
if [ "${1-}" = --ask ]; then
    body=$(printf '{"model":"%s","messages":[{"role":"user","content":"%s"}]}' \
        "${MODEL-gpt-4o-mini}" "$(printf '%s' "$2" | sed 's/[\\"]/\\&/g' | tr '\n\t' '  ')")
    printf 'header = "Authorization: Bearer %s"\n' "$OPENAI_API_KEY" |
        curl --silent --show-error --fail-with-body --max-time 60 --config - \
            --header 'Content-Type: application/json' --data "$body" \
            "${OPENAI_BASE_URL-https://api.openai.com/v1}/chat/completions"
    exit
fi

if [ $# -lt 2 ]; then
    echo 'usage: worker.sh POOL QUESTION...' >&2
    exit 2
fi
pool=$1
shift
failed=0
for question; do
    pause=1
    until "${KEYBROKER-keybroker}" exec "$pool" -- "$0" --ask "$question"; do
        if [ "$pause" -gt 8 ]; then
            echo "worker.sh: no answer to: $question" >&2
            failed=1
            break
        fi
        sleep "$pause"
        pause=$((pause * 2))
    done
    echo
done
exit "$failed"
