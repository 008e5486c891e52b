# shellcheck shell=bash
# Access to the Docker engine: this machine's, or the one that HOST names.

PROJECT=${COMPOSE_PROJECT_NAME:-gpt-broker}
unset COMPOSE_PROJECT_NAME
export PROJECT
work=$(umask 077 && mktemp -d "${TMPDIR:-/tmp}/gpt-broker.XXXXXX")

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

choose_host() {
  case ${HOST:-} in
    *://*) export DOCKER_HOST=$HOST ;;
    *@*) export DOCKER_HOST=ssh://$HOST ;;
    '' | "$(hostname 2>/dev/null)" | "$(uname -n)") ;; # some shells set HOST to this machine's name
    *) fail "HOST=$HOST: write HOST=ssh://user@$HOST for another machine. Nothing was done." ;;
  esac
}

need_docker() {
  local why todo="start it, or name another host: HOST=ssh://user@host"
  command -v docker >/dev/null || fail "docker is not installed: see deploy/README.md, section 1"
  if ! why=$(docker version --format '{{.Server.Version}}' 2>&1 >/dev/null); then
    [[ $why != *"permission denied"* ]] ||
      todo="this user may not use Docker: sudo usermod -aG docker $(id -un), then log in again"
    fail "No Docker engine answers${DOCKER_HOST:+ at $DOCKER_HOST}: $todo" "  docker says: ${why//$'\n'/ }"
  fi
  docker compose version >/dev/null 2>&1 || fail "'docker compose' is missing: see deploy/README.md, section 1"
}

state() { docker container inspect --format "${2:-"{{.State.Status}}"}" "$1" 2>/dev/null || true; } # container [template]

# What deploy/compose.yaml calls external: compose wants all of it, whichever service it starts.
need_resources() { # tenant
  [[ $resources != *" $1 "* ]] || return 0
  need_network "${PROJECT}_$1"
  need_network "${PROJECT}_monitoring"
  need_volume "${PROJECT}_$1-redis"
  need_volume "${PROJECT}_$1-proxy"
  resources+=" $1 "
}
resources=''

# Compose on one tenant's containers; the release's own variables are in the environment.
compose() { # project tenant arguments...
  local project=$1 tenant=$2 files=(--file deploy/compose.yaml)
  shift 2
  [ ! -f deploy/compose.override.yaml ] || files+=(--file deploy/compose.override.yaml)
  need_resources "$tenant"
  SETTINGS=${SETTINGS:-${PROJECT}_$tenant-redis} TENANT=$tenant BROKER_PORT=${broker_port[$tenant]} REDIS_PORT=${redis_port[$tenant]} \
    docker compose --project-name "$project" "${files[@]}" --progress quiet "$@"
}

monitoring() { docker compose --project-name "$PROJECT-monitoring" --file deploy/monitoring.yaml --progress quiet "$@"; }

need_network() { # name
  docker network inspect "$1" >/dev/null 2>&1 || docker network create --label "gpt-broker.project=$PROJECT" "$1" >/dev/null
}

need_volume() { # name [label...]
  local name=$1 labels=() label
  shift
  for label; do labels+=(--label "$label"); done
  docker volume create --label "gpt-broker.project=$PROJECT" "${labels[@]}" "$name" >/dev/null
}

# Copy a folder into a volume, which then holds nothing else. The files go through the connection to the engine, so that
# this works on a remote host as well.
fill_volume() { # folder volume owner image
  tar --create --file - --directory "$1" . | docker run --rm --interactive --network none --user 0 --entrypoint sh \
    --volume "$2:/to" "$4" -c "rm -rf /to/* && tar --extract --file - --no-same-owner --directory /to \
      && chown -R $3 /to && chmod -R u=rX,go= /to && chmod -R u+w /to"
}

# One operation per tenant at a time, from whichever machine. The lock is a container that ends with this script's
# connection to it, so that no crash leaves it behind.
lock() { # tenant image
  local name=$1-gpt-broker-lock owner=$$-$RANDOM holder
  local descriptor
  # the new lock must not keep the others open
  exec {descriptor}> >(for other in "${held[@]}"; do exec {other}>&-; done && exec docker run --rm --interactive --network none --no-healthcheck --name "$name" --label "gpt-broker.owner=$owner" \
    --label "gpt-broker.by=$(id -un)@$(uname -n), $(date +%H:%M:%S)" --entrypoint cat "$2" >/dev/null 2>"$work/lock.$1")
  for _ in $(seq 100); do
    holder=$(state "$name" '{{.State.Running}} {{index .Config.Labels "gpt-broker.owner"}}')
    if [ "$holder" = "true $owner" ]; then
      held[$1]=$descriptor
      return
    fi
    if [ -s "$work/lock.$1" ]; then break; fi
    sleep 0.1
  done
  holder=$(state "$name" '{{index .Config.Labels "gpt-broker.by"}}')
  fail "Another operation on $1 is under way (by ${holder:-unknown}). Nothing was done." "$(head -n 2 "$work/lock.$1")"
}

declare -A held=()

unlock() { # tenant
  local descriptor=${held[$1]:-}
  [ -n "$descriptor" ] || return 0
  exec {descriptor}>&-
  unset "held[$1]"
  for _ in $(seq 50); do
    [ -n "$(state "$1-gpt-broker-lock")" ] || return 0
    sleep 0.1
  done
}
