# shellcheck shell=bash
# A release: a number, an image and the settings that it runs with. Its container is <tenant>-gpt-broker-<number>; its
# settings are in a volume of their own, so that going back to a release brings its settings back as well.

READY_WITHIN=${READY_WITHIN:-60}   # seconds
DRAIN_TIMEOUT=${DRAIN_TIMEOUT:-600} # seconds that open calls of the old release may take after a deployment

broker() { say "$1-gpt-broker-$2"; } # tenant number
settings_volume() { say "${PROJECT}_$1-settings-$2"; }

brokers() { # tenant [docker ps options...]: numbers of the containers, newest first
  local tenant=$1
  shift
  docker ps --filter "label=gpt-broker.project=$PROJECT" --filter "label=gpt-broker.tenant=$tenant" \
    --format '{{.Label "gpt-broker.release"}}' "$@" | sort -rn
}
stopped_brokers() { brokers "$1" --all --filter status=exited --filter status=created --filter status=dead; }
settings_numbers() {
  docker volume ls --filter "label=gpt-broker.settings=$PROJECT-$1" --format '{{.Name}}' | sed -nE 's/.*-settings-([0-9]+)$/\1/p'
}

current() { # tenant: the number of the release that serves; empty if none runs
  local number
  number=$(releases "$1" | head -n 1)
  [ -z "$number" ] || [ "$(state "$(broker "$1" "$number")" '{{.State.Running}}')" != true ] || say "$number"
}

next_number() { # tenant
  local last
  last=$({ brokers "$1" --all; settings_numbers "$1"; releases "$1"; } | sort -rn | head -n 1)
  say $((${last:-0} + 1))
}

store_settings() { # tenant number folder image
  need_volume "$(settings_volume "$1" "$2")" "gpt-broker.settings=$PROJECT-$1"
  fill_volume "$3" "$(settings_volume "$1" "$2")" 10001:10001 "$4"
}

# The program's own check of the settings, in the image.
check_settings() { # tenant number image
  local output
  output=$(docker run --rm --network none --volume "$(settings_volume "$1" "$2"):/settings:ro" \
    --env ENV_FILE=/settings/env "$3" python -m broker.cli check 2>&1) && return
  if grep -qE '^ *- ' <<<"$output"; then
    warn ".env.$1 cannot be used. Nothing was started."
    grep -E '^ *- ' <<<"$output" >&2
    warn "Correct it (config/example.env explains every setting) and run this again."
  else
    warn "$1: the program of $(commit_of "$3") cannot check its settings. Nothing was started." "$(tail -n 20 <<<"$output")"
  fi
  return 1
}

# Store the settings of this machine as those of a new release, and check them.
prepare() { # tenant image: sets `number`
  number=$(next_number "$1")
  store_settings "$1" "$number" "$(settings_folder "$1")" "$2"
  check_settings "$1" "$number" "$2" && return
  docker volume rm "$(settings_volume "$1" "$number")" >/dev/null
  return 1
}

start_broker() { # tenant number image
  BROKER=$(broker "$1" "$2") IMAGE=$3 SETTINGS=$(settings_volume "$1" "$2") RELEASE=$2 \
    compose "$PROJECT-$1-$2" "$1" up --detach --no-build --no-deps broker 2>"$work/start" >/dev/null || {
    warn "$1: the container could not be started: $(tail -n 3 "$work/start")"
    return 1
  }
}

wait_ready() { # tenant number
  local name restarts answer='' end=$((SECONDS + READY_WITHIN))
  name=$(broker "$1" "$2")
  restarts=$(state "$name" '{{.RestartCount}}')
  while [ $SECONDS -lt $end ]; do
    answer=$(docker exec "$name" python -I -S deploy/probe.py /ready 2>/dev/null) && return
    if [ "$(state "$name" '{{.State.Status}} {{.RestartCount}}')" != "running $restarts" ]; then
      warn "$1: release $2 ends right after its start."
      return 1
    fi
    sleep 0.5
  done
  warn "$1: release $2 is not ready after $READY_WITHIN s: ${answer:-no answer}"
  return 1
}

# The quick part of the live suite in a container beside the broker's: it needs no Python here and works on a remote host.
# Only this tenant's account goes along.
live_quick() { # tenant number
  local files=(tests/__init__.py tests/live/*.py deploy/tenants)
  [ ! -f "tests/live/.env.$1" ] || files+=("tests/live/.env.$1")
  tar --create --file - "${files[@]}" | docker run --rm --interactive --network "container:$(broker "$1" "$2")" \
    --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges:true --workdir /tmp \
    "$(state "$(broker "$1" "$2")" '{{.Image}}')" \
    sh -c 'tar --extract --file - --no-same-owner && exec python -m tests.live --quick --url http://127.0.0.1:8011 "$1"' live "$1"
}

# Start a release beside the one that serves, and check it. No user reaches it yet.
try_release() { # tenant number image
  unchecked="$1 $2"
  if start_broker "$1" "$2" "$3" && wait_ready "$1" "$2" && live_quick "$1" "$2"; then return; fi
  abandon "$1" "$2"
  return 1
}

# Stop a release that did not pass. Its container stays for its log, as those of the last five that stopped.
abandon() { # tenant number
  local name
  name=$(broker "$1" "$2")
  unchecked=''
  if [ -n "$(state "$name")" ]; then
    warn "$1: the last lines of release $2 (all of them: make logs-$1 RELEASE=$2):"
    docker logs --tail 20 "$name" >&2 2>&1 || true
    docker update --restart no "$name" >/dev/null 2>&1 || true
    docker stop --time 10 "$name" >/dev/null 2>&1 || true
  fi
}

# Let the open calls of a release end, at most DRAIN_TIMEOUT seconds, and stop it then. This goes on in the container itself.
drain() { # tenant number
  local name
  name=$(broker "$1" "$2")
  docker update --restart no "$name" >/dev/null 2>&1 || return 0
  docker exec --detach "$name" python -c "$(<deploy/drain.py)" "$DRAIN_TIMEOUT" 2>/dev/null ||
    docker stop "$name" >/dev/null 2>&1 || true
}
