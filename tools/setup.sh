# Shared by ./quickstart and ./test: packages, build, the default model. Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
model_name=SmolLM2-135M-Instruct
models=${ISOTOPE_MODELS:-$root/models}
default_model=$models/$model_name-FP8
build=$root/build/release
binary=$build/isotope

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Runs a command quietly; shows its output only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die "this command failed: $*"
  fi
  rm -f "$log"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "packages are missing and neither root nor sudo is there; install them first"
  fi
}

# install_packages FILE...: lists of Debian packages.
install_packages() {
  local missing=() package
  while read -r package; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done < <(cat "$@")
  [ ${#missing[@]} = 0 ] && return
  command -v apt-get >/dev/null || die "this needs Debian 12 or later; missing packages: ${missing[*]}"
  say "installing ${#missing[@]} packages: ${missing[*]}"
  quietly as_root apt-get update
  quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# build_targets PRESET TARGET...
build_targets() {
  local preset=$1 folder=$root/build/$1
  shift
  # What was installed since may be what was missing then: LLVM for the simulated card comes with the tests' packages.
  [ "$folder/build.ninja" -nt /var/lib/dpkg/status ] || quietly cmake -S "$root" --preset "$preset"
  # A build that has nothing to do says nothing. New files are looked for first, which may run CMake again; behind that ninja shows
  # no plan, unless it is of another name than what CMake makes.
  quietly cmake --build "$folder" --target build.ninja
  cp "$folder/build.ninja" "$folder/plan.ninja"
  if [[ $(ninja -C "$folder" -f plan.ninja -n "$@" 2>&1) != *"no work to do"* ]]; then
    say "building ($preset)"
    if [ -t 2 ]; then
      cmake --build "$folder" --target "$@" >&2 || die "the build failed"
    else
      quietly cmake --build "$folder" --target "$@"
    fi
  fi
}

# Python is used to convert the default model and to test, never by the program.
python_with() {
  local requirements=$1 venv=$root/.venv stamp
  stamp=$venv/$(basename "$requirements").$(sha256sum "$requirements" | cut -c1-12)
  if [ ! -f "$stamp" ]; then
    say "installing Python packages of $(basename "$requirements")"
    [ -x "$venv/bin/python" ] || quietly /usr/bin/python3 -m venv "$venv"
    quietly "$venv/bin/python" -m pip install --disable-pip-version-check -r "$requirements"
    touch "$stamp"
  fi
}

fetch_default_model() {
  [ -f "$default_model/config.json" ] && return
  python_with "$root/tools/requirements-convert.txt"
  say "fetching $model_name (93 MB)"
  "$root/.venv/bin/python" "$root/tools/convert_default_model.py" --output "$models/$model_name" >&2
  say "quantizing it to FP8"
  "$binary" quantize "$models/$model_name" "$default_model" >&2
}
