#!/usr/bin/env bash
# Builds the flat layer for PyPy 3.11 in a bare Debian 13 made with debootstrap, runs its tests there and prints a verdict.
#
# usage: scripts/check_pypy.sh [pytest arguments]      (ROOT=FOLDER keeps the Debian in that folder, or takes it from there)
#
# Needs root, debootstrap and apt. Of this machine's settings it takes what leads to the package indices: apt's, pip's,
# proxies and certificates.
set -euo pipefail
cd "$(dirname "$0")/.."
debian=${ROOT:-$(mktemp -d)}
[ -n "${ROOT:-}" ] || trap 'rm -rf --one-file-system "$debian"' EXIT

# Runs a command as root of the Debian; what is mounted for it goes when it ends.
inside() {
  local proxies=() name
  for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY; do
    [ -z "${!name:-}" ] || proxies+=("$name=${!name}")
  done
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && chroot "$0" "$@"' "$debian" \
    /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${proxies[@]}" bash -ec "$1" </dev/null
}

# The way to the package indices, as it is set on this machine; local folders of packages stay here.
carry_settings() {
  local key value
  apt-config dump Acquire >"$debian/etc/apt/apt.conf.d/99machine"
  cp -L /etc/resolv.conf "$debian/etc/resolv.conf"
  echo "[global]" >"$debian/etc/pip.conf"
  for key in index-url trusted-host proxy timeout cert; do
    value=$(python3 -m pip config list | sed -n "s/^[a-z:]*\.$key='\(.*\)'$/\1/p" | tail -n 1)
    case "$value" in
      "" | file:*) ;;
      *) printf '%s = %s\n' "$key" "$value" >>"$debian/etc/pip.conf" ;;
    esac
    [ ! -f "$value" ] || install -D -m 644 "$value" "$debian$value"
  done
}

# (Newer versions of hypothesis have a native module that PyPy 7.3.19 does not load.)
make_debian() {
  local mirror
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1)
  debootstrap --variant=minbase --include=ca-certificates trixie "$debian" "$mirror"
  carry_settings
  inside 'apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    pypy3 pypy3-dev pypy3-venv g++
    pypy3 -m venv /root/venv
    /root/venv/bin/pip install -q mlx-cpu==0.32.4 scipy-openblas32 setuptools numpy pytest "hypothesis<6.140"'
}

# What speaks of the checkout, of CPython's mlx and of mlxffi.core is not tested here.
IGNORED='config|docs|generated|loader|porting_table|quickstart|readme|structure|trace'

test_there() {
  rm -rf "$debian/root/tree" && mkdir -p "$debian/root/tree"
  git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$debian/root/tree"
  inside "cd /root/tree && /root/venv/bin/pip install -q --no-build-isolation --no-deps ."
  inside "cd /root && venv/bin/python -m pytest -p no:cacheprovider ${*@Q} \
    \$(ls tree/tests/test_*.py tree/tests/abi/test_glue.py | grep -vE '_($IGNORED)\\.py')"
}

[ -e "$debian/root/venv/pyvenv.cfg" ] || make_debian >/dev/null
version=$(inside '/root/venv/bin/python -c "import sys; print(sys.version.replace(chr(10), chr(32)))"')
status=0
test_there "$@" || status=$?
echo "flat layer on PyPy ($version): $([ $status = 0 ] && echo passed || echo "FAILED with status $status")"
exit $status
