# Sourced by the scripts that test in a Debian made with debootstrap: the folder $debian. Where that is of another
# architecture, $emulator is the qemu-user that runs its programs.
#
# Needs root and apt. Of this machine's settings the Debian gets those that lead to the package indices (apt's, pip's,
# proxies, certificates), but no local folder of packages.

# Runs commands as root of the Debian with an empty environment; mounts and processes go when they end.
inside() {
  local proxies=() name
  for name in {http,https,no}_proxy {HTTP,HTTPS,NO}_PROXY; do
    [ -z "${!name:-}" ] || proxies+=("$name=${!name}")
  done
  # shellcheck disable=SC2016
  emulator=${emulator:-} unshare --mount --pid --fork --kill-child ${emulator:+--user --map-root-user} bash -ec '
    mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; register_emulator "$0/proc"; chroot "$0" "$@"' "$debian" \
    /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "${proxies[@]}" \
    ${QEMU_CPU:+QEMU_CPU="$QEMU_CPU"} bash -ec "cd /root; $1" </dev/null
}

# Tells the kernel what programs of arm64 look like; in a namespace of its own, the rest of the machine does not see it.
register_emulator() {
  [ -n "${emulator:-}" ] || return 0
  local same='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  local header='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mount -t binfmt_misc binfmt_misc "$1/sys/fs/binfmt_misc"
  echo ":arm64:M::$header:$same:$emulator:F" >"$1/sys/fs/binfmt_misc/register"
}
export -f register_emulator

# Makes a Debian of a release with some packages.
make_debian() {
  bootstrap "$1" && carry_settings && inside "apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -q -y $2"
}

# Unpacks a Debian of a release and an architecture, with some packages (A,B), and runs nothing of it.
unpack_debian() {
  local package
  bootstrap "$1" --foreign --arch "$2" --include "$3"
  for package in "$debian"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$debian"; done
  echo root:x:0:0:root:/root:/bin/bash >"$debian/etc/passwd"
}

bootstrap() {
  local mirror
  command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq debootstrap >/dev/null; }
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | head -n 1) &&
    debootstrap --variant=minbase "${@:2}" "$1" "$debian" "$mirror"
}

# Copies the checkout into a folder, without what is built.
checkout_in() {
  mkdir -p "$1" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -p -t "$1"
}

# What leads to the package indices, and what saves waiting for the disk.
carry_settings() {
  local key value certificates
  apt-config dump Acquire >"$debian/etc/apt/apt.conf.d/99machine"
  cp -L /etc/resolv.conf "$debian/etc/resolv.conf"
  echo "[global]" >"$debian/etc/pip.conf"
  for key in index-url extra-index-url trusted-host proxy timeout default-timeout; do
    value=$(pip_setting "$key")
    [ -z "$value" ] || echo "$key = $value" >>"$debian/etc/pip.conf"
  done
  echo force-unsafe-io >"$debian/etc/dpkg/dpkg.cfg.d/machine"
  # Under a name that Debian's own package of certificates does not write to.
  certificates=$(pip_setting cert)
  cp -L "${certificates:-/etc/ssl/certs/ca-certificates.crt}" "$debian/etc/certificates"
  echo "cert = /etc/certificates" >>"$debian/etc/pip.conf"
}

# One of pip's settings, wherever it is set, less what lies in local folders.
pip_setting() {
  python3 -m pip config list | sed -n "s/^[a-z:]*\.$1='\(.*\)'\$/\1/p" | tail -n 1 | xargs -n 1 |
    sed '/^file:/d' | xargs
}
