#!/bin/sh
# numba reads what it has compiled only where it could write too: in memory, if the container is read-only.
here=$(dirname "$0")
if folder=$(mktemp -d 2>/dev/null) && cp -R "$here/numba/." "$folder"; then
    export NUMBA_CACHE_DIR="$folder"
fi
exec vid2vid "$@"
