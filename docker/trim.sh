#!/bin/sh
# Remove what no command needs from the environment $1.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)
cd "$packages"
rm -rf torch/test torch/include torch/share torch/bin/test_* torch/bin/*Test torch/bin/protoc* torch/lib/*_test.so numba/tests
rm -f c2pa/libs/*.rlib  # for programs in Rust
rm -rf sympy mpmath networkx  # of torch's compiler, which nothing here uses
find scipy -type d -name tests -prune -exec rm -rf {} +
strip --strip-unneeded torch/lib/libtorch_cpu.so torch/lib/libtorch_python.so llvmlite/binding/libllvmlite.so
"$1/bin/python" -m pip uninstall -y -q setuptools pip
