#!/bin/sh
# Makes what docker-compose.yml needs and is not there yet: .env, secrets/, data/, weights/.
# Whatever is there stays as it is, so it may be run again.
set -eu
cd "$(dirname "$0")/.."

random() { # so many random bytes as base64url, without padding
  head -c "$1" /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_'
}

secret() { # name, value
  test -e "secrets/$1" || printf '%s\n' "$2" > "secrets/$1"
  # Containers read it as users of their own. On this machine the folder keeps others out.
  chmod 444 "secrets/$1"
}

test -e .env || cp .env.example .env
mkdir -p data weights secrets
chmod 700 secrets
secret database_password "$(random 32)"
secret metrics_key "$(random 32)"
secret admin_key "fp_$(head -c 4 /dev/urandom | od -An -tx1 | tr -d ' \n')_$(random 32)"
echo "Ready. The admin key is in secrets/admin_key; next: docker compose up --detach"
