# shellcheck shell=bash
# Logs. The engine has those of running and stopped containers. The log of a container that is removed goes into the
# tenant's log volume.

LOG_FILES=20 # per tenant: a container's log has at most 100 MB, and is stored compressed

logs_volume() { say "${PROJECT}_$1-logs"; }

# Store the log of a container that is about to be removed, and remove the oldest files.
keep_log() { # tenant container [suffix of the file's name]
  need_volume "$(logs_volume "$1")"
  docker logs "$2" 2>&1 | gzip |
    docker run --rm --interactive --network none --user 0 --volume "$(logs_volume "$1"):/logs" --entrypoint sh \
      "$(state "$2" '{{.Image}}')" -c "cd /logs && cat >'$2${3:-}.gz' && ls -t | tail -n +$((LOG_FILES + 1)) | xargs rm -f --" || true
}

# Store the log of a proxy or Redis that compose is about to replace, because its configuration or its image changed.
keep_replaced_log() { # tenant container service
  local as_started now
  as_started=$(state "$2" '{{.Image}} {{index .Config.Labels "com.docker.compose.config-hash"}}')
  [ -n "$as_started" ] || return 0
  now="$(docker image inspect --format '{{.Id}}' "$(state "$2" '{{.Config.Image}}')" 2>/dev/null || true)"
  now+=" $(compose "$PROJECT-$1" "$1" config --hash "$3" | cut -d ' ' -f 2)"
  [ "$as_started" = "$now" ] || keep_log "$1" "$2" "-$(date -u +%Y%m%d-%H%M%S)"
}

logs() { # tenant
  need_docker
  local number=${RELEASE:-} name image
  if [ -z "$number" ]; then
    number=$(current "$1")
    number=${number:-$(brokers "$1" --all | head -n 1)}
    [ -n "$number" ] || fail "$1 was never started here."
    rm -rf "$work" # exec runs no trap
    exec docker logs --follow --tail "${LINES_BACK:-100}" "$(broker "$1" "$number")"
  fi
  name=$(broker "$1" "$number")
  if [ -n "$(state "$name")" ]; then
    rm -rf "$work"
    exec docker logs "$name"
  fi
  image=$(docker image ls --filter 'reference=gpt-broker' --format '{{.ID}}' | head -n 1)
  docker run --rm --network none --user 0 --volume "$(logs_volume "$1"):/logs:ro" --entrypoint gzip \
    "${image:-none}" -dc "/logs/$name.gz" 2>/dev/null || fail "There is no log of release $number of $1."
}
