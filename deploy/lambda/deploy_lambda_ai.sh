#!/usr/bin/env bash
# Turn a bare Ubuntu GPU machine into the page at an https address: packages, Python, compiled graphs,
# self-test on the GPU, service, certificate, smoke test. Run it again after every update.
#
# The service runs this clone in place, as a user who can only write its own state.

set -Eeuo pipefail
umask 022 # root installs, the service's user reads

# The wheels of MAX and torch are built with CUDA 13, which needs this driver series.
readonly MIN_DRIVER=580
readonly UBUNTUS="22.04 24.04"
# Ubuntu 22.04 has Python 3.10, which is too old, and 24.04 has 3.12. uv installs the version that the
# tests run on, verifies its hash, and does not touch the system's Python.
readonly PYTHON_VERSION=3.11
readonly UV_VERSION=0.13.8
readonly PORT=7860       # on 127.0.0.1; only the proxy is public
readonly READY_S=1200    # the engines convert weights and warm up meanwhile
readonly CERTIFICATE_S=120
readonly CADDY=https://dl.cloudsmith.io/public/caddy/stable
readonly WHAT_IS_MY_ADDRESS=https://api.ipify.org
readonly WILDCARD=sslip.io # resolves 203-0-113-7.sslip.io to 203.0.113.7

readonly ROOT=${DESTDIR:-} # prefix of all written files; only tests set it
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

Runs the page of this clone on this machine and prints its address. Safe to repeat.

  --domain NAME    a domain name that points to this machine. The default is ADDRESS.$WILDCARD, which
                   needs no setup. A name is necessary: microphones need https, https a certificate,
                   and a certificate a name
  --email ADDRESS  contact for the certificate issuer. With it, a second issuer is tried if the first
                   refuses, which can happen: all names under $WILDCARD share one weekly limit
  --internal-ca    use a private certificate: browsers warn once, and visitors can continue. For a
                   machine whose ports 80 and 443 the issuer cannot reach
  --model NAME     offer this model; repeat for more, the first is the default (large-v3-turbo, which
                   understands people, and demo). It is downloaded and compiled before the page starts
  --dry-run        print all commands in order and run none
  --help           print this

Needs Ubuntu ${UBUNTUS/ / or } with an NVIDIA driver, series $MIN_DRIVER or newer, and the clone
outside /home and /root, for example in /opt/maxwhisper. Exit code: 0 the page runs, 1 a step failed,
2 wrong command line.
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

step() { # name of the step, advice if it fails
  doing=$1 hint=$2
  printf '\n== %s\n' "$doing"
}

die() {
  printf '\nERROR while %s: %s\n' "$doing" "$*" >&2
  exit 1
}

