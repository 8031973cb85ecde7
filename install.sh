#!/usr/bin/env bash
# Make or reuse a Python environment, install the project in it, in editable form, and compile its
# deformable attention where there are compilers.
#
#   bash install.sh            install; run again it changes nothing and takes a second
#   bash install.sh --python   print the environment's interpreter, install nothing
#
# Which environment, the first that applies:
#   UVPT_ENV     a folder; made if it is not there (.ci/run keeps one outside the clone)
#   PYTHON       an interpreter that lies in an environment: that environment
#   VIRTUAL_ENV  the active environment
#   .venv        in this folder; made with $PYTHON, or python3, or the newest python3.N on the PATH,
#                whichever first is 3.10 or newer
# An environment made here that was never finished (killed, no network, disk full) is made anew;
# one that was there before is never removed.

# Any POSIX shell may start this, and bash goes on with it.
if [ "${BASH_SOURCE:-$0}" != "$0" ] || [ "${0##*/}" != install.sh ]; then
    echo 'error: install.sh is to be run, neither sourced nor piped: bash install.sh' >&2
    return 1 2>/dev/null || exit 1
elif [ -z "${BASH_VERSION:-}" ]; then
    command -v bash >/dev/null || { echo 'error: install.sh needs bash: install it first' >&2; exit 1; }
    exec bash "$0" "$@"
fi
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    echo "error: $*" >&2
    exit 1
}

# Succeeds if $1 is a Python that the project supports.
supported() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

choose_environment() {
    if [ -n "${UVPT_ENV:-}" ]; then
        realpath -m "$UVPT_ENV"
    elif [ -n "${PYTHON:-}" ] && prefix=$(environment_of "$PYTHON"); then
        echo "$prefix"
    else
        echo "${VIRTUAL_ENV:-$here/.venv}"
    fi
}

# With PYTHON set, an environment of another Python version is not what was asked for.
check_interpreter() {
    [ -n "${PYTHON:-}" ] || return 0
    supported "$PYTHON" || fail "PYTHON=$PYTHON is no Python 3.10 or newer; set PYTHON to one"
    [ -x "$python" ] || return 0
    [ "$(version_of "$PYTHON")" = "$(version_of "$python")" ] ||
        fail "$environment has Python $(version_of "$python"), PYTHON=$PYTHON is" \
            "$(version_of "$PYTHON"): unset PYTHON, or remove the environment"
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# Print the environment that interpreter $1 lies in; fail if it lies in none.
environment_of() {
    "$1" -c 'import sys; print(sys.prefix); sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null
}

choose_interpreter() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 $(compgen -c python3. | grep -x 'python3\.[0-9]*' | sort -rVu); do
        if supported "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.10 or newer found: sudo apt-get install python3 python3-venv," \
        "or name one: PYTHON=/path/to/python bash install.sh"
}

make_environment() {
    local interpreter version
    [ "$environment" != "${VIRTUAL_ENV:-}" ] ||
        fail "VIRTUAL_ENV=$environment holds no environment: run deactivate, or unset VIRTUAL_ENV"
    interpreter=$(choose_interpreter)
    version=$(version_of "$interpreter")
    "$interpreter" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$interpreter cannot make environments: sudo apt-get install python$version-venv"
    if [ -e "$environment/$made" ]; then # unfinished; moved first, so that none is left half removed
        mv "$environment" "$environment.old.$$"
        rm -rf "$environment.old.$$"
    fi
    mkdir -p "$environment" || fail "name another place for the environment with UVPT_ENV"
    [ -z "$(ls -A "$environment")" ] || fail "$environment is neither empty nor an environment"
    echo "making the environment $environment with Python $version"
    touch "$environment/$made"
    "$interpreter" -m venv "$environment"
}

# An environment is to be made if none is there, or if one made here was never finished.
must_make_environment() {
    if [ -e "$environment/$made" ]; then
        [ ! -e "$environment/$requirements_stamp" ]
    else
        [ ! -e "$environment/bin/python" ]
    fi
}

pip_install() {
    "$python" -m pip install --no-input --disable-pip-version-check "$@" ||
        fail "pip could not install ${*: -1}; its reason stands above. Mend it, then run this again"
}

