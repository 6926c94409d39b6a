# Boots a directory as a machine of its own, with systemd as its first process: sh -e boot.sh DIRECTORY, as root, in new
# namespaces of mounts, processes, networks and control groups. What an nspawn container does, where that can not be had.
root=$1
mount --make-rprivate /
ip link set lo up
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs sys/fs/cgroup
for name in name=systemd cpu memory pids devices; do
    place=sys/fs/cgroup/${name#name=}
    mkdir "$place"
    mount -t cgroup -o "$(case $name in name=*) echo none,;; esac)$name" cgroup "$place" || rmdir "$place"
done
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero random urandom tty full; do cp -a /dev/$device dev/; done
mkdir -p dev/pts dev/shm old
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . old
exec env -i container=other PATH=/usr/sbin:/usr/bin chroot . sh -c 'umount -l /old; mount --make-rshared /; exec /lib/systemd/systemd'
