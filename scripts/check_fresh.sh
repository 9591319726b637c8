#!/usr/bin/env bash
# Does what README tells a user to do, word for word, on a bare Debian made with debootstrap, and prints a verdict for each.
#
# usage: scripts/check_fresh.sh [--quick] [bookworm|trixie]...      (default: both)
#        scripts/check_fresh.sh --commands      (only print what it takes from README)
#
# The Debian gets what README names for apt-get and a copy of HEAD; README's commands run there with an empty environment.
# --quick runs fewer tests. Needs root and apt. Of this machine's settings the Debian gets those that lead to the package
# indices (apt's, pip's, proxies, certificates), but no local folder of packages.
set -euo pipefail
cd "$(dirname "$0")/.."

# What depends most on the interpreter, the compiler and what is installed.
QUICK="tests/test_{readme,exit,exceptions,lifetime,loader,config,transforms}.py tests/abi/test_{symbols,glue}.py
  tests/core/test_{core_exit,core_lifetime,compat}.py tests/tuner/test_{batches,cli,datasets,tokenizer,models_decoder}.py"

work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT

# The commands of README's first sh block under a heading.
commands_under() {
  awk -v heading="## $1" '
    /^## / { here = $0 == heading } here && /^```/ { if (inside) exit; inside = /sh$/; next } inside' README.md | grep .
}

apt_packages() {
  sed -n '0,/apt-get install/s/.*`apt-get install \([^`]*\)`.*/\1/p' README.md | grep .
}

# Runs commands as root of the folder $root; mounts and processes go when they end.
inside() {
  local proxies=() name
  for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY; do
    [ -z "${!name:-}" ] || proxies+=("$name=${!name}")
  done
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -ec '
    mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; chroot "$0" "$@"' "$root" \
    /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${proxies[@]}" \
    bash -ec "cd /root/mlxffi; $1" </dev/null
}

# One of pip's settings, wherever it is set, less what lies in local folders.
pip_setting() {
  python3 -m pip config list | sed -n "s/^[a-z:]*\.$1='\(.*\)'\$/\1/p" | tail -n 1 | xargs -n 1 |
    sed '/^file:/d' | xargs
}

# What leads to the package indices, and what saves waiting for the disk.
carry_settings() {
  local key value certificates
  apt-config dump Acquire >"$root/etc/apt/apt.conf.d/99machine"
  cp -L /etc/resolv.conf "$root/etc/resolv.conf"
  echo "[global]" >"$root/etc/pip.conf"
  for key in index-url extra-index-url trusted-host proxy timeout default-timeout; do
    value=$(pip_setting "$key")
    [ -z "$value" ] || echo "$key = $value" >>"$root/etc/pip.conf"
  done
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/machine"
  # Under a name that Debian's own package of certificates does not write to.
  certificates=$(pip_setting cert)
  cp -L "${certificates:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/certificates"
  echo "cert = /etc/certificates" >>"$root/etc/pip.conf"
}

make_debian() {
  local mirror
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1) &&
    debootstrap --variant=minbase "$1" "$root" "$mirror" && carry_settings &&
    mkdir "$root/root/mlxffi" && git archive HEAD | tar -x -C "$root/root/mlxffi" &&
    inside "apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -q -y $packages"
}

# Runs a step with its output in the log, and adds to the verdict how it went.
step() {
  local name=$1 start=$SECONDS status=0
  "${@:2}" >>"$log" 2>&1 || status=$?
  verdict+="; $name $([ $status = 0 ] && echo passed || echo FAILED) in $((SECONDS - start)) s"
  [ $status = 0 ] || tail -n 400 "$log"
  return $status
}

check() {
  local root=$work/$1 log=$work/$1.log verdict=$1 status=0
  {
    step "apt-get" make_debian "$1" &&
      verdict+="; $(inside 'python3 -V; echo g++; g++ -dumpfullversion' | xargs)" &&
      step "install" inside "$install" &&
      step "tests" inside "$tests ${quick:+${QUICK//$'\n'/}}"
  } || status=1
  sed -n 's/^skipped /  &/p' "$log"
  echo "$verdict: $(grep -E '^[0-9]+ (passed|failed).* in ' "$log" | tail -n 1)"
  rm -rf --one-file-system "$root"
  return $status
}

install=$(commands_under Install)
tests=$(commands_under Tests)
packages=$(apt_packages)
[ "${1:-}" != --commands ] || { printf '%s\n' "$packages" "$install" "$tests"; exit; }
[ "${1:-}" != --quick ] || { quick=yes; shift; }
command -v debootstrap >/dev/null || { apt-get update -qq; apt-get install -y -qq debootstrap >/dev/null; }
failed=0
[ $# -gt 0 ] || set -- bookworm trixie
for release; do
  check "$release" || failed=1
done
exit $failed
