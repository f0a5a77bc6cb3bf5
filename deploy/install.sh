#!/bin/sh
# Installs the ICP Agent on a Linux machine with systemd, or upgrades it in place. `install.sh --help` says how.
# Needs a POSIX shell, systemctl and the usual small tools; curl or wget only to fetch over the network.
#
# What is installed is one folder below /usr/lib/icp-agent/versions, to which the link /usr/lib/icp-agent/current
# points. Each file that is replaced is noted and kept in a journal first: whatever stops this script, a signal or a
# power cut, it or its next run puts back what was there.
#
# shellcheck disable=SC2317 # what traps call is reached
set -eu
umask 022

ROOT_DIR=/usr/lib/icp-agent
VERSIONS=$ROOT_DIR/versions
JOURNAL=$ROOT_DIR/.transaction
ETC=/etc/icp-agent
# Of the older agent; its configuration is taken over.
OLDER=/etc/spire-agent
UNITS=/etc/systemd/system
DROP_IN=$UNITS/icp-agent.service.d/50-docker.conf
SOCKET=/run/spire/sockets/agent.sock
DEFAULT_SERVER=https://prod.api.authsec.ai/spiresvc
SAMPLE_TENANT=477e9f97-d8a9-442a-8d92-f771393fab66
NEEDED_KB=400000
OLDEST_SYSTEMD=239

usage() {
  cat <<'USAGE'
Usage: install.sh --tenant-id UUID --from DIR|URL [OPTIONS]
       curl -fsSL "$ICP_AGENT_FROM/install.sh" | sudo bash -s -- --tenant-id T --icp-server URL --node-id N --from "$ICP_AGENT_FROM"

Installs the ICP Agent as a systemd service. Run again, it upgrades in place and keeps the configuration.

  --tenant-id UUID         tenant (or workspace) id                   TENANT_ID
  --icp-server URL         address of the ICP server                  ICP_SERVICE_ADDRESS
  --node-id NAME           name of this machine; default: host name   NODE_ID
  --join-token TOKEN       single-use token (seen in the process list; prefer the file)   JOIN_TOKEN
  --join-token-file FILE   file that holds it                         JOIN_TOKEN_FILE
  --trust-bundle FILE      PEM of the server's private CA             ICP_AGENT_TRUST_BUNDLE
  --version X              version to install; default: the latest    ICP_AGENT_VERSION
  --from DIR|URL           where the packages are                     ICP_AGENT_FROM
  --no-start               install and enable, do not start           ICP_AGENT_NO_START=1
  --check                  only check whether it would work; changes nothing
  --help                   show this

The name at the right is the variable that means the same. Where /run/docker.sock is there, the agent joins its group
to attest containers; ICP_AGENT_DOCKER=no keeps it out.

Exit codes: 0 done; 1 something has to be put right first, nothing was changed; 2 misused; 3 the new version did not
become healthy and the one before runs again; 4 installed for the first time, but not healthy yet.
USAGE
}

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'install.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}
problem() {
  problems=$((problems + 1))
  printf 'problem: %s\n' "$*" >&2
}
# cmp is not everywhere.
same() { [ -f "$1" ] && [ -f "$2" ] && [ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]; }
has() { command -v "$1" >/dev/null 2>&1; }

# ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────

read_arguments() {
  tenant=${TENANT_ID:-}
  server=${ICP_SERVICE_ADDRESS:-${ICP_SERVER:-}}
  node=${NODE_ID:-}
  token=${JOIN_TOKEN:-}
  token_file=${JOIN_TOKEN_FILE:-}
  trust=${ICP_AGENT_TRUST_BUNDLE:-}
  version=${ICP_AGENT_VERSION:-}
  from=${ICP_AGENT_FROM:-}
  start=yes
  [ "${ICP_AGENT_NO_START:-}" = 1 ] && start=no
  check_only=no
  # For those who test: how long the new version has to become healthy.
  patience=${ICP_AGENT_HEALTHY_WITHIN:-60}
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*)
        option=${1%%=*}
        value=${1#*=}
        shift
        ;;
      --no-start | --check | --help | -h)
        option=$1
        value=
        shift
        ;;
      --*)
        option=$1
        [ $# -ge 2 ] || die "$option needs a value (install.sh --help)" 2
        value=$2
        case $value in --*) die "$option needs a value; write $option=$value if that is it" 2 ;; esac
        shift 2
        ;;
      *) die "unexpected argument '$1' (install.sh --help)" 2 ;;
    esac
    case $option in
      --tenant-id) tenant=$value ;;
      --icp-server) server=$value ;;
      --node-id) node=$value ;;
      --join-token) token=$value ;;
      --join-token-file) token_file=$value ;;
      --trust-bundle) trust=$value ;;
      --version) version=$value ;;
      --from) from=$value ;;
      --no-start) start=no ;;
      --check) check_only=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) die "there is no option $option (install.sh --help)" 2 ;;
    esac
  done
  case $patience in '' | *[!0-9]*) die "ICP_AGENT_HEALTHY_WITHIN must be a number of seconds" 2 ;; esac
  tenant=$(printf %s "$tenant" | tr '[:upper:]' '[:lower:]')
  from=${from%/}
}

