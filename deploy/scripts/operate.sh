# shellcheck shell=bash
# Look at the tenants and stop them: status, doctor, rehearse, stop, down, monitor.

open_calls() { # container
  # under another name, so that the file only defines its functions and does not stop the broker
  docker exec "$1" python -I -S -c "__name__ = 'drain'
$(<deploy/drain.py)
print(open_calls(Path('/proc/net/tcp').read_text(), 8011))" 2>/dev/null || say '?'
}

status() {
  need_docker
  local tenant number name
  for tenant in "${tenants[@]}"; do
    number=$(current "$tenant")
    if [ -z "$number" ]; then
      say "$tenant: not started"
    else
      name=$(broker "$tenant" "$number")
      state "$name" "$tenant: {{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}, release $number, commit {{index .Config.Labels \"org.opencontainers.image.revision\"}}, since {{.State.StartedAt}}, restarts {{.RestartCount}}"
      say "  at $(address "$tenant")  ready: $(docker exec "$name" python -I -S deploy/probe.py /ready 2>/dev/null || true)"
    fi
    has_own_redis "$tenant" 2>/dev/null || say "  redis: $(state "$(redis "$tenant")" '{{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}')"
    for name in $(brokers "$tenant"); do
      [ "$name" = "$number" ] || say "  release $name drains: $(open_calls "$(broker "$tenant" "$name")") open calls"
    done
    say "  releases: $(list_releases "$tenant")"
  done
}

finding() { # word subject [todo]: one line, as the program's own doctor writes it
  printf '%-11s  %s%s\n' "$1" "$2" "${3:+: $3}"
  case $1 in WRONG) errors=1 ;; remark) remarks=1 ;; esac
}

examine_container() { # tenant number
  local name facts restarts
  name=$(broker "$1" "$2")
  facts=$(state "$name" '{{.State.Status}}{{with .State.Health}}, {{.Status}}{{end}}')
  case $facts in
    'running, healthy' | running | 'running, starting') finding fine "container $name: $facts" ;;
    paused*)
      finding WRONG "container $name" "paused: docker unpause $name"
      return
      ;;
    *) finding WRONG "container $name" "$facts: make logs-$1" ;;
  esac
  restarts=$(state "$name" '{{.RestartCount}}')
  [ "$restarts" = 0 ] || finding remark "container $name" "the engine restarted it $restarts times: make logs-$1"
  if docker exec "$name" python -I -S deploy/probe.py /ready >"$work/ready" 2>/dev/null; then
    finding fine "/ready"
  else
    finding WRONG "/ready" "$(cat "$work/ready")"
  fi
  if [ "$(docker exec "$name" sh -c 'cd /settings && LC_ALL=C sha256sum -- *' 2>/dev/null)" != "$(fingerprint "$(settings_folder "$1")")" ]; then
    finding remark "settings" ".env.$1 or deploy/secrets/$1 changed since the start: make reload TENANT=$1, or make deploy-$1"
  fi
  if proxy_running "$1" && answers "$1" "$2" 2 2>/dev/null; then finding fine "proxy"; else
    finding WRONG "proxy" "the broker does not answer through $1-proxy: docker logs $1-proxy; ./both_up"
  fi
}

# Export the account that the doctor signs in with, and the public URL; `given` are docker's options that pass them on.
export_account() { # tenant
  local file name text
  given=()
  for file in "tests/live/.env.$1" "tests/live/.env.$1_prod"; do # the second one wins
    [ -f "$file" ] || continue
    for name in BASE_URL SUPABASE_ANON_KEY SUPABASE_EMAIL SUPABASE_PASSWORD; do
      [[ $name != BASE_URL || $file == *_prod ]] || continue # the other one names the container itself
      text=$(env_value "$file" "$name")
      [ -n "$text" ] || continue
      export "$name=$text" # not on the command line
      given+=(--env "$name")
    done
  done
}

