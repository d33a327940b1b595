#!/usr/bin/env bash
# From a bare Ubuntu GPU box to the page at an https address: packages, Python, compiled graphs,
# self-test on the GPU, service, certificate, smoke test. Run it again after every update.
#
# It runs the clone that it lies in, in place, as a user who can write nothing but its own state.

set -Eeuo pipefail
umask 022 # root installs, the service's user reads

# Both MAX and torch's wheels are built with CUDA 13, which asks for this series.
readonly MIN_DRIVER=580
readonly UBUNTUS="22.04 24.04"
# Ubuntu 22.04 has Python 3.10, which is too old, and 24.04 has 3.12. uv brings one that is checked by
# its hash, the same on both and the one that the tests run on, and leaves the system's alone.
readonly PYTHON_VERSION=3.11
readonly UV_VERSION=0.13.8
readonly PORT=7860       # on 127.0.0.1; only the proxy is public
readonly READY_S=1200    # the other engines convert and warm up meanwhile
readonly CERTIFICATE_S=120
readonly CADDY=https://dl.cloudsmith.io/public/caddy/stable
readonly WHAT_IS_MY_ADDRESS=https://api.ipify.org
readonly WILDCARD=sslip.io # 203-0-113-7.sslip.io is 203.0.113.7, for everybody

readonly ROOT=${DESTDIR:-} # files are written below it; empty but in tests
readonly ACCOUNT=maxwhisper
readonly STATE=/var/lib/maxwhisper
readonly TOOLS=$ROOT/usr/local/lib/maxwhisper
APP=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
readonly APP
readonly PY=$APP/.venv/bin/python
readonly CLIP=$APP/examples/clips/plain.flac

domain=""
email=""
issuer=public
models=()
dry_run=no
doing="reading the command line"
hint=""

usage() {
  cat <<TEXT
Usage: sudo $0 [--domain NAME] [--email ADDRESS] [--internal-ca] [--model NAME]… [--dry-run]

Makes the page of this clone run on this machine, and prints its address. Safe to repeat.

  --domain NAME    a name that points here. Without one the page gets a name that contains its
                   address, ADDRESS.$WILDCARD, which needs nothing to be set up: a microphone works
                   over https alone, and a certificate needs a name
  --email ADDRESS  for the certificate's issuer; with it a second issuer is asked when the first
                   refuses, as it may: everybody under $WILDCARD shares one weekly limit
  --internal-ca    no public certificate: browsers warn once and can be told to go on. For a box
                   whose ports 80 and 443 cannot be reached by the issuer
  --model NAME     offer this model; repeat for more, the first is the default (demo)
  --dry-run        print every command in its order and run none
  --help           print this

Needs Ubuntu ${UBUNTUS/ / or } with an NVIDIA driver, series $MIN_DRIVER or newer, and the clone
outside /home and /root, for example in /opt/maxwhisper. Exit code: 0 the page runs, 1 a step failed,
2 a wrong command line.
TEXT
}

main() {
  read_flags "$@"
  trap failed ERR
  cd "$APP"
  check_machine
  install_packages
  make_account
  install_python
  choose_name
  prepare_models
  start_service
  start_proxy
  smoke_test
  print_address
}

# -- how commands run ------------------------------------------------------------------------------

step() { # what is done now, and what to do if it fails
  doing=$1 hint=$2
  printf '\n== %s\n' "$doing"
}

die() {
  printf '\nERROR while %s: %s\n' "$doing" "$*" >&2
  exit 1
}

failed() {
  local status=$?
  ((BASH_SUBSHELL == 0)) || exit "$status" # the script itself will say so
  printf '\nERROR while %s: the last command ended with %d\n' "$doing" "$status" >&2
  printf 'What to do: %s. Then run this again: what is done stays done.\n' "$hint" >&2
  exit 1
}

is_dry() { [[ $dry_run == yes ]]; }

show() {
  printf '+'
  printf ' %q' "$@"
  printf '\n'
}

run() {
  show "$@"
  is_dry || "$@"
}

