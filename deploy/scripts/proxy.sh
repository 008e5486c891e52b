# shellcheck shell=bash
# The proxy of a tenant: it owns the tenant's port, and its configuration names the release that serves.

proxy_config() { # tenant number: prints the folder
  local folder=$work/proxy.$1 text
  mkdir -p "$folder"
  text=$(<deploy/nginx/proxy.template)
  text=${text//@ERRORS@/"$(<deploy/nginx/errors.template)"}
  text=${text//@RESOLVER@/127.0.0.11} # the engine's
  text=${text//@LISTEN@/8011}
  text=${text//@BROKER@/"$(broker "$1" "$2"):8011"}
  printf '%s\n' "$text" >"$folder/nginx.conf"
  say "$folder"
}

proxy_running() { [ "$(state "$1-proxy" '{{.State.Running}}')" = true ]; } # tenant

# The processes of the proxy that take new connections, by id.
proxy_workers() { # tenant
  docker exec "$1-proxy" sh -c 'for p in /proc/[0-9]*; do
    tr "\0" " " <"$p/cmdline" 2>/dev/null | grep -q "^nginx: worker process *$" && echo "${p#/proc/}"; done; true'
}

# Forward the tenant's port to a release. Returns when no new call can reach another release.
switch() { # tenant number image
  local before worker
  fill_volume "$(proxy_config "$1" "$2")" "${PROJECT}_$1-proxy" 65534:65534 "$3" || return 1
  if ! proxy_running "$1"; then
    start_proxy "$1" && answers "$1" "$2"
    return
  fi
  docker exec "$1-proxy" nginx -t -q -c /config/nginx.conf || return 1
  before=$(proxy_workers "$1")
  # not `docker kill --signal`: the engine would no longer restart the container by itself
  docker exec "$1-proxy" nginx -q -c /config/nginx.conf -s reload || return 1
  for _ in $(seq 100); do # a worker that was there before and still takes connections has the old configuration
    worker=$(comm -12 <(sort <<<"$before") <(proxy_workers "$1" | sort))
    [ -n "$worker" ] || break
    sleep 0.1
  done
  [ -z "$worker" ] || return 1
  answers "$1" "$2"
}

answers() { # tenant number [attempts]: whether the broker answers through the proxy
  for _ in $(seq "${3:-20}"); do
    ! docker exec "$(broker "$1" "$2")" python -I -S -c 'import sys, urllib.request
sys.exit(urllib.request.urlopen(sys.argv[1], timeout=3).read() != b"OK")' "http://$1-proxy:8011/health" 2>/dev/null || return 0
    sleep 0.3
  done
  warn "$1: the broker does not answer through its proxy (docker logs $1-proxy)."
  return 1
}

# Try to publish the tenant's port, and say what to do if that fails. Runs before anything changes.
need_port() { # tenant image
  ! proxy_running "$1" || return 0
  [ -z "$(state "$1-gpt-broker")" ] || return 0 # the layout before the proxies; it makes way later
  docker run --rm --no-healthcheck --publish "${ADDRESS:-127.0.0.1}:${broker_port[$1]}:8011" --entrypoint true "$2" 2>"$work/port" && return
  explain_port "$1" "${broker_port[$1]}" "$work/port" || warn "$1: port ${broker_port[$1]} cannot be published: $(tail -n 3 "$work/port")"
  warn "Nothing was started."
  return 1
}

# Say who has a port, if that is why the engine failed. Returns 1 if the reason is another.
explain_port() { # tenant port output
  local holder
  grep -qE 'address already in use|port is already allocated' "$3" || return 1
  holder=$(docker ps --filter "publish=$2" --format '{{.Names}}' | head -n 1)
  if [ -n "$holder" ]; then holder="the container $holder"; else holder="another program (ss -ltnp 'sport = :$2' names it)"; fi
  warn "$1: port $2 is taken by $holder: stop it, or change the port in deploy/tenants."
}

start_proxy() { # tenant
  keep_replaced_log "$1" "$1-proxy" proxy
  compose "$PROJECT-$1" "$1" up --detach --no-deps proxy 2>"$work/start" >/dev/null && return
  explain_port "$1" "${broker_port[$1]}" "$work/start" || warn "$1: the proxy could not be started: $(tail -n 3 "$work/start")"
  compose "$PROJECT-$1" "$1" rm --force proxy >/dev/null 2>&1 || true
  return 1
}
