# shellcheck shell=bash
# Images: gpt-broker:<commit> for each build, gpt-broker:<tenant>-<number> for each release that passed its checks.

IN_IMAGE=(wsgi.py requirements.txt broker config/gunicorn.conf.py deploy/Dockerfile deploy/install-packages deploy/probe.py)
KEEP=5 # releases per tenant

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null || true; }
commit_of() { # image
  docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$1" 2>/dev/null || true
}

# Build the image of this commit. Uncommitted files are reported and left out.
build() { # sets `built`, the commit's name
  local context=$work/context.tar changed
  if built=$(git rev-parse --short=12 HEAD 2>/dev/null); then
    changed=$(git status --porcelain --untracked-files=all -- "${IN_IMAGE[@]}")
    [ -z "$changed" ] || warn "Not committed, so not in the image:" "$(printf '\n%s' "$changed")"
    git archive --output "$context" HEAD "${IN_IMAGE[@]}"
  else
    # a repository that git cannot read: its files belong to no known commit
    [ ! -e .git ] || fail "git cannot tell which commit this is. Nothing was started. git says:" "$(git rev-parse HEAD 2>&1 || true)"
    tar --create --file "$context" --exclude __pycache__ --sort=name --mtime=@0 --owner=0 --group=0 "${IN_IMAGE[@]}"
    built=unversioned-$(sha256sum <"$context" | cut -c 1-12)
    warn "This folder is not a git repository: the image is built from the files as they are."
  fi
  say "building gpt-broker:$built"
  # shellcheck disable=SC2086 # options are words
  docker build --quiet ${BUILD_OPTIONS:-} --build-arg "BASE_IMAGE=${BASE_IMAGE:-python:3.13-slim}" \
    --build-arg "REVISION=$built" --file deploy/Dockerfile --tag "gpt-broker:$built" - <"$context" >/dev/null ||
    fail "The image could not be built. Nothing was started."
}

releases() { # tenant: numbers of the releases that passed, newest first
  docker image ls --filter "reference=gpt-broker:$1-*" --format '{{.Tag}}' | sed -nE "s/^$1-([0-9]+)$/\1/p" | sort -rn
}

# Remove images, settings and stopped containers, unless one of the last five releases needs them. The logs are kept.
prune() { # tenant
  local number kept tag
  kept=$(releases "$1" | head -n "$KEEP")
  for number in $(releases "$1" | tail -n "+$((KEEP + 1))"); do
    docker image rm "gpt-broker:$1-$number" >/dev/null 2>&1 || true
  done
  for number in $(stopped_brokers "$1" | tail -n "+$((KEEP + 1))"); do
    keep_log "$1" "$(broker "$1" "$number")"
    docker container rm "$(broker "$1" "$number")" >/dev/null 2>&1 || true
  done
  for number in $(settings_numbers "$1"); do
    grep -qx "$number" <<<"$kept" || docker volume rm "$(settings_volume "$1" "$number")" >/dev/null 2>&1 || true
  done
  local used
  used=$(docker image ls --filter 'reference=gpt-broker' --format '{{.Tag}} {{.ID}}' | sed -nE 's/^[a-z][a-z0-9]*-[0-9]+ //p')
  docker image ls --filter 'reference=gpt-broker' --format '{{.Tag}} {{.ID}}' | while read -r tag number; do
    [[ $tag =~ ^[a-z][a-z0-9]*-[0-9]+$ ]] || grep -qx "$number" <<<"$used" ||
      docker image rm "gpt-broker:$tag" >/dev/null 2>&1 || true
  done
}
