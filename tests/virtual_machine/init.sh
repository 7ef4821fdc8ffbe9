#!/bin/busybox sh
# The first process of the machine: loads the modules, takes over the host's files read-only, and runs inside.py.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do
    case $module in
        vivid.ko) insmod /modules/$module n_devs=1 node_types=0x101 num_inputs=1 num_outputs=1 output_types=1 ;;
        *) insmod /modules/$module ;;
    esac
done < /modules/order
insmod /modules/v4l2loopback.ko devices=1 video_nr=10 exclusive_caps=1 card_label=loop
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=131072,cache=loose host /host
mount -t devtmpfs dev /host/dev
mount -t proc proc /host/proc
mkdir /host/dev/shm  # the only folder that can be written: a tmpfs on /tmp would hide a repository there
export HOME=/dev/shm TMPDIR=/dev/shm PYTHONPATH=@REPOSITORY@ PYTHONDONTWRITEBYTECODE=1
chroot /host @PYTHON@ @REPOSITORY@/tests/virtual_machine/inside.py 2>&1
poweroff -f
