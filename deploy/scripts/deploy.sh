# shellcheck shell=bash
# Put a release into service: deploy, rollback, up, reload.

# Record the release that serves now, drain the previous one, and remove older ones.
commit_release() { # tenant number before [the release that it repeats and replaces]
  docker tag "$(state "$(broker "$1" "$2")" '{{.Image}}')" "gpt-broker:$1-$2"
  unchecked=''
  [ -z "${4:-}" ] || docker image rm "gpt-broker:$1-$4" >/dev/null 2>&1 || true
  [ -z "$3" ] || drain "$1" "$3"
  prune "$1"
}

# Check a prepared release and switch the proxy to it. The previous release stays in service if anything fails.
release() { # tenant number image
  local before status=0
  before=$(current "$1")
  say "starting $1, release $2 ($(commit_of "$3"))"
  if try_release "$1" "$2" "$3"; then
    leave_old_layout "$1"
    trap '' INT TERM HUP # the switch takes a second or two
    if switch "$1" "$2" "$3"; then
      commit_release "$1" "$2" "$before"
    else
      status=1
      switch_back "$1" "$2" "$before" "$3"
    fi
    on_signals
    if [ $status = 0 ]; then
      say "$1 runs $(commit_of "$3"), release $2: http://$(address "$1")"
      return
    fi
  fi
  put_back "$1" "$before"
  return 1
}

# After a switch that failed. The proxy may forward to the new release already, so that one stops last.
switch_back() { # tenant number before image
  [ -z "$3" ] || switch "$1" "$3" "$4" || true
  abandon "$1" "$2"
}

# After a failure: the previous release stays in service, or the last good one starts with its own settings.
put_back() { # tenant before
  local last
  if [ -n "$2" ]; then
    warn "$1: the new release is not in service. Release $2 ($(commit_of "gpt-broker:$1-$2")) serves as before."
    return
  fi
  last=$(releases "$1" | head -n 1)
  [ -n "$last" ] || { warn "$1 is not in service, and there is no release to go back to."; return; }
  if repeat "$1" "$last"; then
    warn "$1: the new release is not in service. The last good one is back with its settings, checked."
  else
    warn "$1 is not in service: the last good release fails as well. Check what it depends on: make doctor TENANT=$1"
  fi
}

# Start a good release again, with its settings, under a new number.
repeat() { # tenant number
  local new before needs_redis image=gpt-broker:$1-$2
  before=$(current "$1")
  new=$(next_number "$1")
  need_volume "$(settings_volume "$1" "$new")" "gpt-broker.settings=$PROJECT-$1"
  needs_redis=$(docker run --rm --network none --user 0 --entrypoint sh --volume "$(settings_volume "$1" "$2"):/from:ro" \
    --volume "$(settings_volume "$1" "$new"):/to" "$image" -c 'cp -a /from/. /to/ && grep -rh redis-stack /to | grep -v "^ *#"') || true
  # the settings of this machine may name another Redis
  [ -z "$needs_redis" ] || [ "$(state "$(redis "$1")")" = running ] || start_redis "$1"
  try_release "$1" "$new" "$image" || return 1
  trap '' INT TERM HUP
  if ! switch "$1" "$new" "$image"; then
    switch_back "$1" "$new" "$before" "$image"
    on_signals
    return 1
  fi
  commit_release "$1" "$new" "$before" "$2"
  on_signals
  repeated=$new
}

address() { docker port "$1-proxy" 8011 2>/dev/null | head -n 1; } # tenant

# Older versions had no proxy: the broker published the port itself. It must stop before the proxy can start, once.
leave_old_layout() { # tenant
  local old=$1-gpt-broker
  [ -n "$(state "$old")" ] || return 0
  say "$1: the container $old makes way for the proxy, once; its open calls end first"
  docker stop "$old" >/dev/null && docker rm "$old" >/dev/null
}

deploy() { # tenant
  need_docker
  need_env_files "$1"
  build
  lock "$1" "gpt-broker:$built"
  need_port "$1" "gpt-broker:$built" || exit 1
  need_redis "$1"
  prepare "$1" "gpt-broker:$built" || exit 1
  release "$1" "$number" "gpt-broker:$built" || exit 1
  unlock "$1"
}