# ── Checks: everything that is wrong, before anything is changed ─────────────────────────────────────────────────────

check_machine() {
  [ "$(id -u)" = 0 ] || problem "this needs root: run it with sudo"
  [ "$(uname -s)" = Linux ] || problem "this machine runs $(uname -s); the agent needs Linux"
  check_kernel
  case $(uname -m) in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *)
      arch=none
      problem "there is no agent for $(uname -m); it is built for x86_64 and aarch64"
      ;;
  esac
  if ! has systemctl || [ ! -d /run/systemd/system ]; then
    problem "this machine was not booted with systemd; use the container image or the npm package instead"
  else
    found=$(systemctl --version | sed -n '1s/^systemd \([0-9][0-9]*\).*/\1/p')
    [ "${found:-0}" -ge $OLDEST_SYSTEMD ] || problem "systemd ${found:-?} is too old; $OLDEST_SYSTEMD or later is needed"
  fi
  if has getconf; then
    getconf GNU_LIBC_VERSION >/dev/null 2>&1 ||
      problem "this system has another C library than glibc; use the npm package with a Node of its own"
  fi
  check_libraries
  for tool in sha256sum install mktemp df sed mv grep; do
    has "$tool" || problem "$tool is missing; install coreutils, sed and grep"
  done
  has systemd-sysusers || has useradd || id icp-agent >/dev/null 2>&1 ||
    problem "neither systemd-sysusers nor useradd is here; make the system user icp-agent, with a group of that name"
  for where in /usr/lib /var/lib; do
    free=$(df -Pk "$where" 2>/dev/null | sed -n '2s/^[^ ]* *[0-9]* *[0-9]* *\([0-9]*\).*/\1/p')
    wanted=$NEEDED_KB
    [ "$where" = /var/lib ] && wanted=50000
    [ -z "$free" ] || [ "$free" -ge "$wanted" ] || problem "$where has $free KB free; $wanted are needed"
  done
  # Its units are where deb and rpm have theirs.
  if [ -e /usr/lib/systemd/system/icp-agent.service ]; then
    problem "the agent was installed here by a package: upgrade by that, or remove it first (dpkg --remove icp-agent, rpm -e icp-agent)"
  fi
  if [ ! -e $ROOT_DIR/current ] && has systemctl; then
    if systemctl is-active --quiet spire-agent.service 2>/dev/null && [ -S $SOCKET ]; then
      problem "spire-agent.service runs and $SOCKET is there; stop it first: systemctl disable --now spire-agent.service"
    fi
  fi
}

# Node links to these; a small installation may lack libatomic.
check_libraries() {
  has ldconfig || return 0
  ldconfig -p | grep -qF 'libatomic.so.1 ' ||
    problem "libatomic.so.1 is missing; install libatomic1 (Debian, Ubuntu) or libatomic (RHEL and its like)"
  ldconfig -p | grep -qF 'libstdc++.so.6 ' ||
    problem "libstdc++.so.6 is missing; install libstdc++6 (Debian, Ubuntu) or libstdc++ (RHEL and its like)"
}

# The agent cannot do without pidfd_open; a distribution may have added it to an older kernel.
check_kernel() {
  release=$(uname -r)
  minor=${release#*.}
  minor=${minor%%[!0-9]*}
  case ${release%%.*} in
    [0-4]) ;;
    5) [ "${minor:-0}" -lt 3 ] || return 0 ;;
    *) return 0 ;;
  esac
  grep -q ' [^ ]*sys_pidfd_open$' /proc/kallsyms 2>/dev/null ||
    problem "the kernel is Linux $release; 5.3 or later is needed, which can hold on to a process (pidfd_open)"
}

