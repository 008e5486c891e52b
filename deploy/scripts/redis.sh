# shellcheck shell=bash
# The Redis of a tenant: start, backup, restore, upgrade. A tenant whose REDIS_URL names another Redis has none here.

redis() { say "$1-redis-stack"; }
redis_volume() { say "${PROJECT}_$1-redis"; }
redis_answers() { docker exec "$(redis "$1")" timeout 3 redis-cli ping 2>/dev/null | grep -q PONG; } # tenant

# Start the tenant's Redis if it is not there; refuse if it is there and does not answer.
need_redis() { # tenant
  ! has_own_redis "$1" || return 0
  case $(state "$(redis "$1")") in
    running)
      redis_answers "$1" || fail "$1: its Redis runs and does not answer (docker logs $(redis "$1")). Nothing was touched."
      ;;
    paused) fail "$1: its Redis is paused (docker unpause $(redis "$1")). Nothing was touched." ;;
    *) start_redis "$1" ;;
  esac
}

start_redis() { # tenant
  keep_replaced_log "$1" "$(redis "$1")" redis
  compose "$PROJECT-$1" "$1" up --detach --no-deps redis >"$work/start" 2>&1 || {
    explain_port "$1" "${redis_port[$1]}" "$work/start" || warn "$(tail -n 3 "$work/start")"
    fail "$1: its Redis could not be started. Nothing else was touched."
  }
  wait_redis "$1" || fail "$1: its Redis does not answer after 30 s (docker logs $(redis "$1"))."
}

wait_redis() { # tenant
  for _ in $(seq 60); do
    ! redis_answers "$1" || return 0
    sleep 0.5
  done
  return 1
}

# Wait until the broker uses its Redis again.
wait_current() { # tenant
  local number
  number=$(current "$1")
  [ -z "$number" ] || docker exec "$(broker "$1" "$number")" sh -c 'for i in $(seq 30); do
    python -I -S deploy/probe.py /ready >/dev/null && exit; sleep 0.5; done; exit 1' || warn "$1 is not ready yet: make doctor TENANT=$1"
}

need_bundled_redis() { # tenant
  need_docker
  [ "$(state "$(redis "$1")")" = running ] || fail "$1: no Redis of deploy/stack runs. Back up another Redis with its own tools."
}

# A snapshot that Redis itself writes; it can be read by this version of Redis and by later ones.
backup() { # tenant
  need_bundled_redis "$1"
  local file=${FILE:-backup-$1-$(date -u +%Y%m%d-%H%M%S).rdb}
  [ ! -e "$file" ] || fail "$file exists already. Nothing was done."
  (umask 077 && docker exec "$(redis "$1")" redis-cli --rdb - 2>/dev/null >"$file.new") || {
    rm -f "$file.new"
    fail "$1: Redis gave no snapshot. Nothing was written."
  }
  [ "$(head -c 5 "$file.new")" = REDIS ] || { rm -f "$file.new"; fail "$1: the snapshot is not complete. Nothing was written."; }
  mv "$file.new" "$file"
  say "$1: $(docker exec "$(redis "$1")" redis-cli dbsize) keys are in $file"
}

# Redis reads its append-only file and ignores dump.rdb. So the snapshot is loaded once without an append-only file, and
# Redis writes a new one from it.
LOAD='set -e
rm -rf /data/before && mkdir /data/before
for f in /data/appendonlydir /data/dump.rdb; do [ ! -e "$f" ] || mv "$f" /data/before/; done
cat >/data/dump.rdb
redis-server --appendonly no --save "" --dir /data --port 0 --unixsocket /tmp/redis.sock --daemonize no >/tmp/log &
c() { redis-cli -s /tmp/redis.sock "$@"; }
for i in $(seq 100); do [ "$(c ping 2>/dev/null)" != PONG ] || break; sleep 0.1; done
[ "$(c ping)" = PONG ] || { cat /tmp/log >&2; exit 1; }
c config set appendonly yes >/dev/null
for i in $(seq 600); do c info persistence | tr -d "\r" | grep -qx aof_rewrite_in_progress:0 && c info persistence | tr -d "\r" | grep -qx aof_rewrite_scheduled:0 && break; sleep 0.1; done
c dbsize
c shutdown nosave || true
rm /data/dump.rdb'
UNDO='rm -rf /data/appendonlydir /data/dump.rdb; [ ! -d /data/before ] || mv /data/before/* /data/; rmdir /data/before'

restore() { # tenant
  need_bundled_redis "$1"
  [ -f "${FILE:-}" ] || fail "name the file: make restore-$1 FILE=backup-$1-….rdb. Nothing was done."
  [ "$(head -c 5 "$FILE")" = REDIS ] || fail "$FILE is not a snapshot of Redis. Nothing was done."
  local image keys run=(docker run --rm --interactive --network none --user redis --tmpfs /tmp --volume "$(redis_volume "$1"):/data" --entrypoint sh)
  image=$(state "$(redis "$1")" '{{.Image}}')
  lock "$1" "$image"
  say "$1: restoring $FILE; calls get 503 until Redis is back"
  trap '' INT TERM HUP # half a restore would leave no Redis, and the counts aside
  docker stop "$(redis "$1")" >/dev/null
  if ! keys=$("${run[@]}" "$image" -c "$LOAD" <"$FILE"); then
    "${run[@]}" "$image" -c "$UNDO" </dev/null || true
    docker start "$(redis "$1")" >/dev/null
    fail "$1: Redis could not load $FILE. The counts are as they were."
  fi
  docker start "$(redis "$1")" >/dev/null
  on_signals
  wait_redis "$1" || fail "$1: Redis does not answer after the restore (docker logs $(redis "$1"))."
  wait_current "$1"
  unlock "$1"
  say "$1: $keys keys are restored. The counts from before are in the folder 'before' of the volume until the next restore."
}

# Run the image of deploy/compose.yaml or of REDIS_IMAGE. Calls get 503 for a few seconds.
upgrade_redis() { # tenant
  need_bundled_redis "$1"
  backup "$1"
  lock "$1" "$(state "$(redis "$1")" '{{.Image}}')"
  start_redis "$1"
  wait_current "$1"
  unlock "$1"
  say "$1: $(docker exec "$(redis "$1")" redis-server --version | cut -d ' ' -f 1-3), $(docker exec "$(redis "$1")" redis-cli dbsize) keys"
}
