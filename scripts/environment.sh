# Sourced by the scripts beside it: a virtual environment .venv in the project's root.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
venv=$root/.venv

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "cathodegrain needs Python 3.11 or newer with its venv module." >&2
    echo "Install it (Debian, Ubuntu: apt-get install python3-venv) or name one: PYTHON=/path/to/python3.12 $0" >&2
    return 1
}

# numba does not notice when a kernel that another module imports has changed: compiled
# kernels older than the newest source go
forget_old_kernels() {
    local newest
    newest=$(find generator exporters -name '*.py' -exec ls -t {} + | sed -n 1p)
    find generator exporters \( -name '*.nbi' -o -name '*.nbc' \) ! -newer "$newest" -delete
}

quiet_pip() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

# install EXTRAS: once for every content of pyproject.toml; the version follows the commit
install() {
    local extras=$1 python stamp wanted commit
    forget_old_kernels
    stamp=$venv/installed-$extras
    wanted=$(cksum <pyproject.toml)
    commit=$(git rev-parse HEAD 2>/dev/null || true)
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        if [ "$(cat "$venv/commit" 2>/dev/null)" != "$commit" ]; then
            quiet_pip --no-deps --editable . && echo "$commit" >"$venv/commit" ||
                echo "the version of the program stays that of the last installation" >&2
        fi
        return
    fi
    if [ ! -x "$venv/bin/python" ]; then
        python=$(find_python)
        echo "making .venv with $($python --version)"
        "$python" -m venv "$venv"
    fi
    echo "installing cathodegrain[$extras] into .venv"
    quiet_pip --editable ".[$extras]"
    echo "$commit" >"$venv/commit"
    echo "$wanted" >"$stamp"
}

has_torch() {
    "$venv/bin/python" -c 'import torch' 2>/dev/null
}

# install_torch: unless it is there, or pip would bring gigabytes of CUDA to a machine without GPU
# on which tests may be left out
install_torch() {
    local torch=torch==2.13.0 stamp=$venv/without-torch
    if has_torch || [ -e "$stamp" ]; then
        return
    fi
    if [ "${CATHODEGRAIN_CLIENTS:-}" = required ] || nvidia-smi -L >/dev/null 2>&1 ||
        is_small "$torch"; then
        echo "installing $torch into .venv"
        quiet_pip "$torch"
    else
        echo "no torch: pip has no build of $torch without CUDA. What needs torch is not tested." \
            "README, Installing parts, says how to get a CPU build" >&2
        touch "$stamp"
    fi
}

# is_small REQUIREMENT: whether pip can install it, and no package of CUDA with it
is_small() {
    quiet_pip 'pip>=23.3' && # older ones download what they only look at
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --dry-run \
            --only-binary :all: --report - "$1" 2>/dev/null |
        "$venv/bin/python" -c '
import json, sys
names = [entry["metadata"]["name"].lower() for entry in json.load(sys.stdin)["install"]]
sys.exit(any(name.startswith(("nvidia", "cuda")) for name in names))' 2>/dev/null
}
