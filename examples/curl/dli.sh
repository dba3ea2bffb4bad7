#!/usr/bin/env bash
# Submits a batch to Batchlingua with nothing but curl by the API of Huawei Cloud DLI, follows it to its end, prints its log.
#
#     examples/curl/dli.sh [FILE [ARG...]]        the demo's word count, if no file is given
#
# BATCHLINGUA_URL is where the proxy listens (http://127.0.0.1:8998), DLI_PROJECT the project's id, DLI_QUEUE the queue, DLI_TOKEN a token where the
# proxy asks for one. Exit code 0 only if the batch ended in success.
set -euo pipefail

url="${BATCHLINGUA_URL:-http://127.0.0.1:8998}/v2.0/${DLI_PROJECT:-0123456789abcdef0123456789abcdef}"
demo="$(cd "$(dirname "${BASH_SOURCE[0]}")/../demo" && pwd)"
[ $# -gt 0 ] || set -- "$demo/wordcount.py" "$demo/text.txt"

# --fail-with-body: a refusal's reason is in the body, and must be seen as well as stop the script.
call() {
  curl --silent --show-error --fail-with-body --max-time 60 ${DLI_TOKEN:+--header "X-Auth-Token: $DLI_TOKEN"} \
    --header 'Content-Type: application/json' "$@"
}

text() { local s="${1//\\/\\\\}"; printf '"%s"' "${s//\"/\\\"}"; }
number_of() { sed -n "s/.*\"$1\" *: *\([0-9][0-9]*\).*/\1/p"; }
word_of() { sed -n "s/.*\"$1\" *: *\"\([a-z0-9-]*\)\".*/\1/p"; }

args=""
for arg in "${@:2}"; do args+="${args:+, }$(text "$arg")"; done

body="{\"file\": $(text "$1"), \"args\": [$args], \"name\": \"by curl\", \"queue\": $(text "${DLI_QUEUE:-default}")}"
if ! answer="$(call --data "$body" "$url/batches")"; then
  echo "not accepted: $answer" >&2
  exit 1
fi
id="$(printf '%s' "$answer" | word_of id)"
echo "batch $id"

deadline=$((SECONDS + 600))
shown=""
while :; do
  state="$(call "$url/batches/$id/state" | word_of state)"
  [ "$state" = "$shown" ] || echo "state $state"
  shown="$state"
  case "$state" in success | dead) break ;; esac
  if [ "$SECONDS" -ge "$deadline" ]; then
    echo "still $state after ten minutes; left alone" >&2
    exit 1
  fi
  sleep 1
done

from=0
total=1
while [ "$from" -lt "$total" ]; do
  page="$(call "$url/batches/$id/log?from=$from&size=100")"
  total="$(printf '%s' "$page" | sed 's/"log" *:.*//' | number_of total)"
  # One line of the log per line, still as JSON texts: taking those apart is no work for sed.
  printf '%s\n' "$page" | sed 's/.*"log" *: *\[//; s/\]}*$//; s/","/"\n"/g'
  from=$((from + 100))
done
[ "$state" = success ]