# The value of a variable in agent.env (or, before the first installation, in the older agent's).
kept() {
  for file in $ETC/agent.env $OLDER/agent.env; do
    [ -r "$file" ] || continue
    sed -n "s/^[[:space:]]*$1=//p" "$file" | sed -n '$p' | sed 's/^"\(.*\)"$/\1/; s/^'"'"'\(.*\)'"'"'$/\1/'
    return
  done
}

# named KEY: its value in the configuration that will be used, where it stands on a line of its own without variables.
named() {
  for file in $ETC/config.yaml $OLDER/config.yaml; do
    [ -r "$file" ] || continue
    sed -n "s/^[[:space:]]*$1:[[:space:]]*//p" "$file" | sed -n 1p |
      sed '/\${/d; s/[[:space:]]*#.*//; s/[[:space:]]*$//; s/^"\(.*\)"$/\1/; s/^'"'"'\(.*\)'"'"'$/\1/'
    return
  done
}

check_settings() {
  upgrade=no
  [ -e $ROOT_DIR/current ] && upgrade=yes
  effective_tenant=${tenant:-$(kept TENANT_ID)}
  effective_server=${server:-$(kept ICP_SERVICE_ADDRESS)}
  effective_server=${effective_server:-$(named address)}
  effective_server=${effective_server:-$DEFAULT_SERVER}
  effective_trust=${trust:-$(kept ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH)}
  effective_trust=${effective_trust:-$(named trust_bundle_path)}
  if [ -n "$effective_tenant" ]; then
    check_tenant "$effective_tenant"
  elif [ ! -e $ETC/config.yaml ] && [ ! -e $OLDER/config.yaml ]; then
    problem "--tenant-id is missing: the UUID of your tenant, as the AuthSec console shows it"
  fi
  case $node in
    '') ;;
    [!A-Za-z0-9]* | *[!A-Za-z0-9._-]*) problem "--node-id '$node' may hold A-Z a-z 0-9 . _ - and begins with a letter or digit" ;;
  esac
  case $effective_server in
    *[!A-Za-z0-9:/._~%?#@!\&+,=\;\[\]-]*) problem "--icp-server holds characters that no URL has" ;;
    https://?*) ;;
    http://127.* | http://localhost | http://localhost[:/]* | http://\[::1\]*) ;;
    *) problem "--icp-server must be an https:// address (http:// only on this machine), not '$effective_server'" ;;
  esac
  if [ -n "$token" ] && [ -n "$token_file" ]; then problem "give --join-token or --join-token-file, not both"; fi
  if [ -n "$token_file" ] && [ ! -s "$token_file" ]; then problem "--join-token-file $token_file is missing or empty"; fi
  if [ -n "$trust" ] && ! grep -q 'BEGIN CERTIFICATE' "$trust" 2>/dev/null; then
    problem "--trust-bundle $trust holds no PEM certificate"
  fi
}

check_tenant() {
  case $1 in
    "$SAMPLE_TENANT" | your-* | *placeholder*)
      problem "the tenant id '$1' is a placeholder: take yours from the AuthSec console"
      return
      ;;
  esac
  printf '%s\n' "$1" | grep -Eqi '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' ||
    problem "the tenant id '$1' is not a UUID: take it from the AuthSec console"
}

# Any answer will do: a server that says 404 here is there.
check_server() {
  [ "$start" = yes ] || return 0
  if has curl; then
    status=0
    if [ -n "$effective_trust" ] && [ -r "$effective_trust" ]; then
      reason=$(curl -sS -o /dev/null --max-time 15 --cacert "$effective_trust" "$effective_server" 2>&1) || status=$?
    else
      reason=$(curl -sS -o /dev/null --max-time 15 "$effective_server" 2>&1) || status=$?
    fi
    [ $status = 0 ] && return 0
    reason=$(printf '%s\n' "$reason" | sed -n 1p)
    [ $status = 60 ] && reason="$reason; if it has a private CA, give its certificate with --trust-bundle"
  elif has wget && [ -z "$effective_trust" ]; then
    status=0
    reason=$(wget -q -T 15 -O /dev/null "$effective_server" 2>&1) || status=$?
    # 8: it answered, with an error.
    case $status in 0 | 8) return 0 ;; esac
    reason="wget: exit code $status $reason"
  else
    warn "there is no curl: whether $effective_server can be reached is not known"
    return 0
  fi
  if [ "$upgrade" = yes ]; then
    warn "the ICP server $effective_server cannot be reached ($reason); the agent serves what it has meanwhile"
  else
    problem "the ICP server $effective_server cannot be reached ($reason): check the address, DNS, proxy and firewall"
  fi
}

