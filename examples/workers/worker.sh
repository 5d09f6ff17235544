#!/usr/bin/env bash
# A worker of bash, curl and jq: one job at a time, and a program for each.
#
#   WINDLASS_URL=http://127.0.0.1:7979 ./worker.sh QUEUE PROGRAM [ARGUMENT…]
#
# The program gets the payload on stdin, and WINDLASS_JOB, WINDLASS_KIND and WINDLASS_ATTEMPT in its environment.
# It ends with 0 (done; what it printed is the result, if that is JSON), with 75 (later, no try spent) or with anything
# else (failed: the end of its stderr says why). While it runs, heartbeats keep the lease; when the lease is lost or the
# job is cancelled, the program is asked to end. SIGTERM lets the running job finish and takes no other;
# it may take the 5 s of a claim. While the
# server is away nothing ends: the worker asks again. WINDLASS_TOKEN is sent when it is set.
set -u

[ $# -ge 2 ] || { echo "usage: worker.sh QUEUE PROGRAM [ARGUMENT…]" >&2; exit 2; }
url=${WINDLASS_URL:-http://127.0.0.1:7979}
queue=$1
shift

room=$(mktemp -d) || exit 1
trap 'rm -rf "$room"' EXIT
# In a file, because a command line can be read by everybody on the machine.
echo "authorization: Bearer ${WINDLASS_TOKEN-}" >"$room/header"
[ -n "${WINDLASS_TOKEN-}" ] || : >"$room/header"

stopping=''
trap 'stopping=1' TERM INT

# post PATH BODY ANSWER SECONDS: 0 when it was done, 1 when the server said no, 2 when there is no server.
post() {
  local code
  code=$(curl -s -o "$3" -w '%{http_code}' --max-time "$4" -H "@$room/header" --data-binary @- "$url$1" <<<"$2")
  case $code in
    2??) return 0 ;;
    429 | 5?? | 000) return 2 ;;
    *) return 1 ;;
  esac
}

# until_done PATH BODY: an end that the server does not hear of would be a job done for nothing.
until_done() {
  local pause=1
  while post "$1" "$2" "$room/told" 10; [ $? -eq 2 ]; do
    sleep "$pause"
    pause=$((pause < 8 ? pause * 2 : 8))
  done
}

# beat EVERY ID LEASE PROGRAM: keeps the lease; ends the program when it is lost, or the job is not wanted any more.
beat() {
  while sleep "$1"; do
    post "/v1/jobs/$2/heartbeat" "{\"lease\":\"$3\"}" "$room/beat" 10
    case $? in
      0) [ "$(jq .cancel_requested "$room/beat")" = true ] || continue ;;
      2) continue ;;
    esac
    kill -TERM -- "-$4" 2>/dev/null
    return
  done
}

# work: the job in the file `job`, from its payload to its end.
work() {
  local id lease kind attempt encoding every program beats status body
  eval "$(jq -r '@sh "id=\(.id) lease=\(.lease) kind=\(.kind) attempt=\(.attempt) every=\(.lease_ms / 3000)
    encoding=\(.payload_encoding)"' "$room/job")"
  jq -j 'if .payload_encoding == "json" then .payload | tojson else .payload end' "$room/job" >"$room/payload"
  if [ "$encoding" = base64 ]; then
    base64 -d "$room/payload" >"$room/bytes" && mv "$room/bytes" "$room/payload"
  fi
  echo 143 >"$room/status" # unless the program says otherwise, it was ended
  : >"$room/err"
  # Of a group of its own, so that what it has started ends with it.
  set -m
  {
    WINDLASS_JOB=$id WINDLASS_KIND=$kind WINDLASS_ATTEMPT=$attempt \
      "${program_and_arguments[@]}" <"$room/payload" >"$room/out" 2>"$room/err"
    echo $? >"$room/status"
  } &
  program=$!
  beat "$every" "$id" "$lease" "$program" </dev/null >/dev/null 2>&1 &
  beats=$!
  set +m
  # A signal interrupts the wait, not the program.
  while kill -0 "$program" 2>/dev/null; do wait "$program"; done
  kill -- "-$beats" 2>/dev/null
  wait "$beats" 2>/dev/null
  status=$(cat "$room/status")
  case $status in
    0)
      body=$(jq -cn --arg lease "$lease" --slurpfile out "$room/out" \
        '{lease: $lease} + if ($out | length) == 1 then {result: $out[0]} else {} end' 2>/dev/null) ||
        body=$(jq -cn --arg lease "$lease" '{lease: $lease}')
      until_done "/v1/jobs/$id/complete" "$body"
      ;;
    75)
      until_done "/v1/jobs/$id/snooze" "$(jq -cn --arg lease "$lease" '{lease: $lease, delay: "1m", reason: "exit 75"}')"
      ;;
    *)
      tail -c 4096 "$room/err" >"$room/why"
      body=$(jq -cn --arg lease "$lease" --arg class "exit $status" --rawfile why "$room/why" \
        '{lease: $lease, error: {class: $class, message: (($why | sub("\\s+$"; "")) | if . == "" then $class else . end)}}')
      until_done "/v1/jobs/$id/fail" "$body"
      ;;
  esac
}

program_and_arguments=("$@")
worker=w-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
claim=$(jq -cn --arg queue "$queue" --arg worker "$worker" '{queues: [$queue], worker: $worker, wait: "5s"}')
pause=1
while [ -z "$stopping" ]; do
  # To its end, also when it is time to stop: a claim that is broken off may have been answered.
  {
    post /v1/claim "$claim" "$room/claimed" 20
    echo $? >"$room/answer"
  } &
  while kill -0 $! 2>/dev/null; do wait $!; done
  answer=$(cat "$room/answer")
  if [ "$answer" -ne 0 ]; then
    [ "$answer" -eq 2 ] || { echo "worker.sh: $(cat "$room/claimed")" >&2; exit 1; }
    sleep "$pause"
    pause=$((pause < 8 ? pause * 2 : 8))
    continue
  fi
  pause=1
  jq -c '.jobs[0] // empty' "$room/claimed" >"$room/job"
  if [ ! -s "$room/job" ]; then
    continue
  elif [ -n "$stopping" ]; then
    until_done "/v1/jobs/$(jq -r .id "$room/job")/release" "$(jq -c '{lease, reason: "shutdown"}' "$room/job")"
  else
    work
  fi
done