is_current() { # tenant number image: whether the release that serves has this image and these settings
  local name
  name=$(broker "$1" "$2")
  proxy_running "$1" && [ "$(state "$name" '{{.Image}}')" = "$(image_id "$3")" ] &&
    [ "$(docker exec "$name" sh -c 'cd /settings && LC_ALL=C sha256sum -- *')" = "$(fingerprint "$work/settings.$1")" ] &&
    docker exec "$name" python -I -S deploy/probe.py /ready >/dev/null 2>&1
}

up() {
  need_docker
  need_env_files "${tenants[@]}"
  build
  local tenant before wrong='' failed='' image=gpt-broker:$built
  declare -A numbers
  # everything is checked before anything starts
  for tenant in "${tenants[@]}"; do
    lock "$tenant" "$image"
    need_port "$tenant" "$image" || wrong=yes
    prepare "$tenant" "$image" || wrong=yes
    numbers[$tenant]=$number
  done
  if [ -n "$wrong" ]; then
    for tenant in "${tenants[@]}"; do docker volume rm "$(settings_volume "$tenant" "${numbers[$tenant]}")" >/dev/null 2>&1 || true; done
    exit 1
  fi
  for tenant in "${tenants[@]}"; do need_redis "$tenant"; done
  for tenant in "${tenants[@]}"; do
    before=$(current "$tenant")
    if [ -n "$before" ] && is_current "$tenant" "$before" "$image"; then
      docker volume rm "$(settings_volume "$tenant" "${numbers[$tenant]}")" >/dev/null
      say "$tenant runs $built with these settings already: http://$(address "$tenant")"
    else
      release "$tenant" "${numbers[$tenant]}" "$image" || failed+=" $tenant"
    fi
  done
  monitoring start >/dev/null 2>&1 || true # as it was before both_down
  [ -z "$failed" ] || fail "Not updated:$failed"
}

is_commit() { [ -n "$1" ] && [[ $1 == "$2"* || $2 == "$1"* ]]; } # an image's commit, and one of any length

rollback() { # tenant
  need_docker
  local number before target=''
  before=$(current "$1")
  before=${before:-$(releases "$1" | head -n 1)}
  for number in $(releases "$1"); do
    [ "$number" != "$before" ] || continue
    [ -z "${TO:-}" ] || is_commit "$(commit_of "gpt-broker:$1-$number")" "$TO" || continue
    target=$number
    break
  done
  [ -n "$target" ] || fail "$1 has no such release. Releases: $(list_releases "$1")"
  lock "$1" "gpt-broker:$1-$target"
  need_env_files "$1"
  need_redis "$1"
  repeated=''
  repeat "$1" "$target" || fail "$1: release $target does not pass its checks; nothing changed for users."
  unlock "$1"
  say "$1 runs $(commit_of "gpt-broker:$1-$repeated") again, with the settings that it had."
}

list_releases() { # tenant
  local number text=''
  for number in $(releases "$1"); do text+="$number ($(commit_of "gpt-broker:$1-$number")) "; done
  say "${text:-none}"
}

# Read the settings and secrets anew without a new container. Open calls go on.
reload() { # tenant
  need_docker
  need_env_files "$1"
  local serving image
  serving=$(current "$1")
  [ -n "$serving" ] || fail "$1 does not run: make deploy-$1"
  image=$(state "$(broker "$1" "$serving")" '{{.Image}}')
  lock "$1" "$image"
  prepare "$1" "$image" || exit 1 # the settings that are in use stay
  docker volume rm "$(settings_volume "$1" "$number")" >/dev/null
  fill_volume "$work/settings.$1" "$(settings_volume "$1" "$serving")" 10001:10001 "$image"
  # not `docker kill --signal`: the engine would no longer restart the container by itself
  docker exec "$(broker "$1" "$serving")" python -I -S -c 'import os, signal; os.kill(1, signal.SIGHUP)'
  sleep 1
  wait_ready "$1" "$serving" || fail "$1: not ready after the reload: make logs-$1"
  unlock "$1"
  say "$1 uses the settings of .env.$1."
}