# shellcheck disable=SC2034 # the caller reads it, by its own name
capture() { # variable, its value in a dry run, command: the command's output goes to the variable
  local -n captured=$1
  local stand_in=$2
  shift 2
  show "$@"
  if is_dry; then captured=$stand_in; else captured=$("$@"); fi
}

write_file() { # path; the content on standard input. A file that is right already is left alone
  local path=$ROOT$1 content
  content=$(cat)
  printf '+ write %s\n' "$path"
  if is_dry; then
    printf '  | %s\n' "${content//$'\n'/$'\n'  | }"
  elif [[ ! -f $path || $(<"$path") != "$content" ]]; then
    mkdir -p -- "$(dirname -- "$path")"
    printf '%s\n' "$content" >"$path"
  fi
}

as_account() { # a maxwhisper command as the service's user, with the service's folders
  run runuser -u "$ACCOUNT" -- env HOME="$STATE" MAXWHISPER_CACHE="$STATE/cache" \
    "$PY" -m maxwhisper "$@"
}

apt_install() {
  run env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a \
    apt-get -o DPkg::Lock::Timeout=600 install --yes --no-install-recommends "$@"
}

# -- the steps -------------------------------------------------------------------------------------

wrong_flag() {
  printf '%s; see %s --help\n' "$1" "$0" >&2
  exit 2
}

