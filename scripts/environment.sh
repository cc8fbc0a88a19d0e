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
    newest=$(ls -t generator/*.py generator/fitting/*.py exporters/*.py | head -n 1)
    find generator exporters \( -name '*.nbi' -o -name '*.nbc' \) ! -newer "$newest" -delete
}

# install EXTRAS [REQUIREMENT ...]: once for every content of pyproject.toml
install() {
    local extras=$1 python stamp wanted
    shift
    forget_old_kernels
    stamp=$venv/installed-$extras
    wanted="$(cksum <pyproject.toml) $*"
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    if [ ! -x "$venv/bin/python" ]; then
        python=$(find_python)
        echo "making .venv with $($python --version)"
        "$python" -m venv "$venv"
    fi
    echo "installing cathodegrain[$extras] into .venv"
    if [ $# -gt 0 ]; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
    echo "$wanted" >"$stamp"
}