# The usual OpenCV wheel needs libraries of a desktop; the headless one of the same release does not.
make_opencv_load() {
    "$python" -c 'import cv2' 2>/dev/null && return
    local version
    version=$(sed -n 's/^opencv-python==\([^ ]*\).*/\1/p' "$here/requirements.txt")
    echo "opencv-python does not load on this machine: taking opencv-python-headless $version"
    "$python" -m pip uninstall --quiet --yes opencv-python
    pip_install --no-deps "opencv-python-headless==$version"
    "$python" -c 'import cv2' || fail "OpenCV does not load; its reason stands above"
}

install_requirements() {
    rm -f "$environment/$requirements_stamp" "$environment/$package_stamp" "$environment/$ops_stamp"
    echo "installing requirements.txt in $environment: minutes the first time, mostly downloads"
    pip_install -r "$here/requirements.txt"
    pip_install --no-deps -r "$here/requirements-nodeps.txt"
    make_opencv_load
    echo "$requirements" >"$environment/$requirements_stamp"
}

install_package() {
    rm -f "$environment/$package_stamp"
    # The environment's own setuptools builds it: what a build downloads need not fit the pins.
    pip_install --quiet --no-deps --no-build-isolation --editable "$here"
    echo "$package" >"$environment/$package_stamp"
}

# Compile deformable attention. What cannot be built here is said in a line; plain PyTorch serves then.
build_ops() {
    echo "compiling deformable attention: a minute, with nvcc two"
    "$python" -m mmseg_uvpt.ops build || fail "the build broke off; its reason stands above"
    echo "$ops" >"$environment/$ops_stamp"
}

# Succeeds if stamp $1 holds $2.
holds() {
    [ "$(cat "$environment/$1" 2>/dev/null)" = "$2" ]
}

is_current() {
    [ -x "$python" ] && holds "$requirements_stamp" "$requirements" &&
        holds "$package_stamp" "$package" && holds "$ops_stamp" "$ops"
}

case "${1:-}" in
    '' | --python) ;;
    *) fail "unknown argument $1; usage: bash install.sh [--python]" ;;
esac

environment=$(choose_environment)
python=$environment/bin/python
if [ "${1:-}" = --python ]; then
    echo "$python"
    exit
fi

made=mmseg-uvpt.made                             # this script made the environment
requirements_stamp=mmseg-uvpt.requirements       # written when the requirements were all installed
package_stamp=mmseg-uvpt.package                 # written when the package was installed
ops_stamp=mmseg-uvpt.ops                         # written when what could be compiled was
requirements=$(sed 's/ *#.*//' "$here"/requirements*.txt | sha256sum | cut -d' ' -f1)
package="$here $(sha256sum <"$here/pyproject.toml" | cut -d' ' -f1)"
ops="$(cat "$here"/mmseg_uvpt/ops/build.py "$here"/mmseg_uvpt/ops/csrc/* | sha256sum | cut -d' ' -f1)"
# what may let a build succeed that did not, or differ
ops="$ops ${TORCH_CUDA_ARCH_LIST:-} ${CXX:-} ${CUDA_HOME:-} ${CUDA_PATH:-} $(command -v c++ g++ clang++ nvcc /usr/local/cuda/bin/nvcc | tr '\n' ' ' || true)"
check_interpreter
is_current && exit

# One install at a time. The folder that holds the environment is the lock, so no lock file is left.
mkdir -p "$(dirname "$environment")" || fail "name another place for the environment with UVPT_ENV"
exec 9<"$(dirname "$environment")"
flock --nonblock 9 || { echo "waiting for another install in $environment"; flock 9; }
is_current && exit

if must_make_environment; then make_environment; fi
supported "$python" ||
    fail "$environment holds no Python 3.10 or newer: remove it, or name another with UVPT_ENV"
"$python" -m pip --version >/dev/null 2>&1 || "$python" -m ensurepip >/dev/null ||
    fail "$environment has no pip: install it there, or name another environment with UVPT_ENV"
holds "$requirements_stamp" "$requirements" || install_requirements
holds "$package_stamp" "$package" || install_package
holds "$ops_stamp" "$ops" || build_ops
echo "ready: source $environment/bin/activate"