failed() {
  local status=$?
  ((BASH_SUBSHELL == 0)) || exit "$status" # the script itself reports it
  printf '\nERROR while %s: the last command ended with %d\n' "$doing" "$status" >&2
  printf 'What to do: %s. Then run this script again: it skips what is done.\n' "$hint" >&2
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
capture() { # variable, its value in a dry run, command: assign the command's output to the variable
  local -n captured=$1
  local stand_in=$2
  shift 2
  show "$@"
  if is_dry; then captured=$stand_in; else captured=$("$@"); fi
}

write_file() { # path; content on standard input. A file with this content is not written again
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
  ((${#models[@]})) || models=(large-v3-turbo demo)
}

check_machine() {
  step "checking this machine" "read the command's message; nothing has been changed yet"
  local user release drivers driver
  capture user 0 id -u
  [[ $user == 0 ]] || die "expected root, got user $user: run it with sudo"
  # shellcheck disable=SC2016 # the inner shell expands them
  capture release "ubuntu ${UBUNTUS% *}" sh -c '. "$1" && echo "$ID $VERSION_ID"' - "$ROOT/etc/os-release"
  [[ " $UBUNTUS " == *" ${release#ubuntu } "* ]] || die "expected Ubuntu ${UBUNTUS/ / or }, got $release"
  [[ $APP != /home/* && $APP != /root/* ]] ||
    die "expected the clone in a folder that a service can read, got $APP: move it to /opt/maxwhisper"
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
  step "installing system packages" "read apt's message: no network, or another apt is running"
  local packages
  run apt-get -o DPkg::Lock::Timeout=600 update
  apt_install ca-certificates curl
  run mkdir -p "$ROOT/usr/share/keyrings"
  run curl -fsSL --max-time 60 -o "$ROOT/usr/share/keyrings/caddy.asc" "$CADDY/gpg.key"
  write_file /etc/apt/sources.list.d/caddy.list \
    <<<"deb [signed-by=/usr/share/keyrings/caddy.asc] $CADDY/deb/debian any-version main"
  run apt-get -o DPkg::Lock::Timeout=600 update
  read -ra packages <<<"$(tr '\n' ' ' <packages.txt)" # a Space installs the same
  apt_install caddy git python3-venv "${packages[@]}"
}

make_account() {
  step "creating the service's user" "read the command's message"
  if is_dry || ! id -u "$ACCOUNT" >/dev/null 2>&1; then
    run useradd --system --user-group --home-dir "$STATE" --shell /usr/sbin/nologin "$ACCOUNT"
  fi
  run install -d -m 750 -o "$ACCOUNT" -g "$ACCOUNT" "$ROOT$STATE"
  # The page shows its commit. git reads another user's clone only if it is a safe.directory.
  if is_dry || ! git config --system --get-all safe.directory | grep -qxF -- "$APP"; then
    run git config --system --add safe.directory "$APP"
  fi
}

install_python() {
  step "installing Python $PYTHON_VERSION and its packages" \
    "read the message: usually the network, or a full disk (it needs about 15 GB)"
  run python3 -m venv "$TOOLS/uv"
  run "$TOOLS/uv/bin/pip" install --quiet "uv==$UV_VERSION"
  run env UV_PYTHON_INSTALL_DIR="$TOOLS/python" \
    "$TOOLS/uv/bin/uv" venv --allow-existing --managed-python --python "$PYTHON_VERSION" "$APP/.venv"
  run "$TOOLS/uv/bin/uv" pip install --python "$PY" --compile-bytecode \
    --require-hashes --requirements deploy/requirements.lock
}

choose_name() {
  [[ -z $domain ]] || return 0
  step "finding this machine's public address" "name the page with --domain"
  local address
  capture address 203.0.113.7 curl -fsS4 --max-time 20 "$WHAT_IS_MY_ADDRESS"
  [[ $address =~ ^[0-9]+(\.[0-9]+){3}$ ]] || die "expected an IPv4 address, got '$address': use --domain"
  domain=${address//./-}.$WILDCARD
}

# `--device gpu` makes an engine that sees no GPU fail instead of using the CPU.
prepare_models() {
  local model engine
  for model in "${models[@]}"; do
    step "compiling the graphs of $model for this GPU" "read the message; it takes minutes, once"
    as_account compile --model "$model" --device gpu
    step "checking every component of $model on the GPU" \
      "'MAX sees 0 GPU(s)': driver and MAX do not match; a failed check: do not go on stage with this"
    as_account selftest --model "$model" --device gpu
    for engine in openai-whisper faster-whisper maxwhisper; do
      step "transcribing with $engine, $model, on the GPU" "read the message of that engine"
      as_account transcribe "$CLIP" --engine "$engine" --model "$model" --language en --device gpu
    done
  done
}

start_service() {
  step "starting the service" "journalctl -u maxwhisper -n 50"
  write_file /etc/systemd/system/maxwhisper.service < <(unit)
  run systemctl daemon-reload
  run systemctl enable maxwhisper
  run systemctl restart maxwhisper # the code can change without the unit
}

unit() {
  cat <<UNIT
[Unit]
Description=maxwhisper: three engines, one recording
After=network-online.target
Wants=network-online.target
# Never give up restarting.
StartLimitIntervalSec=0

[Service]
User=$ACCOUNT
WorkingDirectory=$APP
Environment=HOME=$STATE MAXWHISPER_CACHE=$STATE/cache PYTHONUNBUFFERED=1 MAXWHISPER_HOSTS=$domain
# Limits for each visitor and more names, to replace the defaults; updates do not change this file.
EnvironmentFile=-$STATE/page.env
# Only root can create the device files, which are missing after a reboot until something uses them.
ExecStartPre=-+/usr/bin/nvidia-modprobe -u -c=0
ExecStart=$PY app.py --host 127.0.0.1 --port $PORT --device gpu$(printf -- ' --model %s' "${models[@]}")
Restart=always
RestartSec=5
# SIGTERM goes to the page, which stops its engines; remaining processes are killed.
KillMode=mixed
TimeoutStopSec=45

# The page replaces an engine that runs out of memory; the others continue.
OOMPolicy=continue
MemoryMax=90%
TasksMax=8192
LimitNOFILE=65536
LimitMEMLOCK=infinity

StandardOutput=journal
StandardError=journal
SyslogIdentifier=maxwhisper

# Only its state and its own /tmp are writable. PrivateDevices and ProtectClock are not set, because
# the GPU needs its devices; MemoryDenyWriteExecute is not, because compiled graphs are executable.
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
	# Streamed text is neither compressed nor buffered.
	@whole not path /gradio_api/* /v1/*
	encode @whole zstd gzip
	request_body {
		max_size 32MB # the page refuses files above 26 MiB, with a better message
	}
	reverse_proxy 127.0.0.1:$PORT {
		flush_interval -1
	}
}
SITE
}

# Request the page by its name but from this machine: not every network routes back to itself.
page() {
  local trust=()
  [[ $issuer == public ]] ||
    trust=(--cacert "$ROOT/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt")
  curl -sS --fail-with-body --max-time 300 --resolve "$domain:443:127.0.0.1" "${trust[@]}" "$@"
}

wait_for() { # seconds, command: repeat until it succeeds; print its output when it changes
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

# The inputs of the endpoint `compare`, in order: recording, model, language, correct transcript,
# rounds, keep, options. A test runs this script against the page, which refuses another number.
race_of() { # an uploaded file, quoted
  printf '{"data":[{"path":%s,"meta":{"_type":"gradio.FileData"}},"","en","",1,false,{}]}' "$1"
}

smoke_test() {
  step "waiting until the engines are warm" "journalctl -u maxwhisper -n 50"
  wait_for "$READY_S" curl -sS --fail-with-body --max-time 10 "http://127.0.0.1:$PORT/readyz"
  step "requesting the page over https" \
    "open ports 80 and 443 in the provider's firewall; does $domain point here? journalctl -u caddy -n 50. \
If no issuer gives a certificate: --internal-ca"
  wait_for "$CERTIFICATE_S" page "https://$domain/readyz"
  step "transcribing through the page" "journalctl -u maxwhisper -n 50"
  local file event answer n api=https://$domain/gradio_api
  capture file '["FILE"]' page -F "files=@$CLIP" "$api/upload"
  capture event '{"event_id":"EVENT"}' page -H 'content-type: application/json' \
    -d "$(race_of "${file//[\[\]]/}")" "$api/call/compare"
  event=${event#*\"event_id\":\"}
  capture answer 'event: complete' page "$api/call/compare/${event%%\"*}"
  # Each engine that answered has one median; the answer comes twice, the second time as complete.
  n=$(grep -o '"median_s":' <<<"${answer##*event: complete}" | grep -c .) || true
  is_dry || [[ $answer == *'event: complete'* && $n == 3 ]] ||
    die "expected three transcripts, got: ${answer:$((${#answer} > 1000 ? ${#answer} - 1000 : 0))}"
}

print_address() {
  step "done" "the page runs; only the QR code of its address failed"
  run "${PY%python}segno" --compact --border 2 "https://$domain"
  cat <<TEXT

  https://$domain            the page         https://$domain/?judge=1   the guided tour

Firewall: allow inbound TCP 80 and 443 at the provider (Lambda: Firewall, inbound rules) and, if it is
          on, in ufw: ufw allow 80,443/tcp. Port $PORT needs no rule, it is local to this machine.
Logs:     journalctl -u maxwhisper -f        journalctl -u caddy -f
More:     $APP/deploy/RUNBOOK.md
TEXT
}

main "$@"
