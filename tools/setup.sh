#!/usr/bin/env bash
# Prepares a Debian 12 or Ubuntu 24.04 machine: system packages, Python packages with ROS 2 in
# .venv, dense_desc_interfaces and this package in it. Whatever is in place is left alone: each step
# leaves a stamp in .venv once it is complete, with a key of all that it depends on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec 9<"${BASH_SOURCE[0]}" && flock 9 # one set-up at a time

# Another Python or ROS environment that is active in this shell must not leak into ours.
unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH
unset MAKEFLAGS _ROS_WHEELS_BOOTSTRAP_COMPLETE
venv=$PWD/.venv
python=${PYTHON:-python3}
if [ -z "${PYTHON:-}" ] && [ -x "$venv/bin/python" ]; then
  python=$(readlink -f "$venv/bin/python") # once chosen, it need not be named again
fi

SYSTEM_PACKAGES=(
  g++                               # compiles the interfaces
  libgl1 libgomp1 libusb-1.0-0 libx11-6 # loaded by open3d
  libegl1 libgl1-mesa-dri           # MuJoCo renders with them, without a display
)

# Tests look at pages in it. Ubuntu has it only as a snap; they are skipped there without another one.
[ "$(. /etc/os-release 2>/dev/null && echo "${ID:-}")" != debian ] || SYSTEM_PACKAGES+=(chromium)

NEEDED_GB=9 # of all that is installed, and the largest archive while it is unpacked

say() { printf '== %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2 && exit 1; }
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
done_with() { [ "$(cat "$venv/$1.stamp" 2>/dev/null)" = "$2" ]; }
mark_done() { printf '%s' "$2" >"$venv/$1.stamp"; }
digest() { find "$@" -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1; }

install_system_packages() {
  command -v dpkg-query >/dev/null || return 0 # not Debian: the user knows better
  local missing=() as_root=() package
  case $(readlink -f "$(command -v "$python" || echo /usr/bin/python3)") in
    /usr/bin/*) SYSTEM_PACKAGES+=(python3-venv python3-dev) ;;
  esac
  for package in "${SYSTEM_PACKAGES[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
    [ -t 0 ] || as_root+=(-n) # nobody is there to type a password
    "${as_root[@]}" true 2>/dev/null || fail "install as root first: apt-get install ${missing[*]}"
  fi
  say "System packages: ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  # A machine that has just booted may be updating itself: wait for it.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}"
}

check_python() {
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "Python 3.11 or newer is needed, and $python is not: name one with PYTHON=/path/to/python3"
}

check_space() { # before minutes of downloading, not after them
  local free
  free=$(df --output=avail -B 1G "$venv" | tail -n 1)
  [ "$free" -ge "$NEEDED_GB" ] || fail "$venv needs $NEEDED_GB GB of free disk, and there are ${free// /}"
}

install_python_packages() {
  local environment key
  environment=$("$python" -c 'import sys; print(sys.version, sys.base_prefix)')" in $venv"
  key="$environment with $(digest requirements.txt tools/repair_wheels.py)"
  done_with requirements "$key" && return
  # What an interrupted run or a moved clone left behind cannot be trusted.
  if [[ $(cat "$venv/requirements.stamp" 2>/dev/null) != "$environment"* ]]; then
    say "Virtual environment in $venv"
    "$python" -m venv --clear "$venv"
    check_space
  fi
  rm -f "$venv"/*.stamp
  say "Python packages (several GB the first time)"
  # Compiling all that is there takes a minute: what is used is compiled below.
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-compile \
    --requirement requirements.txt
  "$venv/bin/python" tools/repair_wheels.py
  mark_done requirements "$key"
}

build_interfaces() {
  local key
  key=$(digest dense_desc_interfaces)
  done_with interfaces "$key" && return
  say "Interfaces"
  # Installed over the virtual environment itself, they are found without sourcing anything.
  rm -rf "$venv/build"
  env PATH="$venv/bin:$PATH" VIRTUAL_ENV="$venv" \
    AMENT_PREFIX_PATH="$venv" CMAKE_PREFIX_PATH="$venv" \
    colcon --log-base /dev/null --log-level error build --base-paths dense_desc_interfaces \
    --build-base "$venv/build" --install-base "$venv" --merge-install \
    --cmake-args -G Ninja -D CMAKE_BUILD_TYPE=Release -D BUILD_TESTING=OFF
  mark_done interfaces "$key"
}

install_package() {
  local key
  key=$(digest setup.py setup.cfg pyproject.toml)
  done_with package "$key" && return
  say "This package"
  "$venv/bin/python" -m pip install --disable-pip-version-check --quiet \
    --no-deps --no-build-isolation --editable .
  mark_done package "$key"
}

# Python compiles what it imports and keeps that, but not where PYTHONDONTWRITEBYTECODE is set, as in
# many containers: there each process would compile torch again, which takes longer than all it does.
compile_what_is_used() {
  local key
  key=$(cat "$venv/requirements.stamp" "$venv/interfaces.stamp")
  done_with compiled "$key" && return
  say "Compiling what is used"
  env -u PYTHONDONTWRITEBYTECODE -u PYTHONPYCACHEPREFIX "$venv/bin/python" tools/import_all.py
  mark_done compiled "$key"
}

install_system_packages
check_python
install_python_packages
build_interfaces
install_package
compile_what_is_used