read_flags() {
  while (($#)); do
    case $1 in
    --domain | --email | --model)
      (($# > 1)) || wrong_flag "expected a value after $1"
      [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9._@+-]*$ ]] || wrong_flag "expected a plain name after $1, got $2"
      case $1 in
      --domain) domain=$2 ;;
      --email) email=$2 ;;
      --model) models+=("$2") ;;
      esac
      shift
      ;;
    --internal-ca) issuer=internal ;;
    --dry-run) dry_run=yes ;;
    --help) usage && exit 0 ;;
    *) wrong_flag "unknown flag $1" ;;
    esac
    shift
  done
  ((${#models[@]})) || models=(demo)
}

check_machine() {
  step "checking this machine" "see what the command says; nothing has been changed yet"
  local user release drivers driver
  capture user 0 id -u
  [[ $user == 0 ]] || die "expected root, got user $user: run it with sudo"
  # shellcheck disable=SC2016 # the inner shell expands them
  capture release "ubuntu ${UBUNTUS% *}" sh -c '. "$1" && echo "$ID $VERSION_ID"' - "$ROOT/etc/os-release"
  [[ " $UBUNTUS " == *" ${release#ubuntu } "* ]] || die "expected Ubuntu ${UBUNTUS/ / or }, got $release"
  [[ $APP != /home/* && $APP != /root/* ]] ||
    die "expected the clone where a service may read it, got $APP: move it to /opt/maxwhisper"
  is_dry || command -v nvidia-smi >/dev/null ||
    die "expected an NVIDIA driver, found no nvidia-smi: choose an image with a driver (Lambda's images" \
      "have one), or install nvidia-driver-$MIN_DRIVER-server and restart the machine"
  capture drivers "$MIN_DRIVER.0" nvidia-smi --query-gpu=driver_version --format=csv,noheader
  driver=${drivers%%$'\n'*}
  [[ ${driver%%.*} =~ ^[0-9]+$ ]] || die "expected a driver's version from nvidia-smi, got '$driver'"
  ((${driver%%.*} >= MIN_DRIVER)) ||
    die "expected NVIDIA driver $MIN_DRIVER or newer, got $driver: install" \
      "nvidia-driver-$MIN_DRIVER-server and restart the machine"
}

install_packages() {
  step "installing system packages" "read apt's message: no network, or another apt at work"
  local packages
  run apt-get -o DPkg::Lock::Timeout=600 update
  apt_install ca-certificates curl
  run mkdir -p "$ROOT/usr/share/keyrings"
  run curl -fsSL --max-time 60 -o "$ROOT/usr/share/keyrings/caddy.asc" "$CADDY/gpg.key"
  write_file /etc/apt/sources.list.d/caddy.list \
    <<<"deb [signed-by=/usr/share/keyrings/caddy.asc] $CADDY/deb/debian any-version main"
  run apt-get -o DPkg::Lock::Timeout=600 update
  read -ra packages <<<"$(tr '\n' ' ' <packages.txt)" # what a Space would install
  apt_install caddy git python3-venv "${packages[@]}"
}

make_account() {
  step "making the service's user" "see the command's message"
  if is_dry || ! id -u "$ACCOUNT" >/dev/null 2>&1; then
    run useradd --system --user-group --home-dir "$STATE" --shell /usr/sbin/nologin "$ACCOUNT"
  fi
  run install -d -m 750 -o "$ACCOUNT" -g "$ACCOUNT" "$ROOT$STATE"
  # The page shows its commit; git answers about another user's clone only where that is allowed.
  if is_dry || ! git config --system --get-all safe.directory | grep -qxF -- "$APP"; then
    run git config --system --add safe.directory "$APP"
  fi
}

install_python() {
  step "installing Python $PYTHON_VERSION and its packages" \
    "read the message: mostly the network, or a full disk (it takes about 15 GB)"
  run python3 -m venv "$TOOLS/uv"
  run "$TOOLS/uv/bin/pip" install --quiet "uv==$UV_VERSION"
  run env UV_PYTHON_INSTALL_DIR="$TOOLS/python" \
    "$TOOLS/uv/bin/uv" venv --allow-existing --managed-python --python "$PYTHON_VERSION" "$APP/.venv"
  run "$TOOLS/uv/bin/uv" pip install --python "$PY" --compile-bytecode \
    --requirements requirements.txt --requirements requirements-gpu.txt
}

choose_name() {
  [[ -z $domain ]] || return 0
  step "finding this machine's public address" "give the page a name with --domain"
  local address
  capture address 203.0.113.7 curl -fsS4 --max-time 20 "$WHAT_IS_MY_ADDRESS"
  [[ $address =~ ^[0-9]+(\.[0-9]+){3}$ ]] || die "expected an IPv4 address, got '$address': use --domain"
  domain=${address//./-}.$WILDCARD
}

# `--device gpu` is the guard: an engine that sees no GPU refuses it, none falls back to the CPU.
prepare_models() {
  local model engine
  for model in "${models[@]}"; do
    step "compiling the graphs of $model for this GPU" "see the message; minutes are normal, once"
    as_account compile --model "$model" --device gpu
    step "checking every component of $model on the GPU" \
      "'MAX sees 0 GPU(s)': driver and MAX do not fit; a failed check: do not go on stage with this"
    as_account selftest --model "$model" --device gpu
    for engine in openai-whisper faster-whisper maxwhisper; do
      step "transcribing with $engine, $model, on the GPU" "see the message of that engine"
      as_account transcribe "$CLIP" --engine "$engine" --model "$model" --language en --device gpu
    done
  done
}

start_service() {
  step "starting the service" "journalctl -u maxwhisper -n 50"
  write_file /etc/systemd/system/maxwhisper.service < <(unit)
  run systemctl daemon-reload
  run systemctl enable maxwhisper
  run systemctl restart maxwhisper # the code may be new though the unit is not
}

unit() {
  cat <<UNIT
[Unit]
Description=maxwhisper: three engines, one recording
After=network-online.target
Wants=network-online.target
# Never give up: on a stage the next try may be the one that works.
StartLimitIntervalSec=0

[Service]
User=$ACCOUNT
WorkingDirectory=$APP
Environment=HOME=$STATE MAXWHISPER_CACHE=$STATE/cache PYTHONUNBUFFERED=1
# What one visitor may have of the page, if not the defaults; kept by updates.
EnvironmentFile=-$STATE/page.env
# The device files, which only root may make; missing after a restart until somebody asks.
ExecStartPre=-+/usr/bin/nvidia-modprobe -u -c=0
ExecStart=$PY app.py --host 127.0.0.1 --port $PORT --device gpu$(printf -- ' --model %s' "${models[@]}")
Restart=always
RestartSec=5
# SIGTERM goes to the page, which ends its engines; what is left after that is killed.
KillMode=mixed
TimeoutStopSec=45

# One engine that runs out of memory is replaced by the page; the others go on.
OOMPolicy=continue
MemoryMax=90%
TasksMax=8192
LimitNOFILE=65536
LimitMEMLOCK=infinity

StandardOutput=journal
StandardError=journal
SyslogIdentifier=maxwhisper

# Nothing but its state and its own /tmp can be written. What is not here would stop it: the GPU needs
# its devices (so no PrivateDevices and no ProtectClock), compiled graphs need executable memory.
StateDirectory=maxwhisper
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectHostname=yes

[Install]
WantedBy=multi-user.target
UNIT
}

start_proxy() {
  step "starting the proxy for https" "journalctl -u caddy -n 50"
  write_file /etc/caddy/Caddyfile < <(caddyfile)
  run caddy validate --adapter caddyfile --config "$ROOT/etc/caddy/Caddyfile"
  run systemctl enable caddy
  run systemctl reload-or-restart caddy
}

caddyfile() {
  [[ -z $email ]] || printf '{\n\temail %s\n}\n' "$email"
  printf '%s {\n' "$domain"
  [[ $issuer == public ]] || printf '\ttls internal\n'
  cat <<SITE
	# Text that streams goes out as it comes: neither packed nor held back.
	@whole not path /gradio_api/*
	encode @whole zstd gzip
	request_body {
		max_size 32MB # the page itself says no at 26 MiB, in better words
	}
	reverse_proxy 127.0.0.1:$PORT {
		flush_interval -1
	}
}
SITE
}

# The page is asked for by its name but at this machine: not every network leads back to itself.
page() {
  local trust=()
  [[ $issuer == public ]] ||
    trust=(--cacert "$ROOT/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt")
  curl -sS --fail-with-body --max-time 300 --resolve "$domain:443:127.0.0.1" "${trust[@]}" "$@"
}

wait_for() { # seconds, command: until it succeeds; what it says is shown when it changes
  local until=$((SECONDS + $1)) said before=""
  shift
  show "$@"
  is_dry && return
  until said=$("$@" 2>&1); do
    [[ $said == "$before" ]] || printf '%s\n' "$said"
    before=$said
    ((SECONDS < until)) || return 1
    sleep 5
  done
  printf '%s\n' "$said"
}

smoke_test() {
  step "waiting until the engines are warm" "journalctl -u maxwhisper -n 50"
  wait_for "$READY_S" curl -sS --fail-with-body --max-time 10 "http://127.0.0.1:$PORT/readyz"
  step "asking for the page over https" \
    "open ports 80 and 443 in the provider's firewall; does $domain point here? journalctl -u caddy -n 50. \
No certificate to be had: --internal-ca"
  wait_for "$CERTIFICATE_S" page "https://$domain/readyz"
  step "transcribing through the page" "journalctl -u maxwhisper -n 50"
  local file event answer api=https://$domain/gradio_api
  capture file '["FILE"]' page -F "files=@$CLIP" "$api/upload"
  capture event '{"event_id":"EVENT"}' page -H 'content-type: application/json' \
    -d "{\"data\":[{\"path\":${file//[\[\]]/},\"meta\":{\"_type\":\"gradio.FileData\"}},\"\",\"en\",\"\",1,false]}" \
    "$api/call/compare"
  event=${event#*\"event_id\":\"}
  capture answer 'event: complete' page "$api/call/compare/${event%%\"*}"
  [[ $answer == *'event: complete'* ]] || die "expected three transcripts, got: ${answer:0:400}"
}

print_address() {
  step "done" "the page runs; only its address could not be drawn"
  run "${PY%python}segno" --compact --border 2 "https://$domain"
  cat <<TEXT

  https://$domain            the page         https://$domain/?judge=1   the guided tour

Firewall: let TCP 80 and 443 in, at the provider (Lambda: Firewall, inbound rules) and, if it is on, in
          ufw: ufw allow 80,443/tcp. Port $PORT needs no rule, it listens on this machine alone.
Logs:     journalctl -u maxwhisper -f        journalctl -u caddy -f
More:     $APP/deploy/RUNBOOK.md
TEXT
}

main "$@"