check_source() {
  case $from in
    '') problem "--from is missing: the directory or https:// address that holds the packages" ;;
    https://* | http://127.* | http://localhost[:/]*)
      has curl || has wget || problem "curl or wget is needed to fetch from $from; or copy the packages here and give --from DIR"
      ;;
    *://*) problem "--from must be a directory or an https:// address, not '$from'" ;;
    *) [ -d "$from" ] || problem "--from $from is no directory" ;;
  esac
  case $version in *[!A-Za-z0-9.+_-]* | .*) problem "--version '$version' is no version" ;; esac
}

# ── Packages ─────────────────────────────────────────────────────────────────────────────────────────────────────────

# fetch NAME FILE: from the directory or address of the version. Fails quietly.
fetch() {
  case $from in
    *://*)
      if has curl; then
        curl -fsSL --retry 3 --proto '=https,http' --proto-redir '=https' -o "$2" "$from/$1" 2>/dev/null
      else
        wget -q -O "$2" "$from/$1" 2>/dev/null
      fi
      ;;
    *) [ -f "$from/$1" ] && cp "$from/$1" "$2" ;;
  esac
}

# Into $staging, everything compared with SHA256SUMS.
stage_package() {
  mkdir -p $VERSIONS
  staging=$(mktemp -d $ROOT_DIR/.staging.XXXXXX)
  if [ -z "$version" ] && fetch latest "$staging/latest"; then
    version=$(sed -n '1s/[[:space:]]*$//p' "$staging/latest")
    case $version in '' | *[!A-Za-z0-9.+_-]* | .*) die "$from/latest does not name a version" ;; esac
  fi
  folder=
  if [ -n "$version" ] && fetch "$version/SHA256SUMS" "$staging/SHA256SUMS"; then
    folder=$version/
  else
    fetch SHA256SUMS "$staging/SHA256SUMS" || die "there is no version ${version:-(latest)} at $from (SHA256SUMS is missing)"
    offered=$(sed -n "s/^[0-9a-f]* [ *]icp-agent-\(.*\)-linux-$arch\$/\1/p" "$staging/SHA256SUMS" | sed -n 1p)
    [ -z "$version" ] || [ "$version" = "$offered" ] || die "$from holds version ${offered:-?}, not $version"
    version=$offered
  fi
  program=icp-agent-$version-linux-$arch
  for name in "$program" icp-agent.service icp-agent-files@.service icp-agent.socket icp-agent.sysusers.conf icp-agent.tmpfiles.conf \
    agent.env.example config.yaml uninstall.sh vm.md; do
    wanted=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$name\$/\1/p" "$staging/SHA256SUMS")
    [ -n "$wanted" ] || die "SHA256SUMS of $from does not list $name"
    fetch "$folder$name" "$staging/$name" || die "$name cannot be fetched from $from/$folder"
    found=$(sha256sum <"$staging/$name")
    [ "${found%% *}" = "$wanted" ] || die "the checksum of $name is wrong; nothing was changed. Fetch it again, and do not use this copy"
  done
  mv "$staging/$program" "$staging/icp-agent"
  rm -f "$staging/latest"
  chmod 755 "$staging" "$staging/icp-agent" "$staging/uninstall.sh"
  if has selinuxenabled && selinuxenabled; then chcon -t bin_t "$staging/icp-agent" || warn "chcon failed"; fi
  says=$("$staging/icp-agent" version 2>&1 </dev/null) || die "the program does not run on this machine: $says"
  target=$VERSIONS/$version
  sums=$(sha256sum <"$staging/SHA256SUMS")
  if [ -d "$target" ] && ! same "$staging/SHA256SUMS" "$target/SHA256SUMS"; then
    # Another build of the same version: beside it, so that there is a way back.
    target=$target-$(printf %.8s "$sums")
  fi
  if [ -d "$target" ]; then
    rm -rf "$staging"
  else
    mv -T "$staging" "$target"
    made=$target
  fi
  staging=
}

