#!/bin/bash
# Boots Debian's kernel with vivid and v4l2loopback in an emulated machine and runs inside.py there. See README.md.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
python=$(realpath -s "${PYTHON:-$repository/.venv/bin/python}")
work=${WORK:-$(mktemp -d)}
limit_s=${LIMIT_S:-900}
mkdir -p "$work/packages" "$work/root"
cd "$work"

for tool in qemu-system-x86_64 gcc make cpio depmod modprobe apt-get; do
    PATH=$PATH:/sbin command -v $tool > tools.log || { echo "needs $tool: see $here/README.md" >&2; exit 2; }
done
PATH=$PATH:/sbin

# Nothing is installed: the packages are only unpacked.
release=${RELEASE:-$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-//p')}
version=${release%-amd64}
kbuild=linux-kbuild-$(cut -d. -f1,2 <<< "$version")
if [ ! -e root/boot/vmlinuz-"$release" ]; then
    (cd packages && apt-get download -q linux-image-"$release" linux-headers-"$release" \
        linux-headers-"$version"-common "$kbuild" v4l2loopback-dkms busybox-static)
    for package in packages/*.deb; do dpkg -x "$package" root; done
fi
headers=$work/root/usr/src/linux-headers-$release
sed -i "s#^include /usr/src/#include $work/root/usr/src/#" "$headers/Makefile"
rm -rf loopback && cp -r "${LOOPBACK:-$(echo root/usr/src/v4l2loopback-*)}" loopback
make -s -C "$headers" M="$work"/loopback modules

# The first file system holds busybox and the modules, in the order in which they load. All else is the host's, read-only.
rm -rf first && mkdir -p first/{bin,proc,sys,host,modules}
cp root/bin/busybox first/bin/
depmod -b root "$release"
for module in virtio_pci 9pnet_virtio 9p vivid; do
    modprobe -d "$work"/root -S "$release" --show-depends $module
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > modules.txt
while read -r module; do
    cp "$module" first/modules/
    basename "$module"
done < modules.txt > first/modules/order
cp loopback/v4l2loopback.ko first/modules/
sed "s#@PYTHON@#$python#; s#@REPOSITORY@#$repository#" "$here/init.sh" > first/init
chmod +x first/init
(cd first && find . | cpio -o -H newc --quiet) | gzip > first.gz

timeout "$limit_s" qemu-system-x86_64 -accel "${ACCEL:-tcg}" -cpu "${CPU:-max}" -m 1024 -nographic -no-reboot \
    -kernel root/boot/vmlinuz-"$release" -initrd first.gz -append "console=ttyS0 panic=-1 quiet edd=off" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap < /dev/null | tee console.log
grep -q "^virtual camera: all well" console.log
