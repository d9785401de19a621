#!/bin/busybox sh
# The guest's only program. It says on the serial console who it is and what its
# data's checksum is, then powers off, or stays and keeps reading and writing.
# Sector 1 of the disk: COWPATH <uuid> <off|stay> <first data MiB> <data MiB>
# Sector 8 is its own to write to.
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec < /dev/ttyS0 > /dev/ttyS0 2>&1
while read -r module; do
    insmod "/modules/$module"
done < /modules/order
for _ in $(seq 50); do
    [ -b /dev/vda ] && break
    usleep 100000
done

sector() { dd if=/dev/vda bs=512 skip="$1" count=1 2> /dev/null | tr -d '\000'; }
read -r _ uuid mode first mib << MARK
$(sector 1)
MARK
now() { cut -d' ' -f1 /proc/uptime; }
checksum() { dd if=/dev/vda bs=1M skip="$first" count="$1" 2> /dev/null | md5sum; }

echo "GUEST-BOOT-OK $uuid uptime=$(now) sectors=$(cat /sys/block/vda/size)"
if [ "$mib" -gt 0 ]; then
    md5=$(checksum "$mib")
    echo "GUEST-DATA-MD5 $uuid ${md5%% *} uptime=$(now)"
fi
number=0
tick() {
    number=$((number + 1))
    echo "tick $number $uuid" |
        dd of=/dev/vda bs=512 seek=8 conv=sync,notrunc,fsync 2> /dev/null
    echo 3 > /proc/sys/vm/drop_caches
    back=$(sector 8)
    if [ "$back" = "tick $number $uuid" ]; then
        echo "GUEST-TICK $number ok md5=$(checksum 1 | cut -c1-8) uptime=$(now)"
    else
        echo "GUEST-TICK $number FAILED read '$back'"
    fi
}
tick
while [ "$mode" = stay ]; do
    sleep 1
    tick
done
echo "GUEST-POWEROFF $uuid"
sync
poweroff -f
