#!/bin/sh
# Run the environment $1 once, so that what Python and numba compile lies in it; and lay the entry point beside it.
set -eu
mkdir -p "$1/numba"
cp "$(dirname "$0")/entry.sh" "$1/entry.sh"
examples=$(echo "$1"/lib/python3*/site-packages/vid2vid_cli/examples)
cd "$(mktemp -d)"
export NUMBA_CACHE_DIR="$1/numba"
"$1/bin/vid2vid" reenact "$examples/portrait.jpg" "$examples/driving.mp4" --end 0.4 --no-credentials -o film.mp4
"$1/bin/vid2vid" rotate "$examples/portrait.jpg" --yaw 20 --no-credentials -o turned.png
rm -rf "$PWD"
chmod -R a+rX "$1"