# ── The journal: what was there before ───────────────────────────────────────────────────────────────────────────────

# begin: from here on, undo puts everything back.
begin() {
  rm -rf $JOURNAL.new
  mkdir -m 700 $JOURNAL.new
  : >$JOURNAL.new/list
  if systemctl is-active --quiet icp-agent.service; then : >$JOURNAL.new/was-active; fi
  if systemctl is-active --quiet icp-agent.socket; then : >$JOURNAL.new/socket-was-active; fi
  if systemctl is-enabled --quiet icp-agent.service 2>/dev/null; then : >$JOURNAL.new/was-enabled; fi
  mv -T $JOURNAL.new $JOURNAL
  count=0
}

# note FILE: before it is replaced or made.
note() {
  count=$((count + 1))
  if [ -e "$1" ] || [ -L "$1" ]; then cp -P -p "$1" "$JOURNAL/$count"; fi
  printf '%s %s\n' "$count" "$1" >>$JOURNAL/list
}

# put MODE SOURCE FILE: whole or not at all, and only where it differs.
put() {
  [ ! -L "$3" ] && same "$2" "$3" && return 0
  note "$3"
  install -m "$1" "$2" "$3.icp-new"
  mv -T "$3.icp-new" "$3"
}

link() {
  [ "$(readlink "$2" 2>/dev/null)" = "$1" ] && return 0
  note "$2"
  rm -f "$2.icp-new"
  ln -s "$1" "$2.icp-new"
  mv -T "$2.icp-new" "$2"
}

undo() {
  [ -d $JOURNAL ] || return 0
  if [ -e $JOURNAL/touched ]; then
    # What did not run before is stopped before its files go; a socket that was there stays, so that callers wait.
    [ -e $JOURNAL/was-active ] || systemctl stop icp-agent.service 2>/dev/null || :
    [ -e $JOURNAL/socket-was-active ] || systemctl stop icp-agent.service icp-agent.socket 2>/dev/null || :
  fi
  [ -e $JOURNAL/was-enabled ] || systemctl disable --quiet icp-agent.service icp-agent.socket 2>/dev/null || :
  while read -r number file; do
    rm -f "$file.icp-new"
    if [ -e "$JOURNAL/$number" ] || [ -L "$JOURNAL/$number" ]; then
      cp -P -p "$JOURNAL/$number" "$file.icp-new" && mv -T "$file.icp-new" "$file"
    else
      rm -f "$file"
    fi
  done <$JOURNAL/list
  rmdir $UNITS/icp-agent.service.d $ETC 2>/dev/null || :
  systemctl daemon-reload
  if [ -e $JOURNAL/touched ] && [ -e $JOURNAL/was-active ]; then
    systemctl reset-failed icp-agent.service icp-agent.socket 2>/dev/null || :
    [ ! -e $JOURNAL/socket-was-active ] || systemctl start icp-agent.socket || :
    systemctl restart icp-agent.service || warn "the version before does not start either: journalctl -u icp-agent.service"
  fi
  rm -rf $JOURNAL
}

commit() {
  sync
  rm -rf $JOURNAL
}

# ── Installing ───────────────────────────────────────────────────────────────────────────────────────────────────────

# set_variable KEY VALUE: in $work/agent.env, below its comment: where it is, else where it is commented out, else at the
# end; and nowhere else.
set_variable() {
  KEY=$1 VALUE=$2 LC_ALL=C awk '
    function named(line, key) {
      sub(/^[ \t]*/, "", line)
      return substr(line, 1, length(key) + 1) == key "="
    }
    { lines[NR] = $0 }
    named($0, ENVIRON["KEY"]) { there = NR }
    !hint && named($0, "#" ENVIRON["KEY"]) { hint = NR }
    END {
      at = there ? there : hint
      for (i = 1; i <= NR; i++) {
        if (i == at) print ENVIRON["KEY"] "=" ENVIRON["VALUE"]
        else if (!named(lines[i], ENVIRON["KEY"])) print lines[i]
      }
      if (!at) print ENVIRON["KEY"] "=" ENVIRON["VALUE"]
    }' "$work/agent.env" >"$work/agent.env.next"
  mv "$work/agent.env.next" "$work/agent.env"
}

