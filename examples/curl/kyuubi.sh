#!/usr/bin/env bash
# Submits a batch to Batchlingua with nothing but curl by Kyuubi's API, follows its log to its end.
#
#     examples/curl/kyuubi.sh [FILE [ARG...]]        the demo's word count, if no file is given
#
# BATCHLINGUA_URL is where the proxy listens (http://127.0.0.1:8998), BATCHLINGUA_LOGIN a name and a password as name:password. A file that
# ends in .jar needs its main class as CLASS. Exit code 0 only if the batch ended in FINISHED.
set -euo pipefail

url="${BATCHLINGUA_URL:-http://127.0.0.1:8998}/api/v1"
demo="$(cd "$(dirname "${BASH_SOURCE[0]}")/../demo" && pwd)"
[ $# -gt 0 ] || set -- "$demo/wordcount.py" "$demo/text.txt"

# --fail-with-body: a refusal's reason is in the body, and must be seen as well as stop the script.
call() { curl --silent --show-error --fail-with-body --max-time 60 ${BATCHLINGUA_LOGIN:+--user "$BATCHLINGUA_LOGIN"} "$@"; }

text() { local s="${1//\\/\\\\}"; printf '"%s"' "${s//\"/\\\"}"; }
number_of() { sed -n "s/.*\"$1\" *: *\([0-9][0-9]*\).*/\1/p"; }
word_of() { sed -n "s/.*\"$1\" *: *\"\([A-Za-z0-9-]*\)\".*/\1/p"; }

args=""
for arg in "${@:2}"; do args+="${args:+, }$(text "$arg")"; done
case "$1" in
  *.jar) kind="\"batchType\": \"SPARK\", \"className\": $(text "${CLASS:?the main class of a .jar}")" ;;
  *) kind='"batchType": "PYSPARK"' ;;
esac

if ! answer="$(call --header 'Content-Type: application/json' \
  --data "{$kind, \"resource\": $(text "$1"), \"args\": [$args], \"name\": \"by curl\"}" "$url/batches")"; then
  echo "not accepted: $answer" >&2
  exit 1
fi
id="$(printf '%s' "$answer" | word_of id)"
echo "batch $id"

# As kyuubi-ctl does: the log first, and the state whenever there is nothing new in it.
deadline=$((SECONDS + 600))
shown=""
from=0
while :; do
  page="$(call "$url/batches/$id/localLog?from=$from&size=100")"
  rows="$(printf '%s' "$page" | number_of rowCount)"
  if [ "$rows" -gt 0 ]; then
    # One line of the log per line, still as JSON texts: taking those apart is no work for sed.
    printf '%s\n' "$page" | sed 's/.*"logRowSet" *: *\[//; s/\], *"rowCount".*//; s/","/"\n"/g'
    from=$((from + rows))
    continue
  fi
  state="$(call "$url/batches/$id" | word_of state)"
  [ "$state" = "$shown" ] || echo "state $state"
  # Once more after the end: what was printed last may have come between the two.
  case "$shown" in FINISHED | ERROR | CANCELED) break ;; esac
  shown="$state"
  case "$state" in FINISHED | ERROR | CANCELED) continue ;; esac
  if [ "$SECONDS" -ge "$deadline" ]; then
    echo "still $state after ten minutes; left alone" >&2
    exit 1
  fi
  sleep 1
done
[ "$state" = FINISHED ]
