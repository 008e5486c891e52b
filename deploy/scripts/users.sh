# shellcheck shell=bash
# The operator's commands about users: each runs `python -m broker.cli` in the container that serves, over its Redis.

in_broker() { # tenant word...
  local number tenant=$1
  shift
  number=$(current "$tenant")
  [ -n "$number" ] || fail "$tenant does not run: make deploy-$tenant"
  docker exec "$(broker "$tenant" "$number")" python -m broker.cli "$@"
}

operator_name() { printf '%s' "${BY:-$(id -un)@$(uname -n)}"; }

users() { # tenant
  need_docker
  local options=()
  [ -z "${DAY:-}" ] || options+=(--day "$DAY")
  [ -z "${TOP:-}" ] || options+=(--top "$TOP")
  if [ -t 2 ]; then options+=(--progress); fi
  if [ -z "${CSV:-}" ]; then
    in_broker "$1" users "${options[@]}"
    return
  fi
  [ ! -e "$CSV" ] || fail "$CSV exists already. Nothing was done."
  (umask 077 && in_broker "$1" users --csv "${options[@]}" >"$CSV.new") || {
    rm -f "$CSV.new"
    exit 1
  }
  mv "$CSV.new" "$CSV"
  say "$1: $(($(wc -l <"$CSV") - 1)) users are in $CSV"
}

user() { # tenant
  need_docker
  local options=() id
  id=$(need_id "$1" user)
  [ -z "${DAY:-}" ] || options+=(--day "$DAY")
  in_broker "$1" user "${options[@]}" -- "$id"
}

need_id() { # tenant command
  [ -n "${ID:-}" ] || fail "name the user: make $2 TENANT=$1 ID=123e4567-e89b-12d3-a456-426614174000"
  printf '%s' "$ID"
}

change() { # tenant command option...
  need_docker
  local tenant=$1 command=$2 id
  shift 2
  id=$(need_id "$tenant" "$command")
  in_broker "$tenant" "$command" --by "$(operator_name)" "$@" -- "$id"
}

block() { change "$1" block; }     # tenant
unblock() { change "$1" unblock; } # tenant
reset() { change "$1" reset; }     # tenant

grant() { # tenant
  local options=()
  [ -z "${CALLS:-}" ] || options+=(--calls "$CALLS")
  [ -z "${TOKENS:-}" ] || options+=(--tokens "$TOKENS")
  [ -z "${DOLLARS:-}" ] || options+=(--dollars "$DOLLARS")
  change "$1" grant "${options[@]}"
}

audit() { # tenant
  need_docker
  in_broker "$1" audit --lines "${LINES_BACK:-100}"
}