write_configuration() {
  [ -d $ETC ] || install -d -m 755 $ETC
  if [ ! -e $ETC/config.yaml ]; then
    template=$target/config.yaml
    mode=644
    if [ -r $OLDER/config.yaml ]; then
      template=$OLDER/config.yaml
      older=yes
      # It may hold secrets.
      mode=600
      say "Taking over $OLDER/config.yaml."
    fi
    put $mode "$template" $ETC/config.yaml
  fi
  if [ -e $ETC/agent.env ]; then
    cp $ETC/agent.env "$work/agent.env"
  elif [ -r $OLDER/agent.env ]; then
    cp $OLDER/agent.env "$work/agent.env"
  else
    cp "$target/agent.env.example" "$work/agent.env"
  fi
  if [ -n "${older:-}" ]; then
    own_paths
    own_trust_bundle
  fi
  change TENANT_ID "$tenant"
  change NODE_ID "$node"
  change ICP_SERVICE_ADDRESS "$server"
  if [ -n "$trust" ]; then
    [ "$trust" = $ETC/trust-bundle.pem ] || put 644 "$trust" $ETC/trust-bundle.pem
    change ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH $ETC/trust-bundle.pem
  fi
  # A configuration of one's own may not name the file, or another one.
  if [ -n "$token$token_file" ] && [ "$(named join_token_path)" != $ETC/join-token ]; then
    change ICP_AGENT_AGENT__JOIN_TOKEN_PATH $ETC/join-token
  fi
  put 600 "$work/agent.env" $ETC/agent.env
  chmod 600 $ETC/agent.env
  if [ -n "$token_file" ]; then
    put 600 "$token_file" $ETC/join-token
  elif [ -n "$token" ]; then
    (umask 077 && printf '%s\n' "$token" >"$work/token")
    put 600 "$work/token" $ETC/join-token
  fi
  [ -z "$token$token_file" ] || chmod 600 $ETC/join-token
  tell_of_older
}

# What the service still uses of the older agent's folders. A variable wins over config.yaml.
tell_of_older() {
  for file in $ETC/config.yaml $ETC/agent.env; do
    LC_ALL=C grep -nF -e "$OLDER/" -e /var/lib/spire-agent "$file" | while IFS= read -r line; do
      key=$(printf '%s\n' "${line#*:}" | sed 's/^[[:space:]]*//; s/[:=].*//')
      case $key in
        '#'*) continue ;;
        *[!a-z_]*) ;;
        *) ! grep -q "^ICP_AGENT_[A-Z_]*__$(printf %s "$key" | tr '[:lower:]' '[:upper:]')=" $ETC/agent.env || continue ;;
      esac
      warn "$file, line ${line%%:*}, names what is the older agent's (in $OLDER or /var/lib/spire-agent): keep that, or name a copy"
    done
  done
}

