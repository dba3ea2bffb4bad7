#!/usr/bin/env bash
# Looks at Batchlingua's batches with nothing but curl by Kylin's job API. That API submits nothing; the other dialects do.
#
#     examples/curl/kylin.sh                 lists the project's jobs: id, status, name
#     examples/curl/kylin.sh JOB             follows one to its end, prints its log
#     examples/curl/kylin.sh JOB discard     ends it
#
# BATCHLINGUA_URL is where the proxy listens (http://127.0.0.1:8998), BATCHLINGUA_LOGIN a name and a password as name:password, KYLIN_PROJECT
# the project. Exit code 0 only if a job that was followed ended in FINISHED.
set -euo pipefail

url="${BATCHLINGUA_URL:-http://127.0.0.1:8998}/kylin/api"
project="${KYLIN_PROJECT:-default}"

# Without the media type a Kylin 5 server takes the request for that of an older API.
call() {
  curl --silent --show-error --fail-with-body --max-time 60 --user "${BATCHLINGUA_LOGIN:-ADMIN:KYLIN}" \
    --header 'Accept: application/vnd.apache.kylin-v4-public+json' --header 'Content-Type: application/json' "$@"
}
# One job a line, so that sed can look at each by itself.
jobs() {
  local answer
  if ! answer="$(call --get --data-urlencode "key=$1" --data "time_filter=4&page_size=$2&project=$project" "$url/jobs")"; then
    echo "refused: $answer" >&2
    return 1
  fi
  printf '%s\n' "$answer" | sed 's/{"id"/\n{"id"/g'
}
word_of() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }

if [ $# -eq 0 ]; then
  jobs "" 100 | sed -n 's/^{"id" *: *"\([^"]*\)".*"job_status" *: *"\([^"]*\)".*"target_subject" *: *"\([^"]*\)".*/\1  \2  \3/p'
  exit
fi

if [ "${2:-}" = discard ]; then
  call --request PUT --data "{\"action\": \"DISCARD\", \"project\": \"$project\", \"job_ids\": [\"$1\"]}" "$url/jobs/status"
  echo
  exit
fi

deadline=$((SECONDS + 600))
shown=""
while :; do
  # The API has no job by its id: the list is asked for it.
  status="$(jobs "$1" 1 | word_of job_status)"
  if [ -z "$status" ]; then
    echo "no job $1 in project $project" >&2
    exit 1
  fi
  [ "$status" = "$shown" ] || echo "status $status"
  shown="$status"
  case "$status" in FINISHED | ERROR | DISCARDED) break ;; esac
  if [ "$SECONDS" -ge "$deadline" ]; then
    echo "still $status after ten minutes; left alone" >&2
    exit 1
  fi
  sleep 1
done

# A batch is a job of one step.
call "$url/jobs/$1/steps/${1}_00/log?project=$project"
[ "$status" = FINISHED ]
