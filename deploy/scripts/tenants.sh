# shellcheck shell=bash
# The list of tenants, and each tenant's files on this machine.

tenants=()
declare -A broker_port=() redis_port=()

read_tenants() {
  local name port other _
  while read -r name port other _ || [ -n "$name" ]; do
    case $name in '' | '#'*) continue ;; esac
    [[ $name =~ ^[a-z][a-z0-9]{0,30}$ && $port =~ ^[0-9]+$ && $other =~ ^[0-9]+$ ]] ||
      fail "deploy/tenants: '$name $port $other' is not a tenant: a name (a-z, 0-9), the broker's port, Redis's port"
    tenants+=("$name")
    broker_port[$name]=$port
    redis_port[$name]=$other
  done < <(tr -d '\r' <deploy/tenants)
}

known_tenant() { # tenant
  [ -n "${broker_port[${1:-none}]:-}" ] || fail "name a tenant: ${tenants[*]}"
}

need_env_files() { # tenant...
  local tenant file missing=()
  for tenant; do [ -f ".env.$tenant" ] || missing+=(".env.$tenant"); done
  if [ ${#missing[@]} != 0 ]; then
    warn "Missing: ${missing[*]}. Nothing was started."
    for file in "${missing[@]}"; do warn "  cp config/example.env $file   # and fill in the first six settings"; done
    exit 1
  fi
  close_secrets
}

# Env files hold keys and passwords: remove other users' access.
close_secrets() {
  local file
  for file in .env .env.* deploy/.env deploy/secrets/*/* tests/live/.env.*; do
    [ -f "$file" ] && [ -n "$(find "$file" -perm /o+rwx)" ] || continue
    chmod o-rwx "$file" || fail "$file is accessible to every user of this machine: chmod 600 $file"
    warn "$file was accessible to every user of this machine; it no longer is."
  done
}

# Write the tenant's settings as its container finds them in /settings: `env` and the files of deploy/secrets/<tenant>/.
settings_folder() { # tenant: prints the folder
  local folder=$work/settings.$1 file
  rm -rf "$folder"
  mkdir -p "$folder"
  tr -d '\r' <".env.$1" >"$folder/env"
  for file in "deploy/secrets/$1"/*; do
    [ ! -f "$file" ] || cp "$file" "$folder/"
  done
  say "$folder"
}

fingerprint() { (cd "$1" && LC_ALL=C sha256sum -- *); } # folder

# A value in an env file, with blanks, quotes and comments as the program reads them.
env_value() { # file name
  tr -d '\r' <"$1" | sed -nE "s/^[[:space:]]*(export[[:space:]]+)?$2[[:space:]]*=[[:space:]]*//p" | tail -n 1 |
    sed -E "s/^'([^']*)'.*/\1/; t; s/^\"([^\"]*)\".*/\1/; t; s/[[:space:]]+#.*//; s/[[:space:]]+$//"
}

has_own_redis() { # tenant: whether it uses a Redis that deploy/stack does not run
  local url
  url=$(env_value ".env.$1" REDIS_URL)
  if [ -z "$url" ]; then # in a file
    url=$(env_value ".env.$1" REDIS_URL_FILE)
    url=$(cat "deploy/secrets/$1/${url##*/}" 2>/dev/null || true)
  fi
  [[ $url != *redis-stack* ]]
}