# change KEY VALUE: only what was asked for.
change() {
  [ -n "$2" ] || return 0
  [ "$(sed -n "s/^$1=//p" "$work/agent.env" | sed -n '$p')" = "$2" ] || set_variable "$1" "$2"
}

# The service may write in its own directories only: where the older configuration names others, variables, which win
# over it, name the service's.
own_paths() {
  for own in data_dir=AGENT__DATA_DIR=/var/lib/icp-agent cache_path=SECURITY__CACHE_PATH=/var/lib/icp-agent/cache/svid.cache \
    file_path=LOGGING__FILE_PATH=/var/log/icp-agent/agent.log socket_path=AGENT__SOCKET_PATH=$SOCKET; do
    rest=${own#*=}
    there=$(named "${own%%=*}")
    case ${there#unix://} in '' | "${rest#*=}") continue ;; esac
    say "Instead of $there (${own%%=*}) the agent uses ${rest#*=}, by ICP_AGENT_${rest%%=*} in agent.env."
    change "ICP_AGENT_${rest%%=*}" "${rest#*=}"
  done
}

# The older agent's folders are removed when all is well: a certificate of the server that lies there is copied.
own_trust_bundle() {
  [ -z "$trust" ] && [ -r "$effective_trust" ] || return 0
  case $effective_trust in "$OLDER"/* | /var/lib/spire-agent/*) ;; *) return 0 ;; esac
  say "Instead of $effective_trust (trust_bundle_path) the agent uses a copy, $ETC/trust-bundle.pem."
  put 644 "$effective_trust" $ETC/trust-bundle.pem
  change ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH $ETC/trust-bundle.pem
}

write_files() {
  install -d /usr/lib/sysusers.d /usr/lib/tmpfiles.d
  put 644 "$target/icp-agent.sysusers.conf" /usr/lib/sysusers.d/icp-agent.conf
  put 644 "$target/icp-agent.tmpfiles.conf" /usr/lib/tmpfiles.d/icp-agent.conf
  if has systemd-sysusers; then
    systemd-sysusers /usr/lib/sysusers.d/icp-agent.conf
  elif ! id icp-agent >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /var/lib/icp-agent --no-create-home --shell /usr/sbin/nologin \
      --comment 'ICP Agent' icp-agent
  fi
  systemd-tmpfiles --create /usr/lib/tmpfiles.d/icp-agent.conf
  put 644 "$target/icp-agent.service" $UNITS/icp-agent.service
  put 644 "$target/icp-agent.socket" $UNITS/icp-agent.socket
  put 644 "$target/icp-agent-files@.service" $UNITS/icp-agent-files@.service
  group=$(stat -L -c %G /run/docker.sock 2>/dev/null || :)
  if [ "${ICP_AGENT_DOCKER:-}" != no ] && [ -n "$group" ] && [ "$group" != root ] && [ "$group" != UNKNOWN ]; then
    say "Docker is here: the agent joins the group $group to attest containers (ICP_AGENT_DOCKER=no keeps it out)."
    install -d $UNITS/icp-agent.service.d
    printf '# Written by install.sh: to ask the engine about containers.\n[Service]\nSupplementaryGroups=%s\n' "$group" >"$work/docker.conf"
    put 644 "$work/docker.conf" $DROP_IN
  elif [ -e $DROP_IN ]; then
    note $DROP_IN
    rm -f $DROP_IN
  fi
  link "versions/${target##*/}" $ROOT_DIR/current
  if [ ! -e /usr/bin/icp-agent ] || [ -L /usr/bin/icp-agent ]; then
    link $ROOT_DIR/current/icp-agent /usr/bin/icp-agent
  else
    warn "/usr/bin/icp-agent is not ours and stays; the new one is $ROOT_DIR/current/icp-agent"
  fi
}

# The variables of agent.env, for a command that reads the configuration as the service does.
with_environment() (
  while IFS= read -r line; do
    key=${line%%=*}
    value=${line#*=}
    case $key in '' | '#'* | *[!A-Za-z0-9_]* | [0-9]* | "$line") continue ;; esac
    case $value in
      \"*\") value=${value#\"} value=${value%\"} ;;
      \'*\') value=${value#\'} value=${value%\'} ;;
    esac
    export "$key=$value"
  done <$ETC/agent.env
  unset NOTIFY_SOCKET
  "$@"
)

# 0: the service is active, and ready where it can be asked.
healthy() {
  systemctl is-active --quiet icp-agent.service || return 1
  [ "$1" = ready ] || return 0
  status=0
  answer=$(with_environment $ROOT_DIR/current/icp-agent healthcheck -c $ETC/config.yaml 2>&1 </dev/null) || status=$?
  # 2: health.enabled is false, there is nothing to ask.
  [ $status = 0 ] || [ $status = 2 ]
}

wait_until_healthy() {
  waited=0
  answer=
  until healthy "$1"; do
    [ "$waited" -lt "$patience" ] || return 1
    ! systemctl is-failed --quiet icp-agent.service || return 1
    sleep 1
    waited=$((waited + 1))
  done
  # Not one that is up between two crashes.
  first=$(systemctl show -p MainPID icp-agent.service)
  sleep 2
  [ "$first" = "$(systemctl show -p MainPID icp-agent.service)" ] && healthy "$1"
}

start_service() {
  : >$JOURNAL/touched
  if [ $was_socket = yes ] && [ $was_active = yes ]; then
    # systemd keeps the socket: callers wait until the new one serves.
    systemctl restart --no-block icp-agent.service
    return
  fi
  [ $was_active = no ] || systemctl stop icp-agent.service
  systemctl start icp-agent.socket
  systemctl start --no-block icp-agent.service
}

interrupted() {
  trap - INT TERM HUP EXIT
  warn "interrupted: putting back what was there"
  clean_up
  undo
  forget_target
  exit 130
}

clean_up() {
  [ -z "${staging:-}" ] || rm -rf "$staging"
  [ -z "${work:-}" ] || rm -rf "$work"
  rm -rf "$lock"
}

# After undo: a version that nothing points to.
forget_target() {
  [ -z "${made:-}" ] || rm -rf "$made"
  rmdir $VERSIONS $ROOT_DIR 2>/dev/null || :
}

failed() {
  code=$?
  trap - INT TERM HUP EXIT
  clean_up
  if [ -d "$JOURNAL" ]; then
    warn "something failed: putting back what was there"
    undo
  fi
  forget_target
  exit "$code"
}

# One at a time; the lock of one that was killed is taken over.
take_lock() {
  lock=/run/icp-agent-install.lock
  if ! mkdir $lock 2>/dev/null; then
    holder=$(cat $lock/pid 2>/dev/null || :)
    if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then die "another install.sh runs (pid $holder)"; fi
    rm -rf $lock
    mkdir $lock || die "another install.sh runs"
  fi
  printf '%s\n' $$ >$lock/pid
  trap failed EXIT
  trap interrupted INT TERM HUP
  if [ -d "$JOURNAL" ]; then
    warn "an installation was cut off: putting back what was there before it"
    undo
  fi
  rm -rf $ROOT_DIR/.staging.*
}

# Older versions but the one that runs and the one before it.
prune() {
  for folder in "$VERSIONS"/*; do
    [ "$folder" = "$target" ] || [ "$folder" = "${previous:-}" ] || rm -rf "$folder"
  done
}

not_healthy() {
  printf 'install.sh: version %s did not become healthy in %s s%s\n' "$version" "$waited" "${answer:+ ($answer)}" >&2
  systemctl status --no-pager --lines=10 icp-agent.service >&2 2>&1 || :
}

main() {
  read_arguments "$@"
  problems=0
  check_machine
  check_settings
  check_source
  [ $problems != 0 ] || check_server
  [ $problems = 0 ] || die "$problems to put right; nothing was changed"
  if [ $check_only = yes ]; then
    say "Everything is there for an installation."
    exit 0
  fi
  take_lock
  upgrade=no
  previous=
  if [ -e $ROOT_DIR/current ]; then
    upgrade=yes
    previous=$VERSIONS/$(basename "$(readlink $ROOT_DIR/current)")
  fi
  work=$(mktemp -d)
  stage_package
  was_active=no
  was_socket=no
  was_ready=no
  systemctl is-active --quiet icp-agent.service && was_active=yes
  systemctl is-active --quiet icp-agent.socket && was_socket=yes
  if [ $upgrade = yes ] && healthy ready; then was_ready=yes; fi

  begin
  write_configuration
  write_files
  status=0
  report=$(with_environment $ROOT_DIR/current/icp-agent validate -c $ETC/config.yaml 2>&1 </dev/null) || status=$?
  if [ $status != 0 ]; then
    printf '%s\n' "$report" >&2
    die "the configuration cannot be used"
  fi
  systemctl daemon-reload
  systemctl reset-failed icp-agent.service icp-agent.socket 2>/dev/null || :
  systemctl enable --quiet icp-agent.socket icp-agent.service
  if [ $start = no ]; then
    commit
    prune
    finish
    say "Version $version is installed and not started: systemctl start icp-agent.service"
    exit 0
  fi
  if [ $was_active = yes ] && [ $was_socket = yes ] && ! grep -q . $JOURNAL/list; then
    say "Version $version is installed already, and nothing has changed."
  else
    start_service
  fi
  # An upgrade while the server is away is judged by what the version before could do.
  wanted=ready
  if [ $was_active = yes ] && [ $upgrade = yes ] && [ $was_ready = no ]; then wanted=active; fi
  if wait_until_healthy $wanted; then
    commit
    prune
    finish
    say "Version $version is installed and $wanted."
    say "Look: systemctl status icp-agent; icp-agent healthcheck; icp-agent api fetch x509"
    exit 0
  fi
  not_healthy
  if [ $was_active = yes ]; then
    undo
    finish
    if wait_until_healthy active; then say "The version before runs again." >&2; fi
    forget_target
    exit 3
  fi
  commit
  finish
  say "It is installed and keeps trying; journalctl -u icp-agent.service says what it waits for." >&2
  exit 4
}

finish() {
  trap - INT TERM HUP EXIT
  clean_up
}

# The last line, so that a script that arrived in part does nothing.
main "$@"