# Exit status: 0 if all is fine, 1 after an error (WRONG), 3 if there are only remarks.
doctor() { # tenant
  need_docker
  need_env_files "$1"
  local number name text status=0
  errors='' remarks=''
  export_account "$1"
  number=$(current "$1")
  if [ -z "$number" ]; then
    number=$(releases "$1" | head -n 1)
    name=$(broker "$1" "${number:-0}")
    text=$(state "$name" "it is {{.State.Status}} since {{.State.FinishedAt}} (exit status {{.State.ExitCode}}): docker start $name, or make deploy-$1")
    finding WRONG "container $name" "${text:-$1 does not run: make deploy-$1}"
    exit 1
  fi
  examine_container "$1" "$number"
  [ "$(state "$(broker "$1" "$number")")" = running ] || exit 1 # no command runs in it
  docker exec "${given[@]}" "$(broker "$1" "$number")" python -m broker.cli doctor || status=$?
  [ -z "$errors" ] || exit 1
  [ $status = 0 ] || exit $status
  [ -z "$remarks" ] || exit 3
}

# Try the models of .env.<tenant>, which need not be in force yet. Asks OpenAI once per name.
rehearse() { # tenant
  need_docker
  need_env_files "$1"
  local image status=0
  image=$(docker image ls --filter "reference=gpt-broker:$1-*" --format '{{.ID}}' | head -n 1)
  [ -n "$image" ] || fail "$1 was never started here: make deploy-$1"
  lock "$1" "$image"
  prepare "$1" "$image" || exit 1
  docker run --rm --network "${PROJECT}_$1" --volume "$(settings_volume "$1" "$number"):/settings:ro" \
    --env ENV_FILE=/settings/env "$image" python -m broker.cli rehearse || status=$?
  docker volume rm "$(settings_volume "$1" "$number")" >/dev/null
  exit $status
}

stop() { # tenant
  need_docker
  local number
  for number in $(brokers "$1"); do
    docker update --restart no "$(broker "$1" "$number")" >/dev/null
    docker stop "$(broker "$1" "$number")" >/dev/null
  done
  compose "$PROJECT-$1" "$1" stop >/dev/null 2>&1 || true # not `down`: it would remove the logs
  say "$1 is stopped. Its call counts and logs are kept."
}

down() {
  need_docker
  local tenant
  for tenant in "${tenants[@]}"; do stop "$tenant"; done
  monitoring stop >/dev/null 2>&1 || true
  say "./both_up starts all of it again."
}

# Write the configuration of Prometheus and Grafana into their volumes, and (re)start them.
monitor() {
  need_docker
  local tenant image separator='' folder=$work/monitoring
  image=$(docker image ls --filter 'reference=gpt-broker' --format '{{.ID}}' | head -n 1)
  [ -n "$image" ] || fail "Start a tenant first: ./both_up"
  mkdir -p "$folder/prometheus" "$folder/grafana"
  cp deploy/prometheus/*.yml "$folder/prometheus/"
  for tenant in "${tenants[@]}"; do
    printf '%s{"targets": ["%s-proxy:8011"], "labels": {"tenant": "%s"}}' "$separator" "$tenant" "$tenant"
    separator=$',\n '
  done | { printf '[' && cat && printf ']\n'; } >"$folder/prometheus/targets.json"
  cp -R deploy/grafana/provisioning deploy/grafana/dashboards "$folder/grafana/"
  need_network "${PROJECT}_monitoring"
  for name in prometheus-config prometheus grafana-config grafana; do need_volume "${PROJECT}_$name"; done
  fill_volume "$folder/prometheus" "${PROJECT}_prometheus-config" 65534:65534 "$image"
  fill_volume "$folder/grafana" "${PROJECT}_grafana-config" 472:0 "$image"
  # shellcheck disable=SC2086 # services are words
  monitoring up --detach --force-recreate ${SERVICES:-}
  say "Prometheus: http://$(docker port "$PROJECT-monitoring-prometheus-1" 9090 | head -n 1)"
}
