#!/bin/sh
# Starts vale-bench's agent in a guest that its own system booted. This file lies on the disk that carries the agent,
# mounted at the folder it is started from, and is run by cloud-init, or over ssh, as root.
here=$(dirname "$0")

# Interfaces under test are nobody else's: whatever manages the guest's network leaves them alone.
reserve() {
    [ -s "$here/macs" ] || return 0
    mkdir -p /run/systemd/network /run/NetworkManager/conf.d
    {
        echo '[Match]'
        echo "MACAddress=$(tr '\n' ' ' <"$here/macs")"
        echo '[Link]'
        echo 'Unmanaged=yes'
    } >/run/systemd/network/00-vale-bench.network
    {
        echo '[keyfile]'
        echo "unmanaged-devices=$(sed 's/^/mac:/' "$here/macs" | tr '\n' ';')"
    } >/run/NetworkManager/conf.d/90-vale-bench.conf
}

# A system that was up before may have taken them already: then they are taken from it.
release() {
    for interface in /sys/class/net/*; do
        address=$(cat "$interface/address" 2>/dev/null)
        [ -n "$address" ] && grep -qixF "$address" "$here/macs" || continue
        name=${interface##*/}
        [ ! -d /run/NetworkManager ] || nmcli device set "$name" managed no
        pkill -f "dh(client|cpcd)(5)?( .*)? $name\$"
        ip address flush dev "$name"
    done 2>/dev/null
    [ ! -d /run/systemd/netif ] || networkctl reload 2>/dev/null
}

# What waits for a network would wait in vain, for minutes. And of cloud-init, whose later parts have nothing to do,
# each takes a Python's start; where they are parts of one program (from 24.3 on) it would wait for them.
spare() {
    units='systemd-networkd-wait-online NetworkManager-wait-online'
    [ -e /lib/systemd/system/cloud-init-main.service ] || units="$units cloud-init cloud-config cloud-final"
    reload=
    for unit in $units; do
        if [ -e "/lib/systemd/system/$unit.service" ]; then
            mkdir -p "/run/systemd/system/$unit.service.d"
            printf '[Service]\nExecStart=\nExecStart=/bin/true\n' >"/run/systemd/system/$unit.service.d/vale-bench.conf"
            reload=yes
        fi
    done
    [ -z "$reload" ] || systemctl daemon-reload
}

# What the system has still to start would share the processor with what is measured; so would what a timer starts.
settle() {
    left=60
    while [ "$left" -gt 0 ]; do
        case $(systemctl is-system-running 2>/dev/null) in
        initializing | starting) sleep 2 ;;
        *) break ;;
        esac
        left=$((left - 1))
    done
    [ "$left" -gt 0 ] || echo 'vale-bench: the system is still starting, and is measured as it is'
    systemctl --no-block stop '*.timer' 2>/dev/null
}

case $1 in
agent)
    settle
    [ -d /sys/class/virtio-ports ] || modprobe virtio_console
    # A program of another system's: with the loader and the libraries that it was built with.
    if [ -e "$here/loader" ]; then
        exec "$here/loader" --library-path "$here/lib" "$here/agent" guest-agent
    fi
    exec "$here/agent" guest-agent
    ;;
*)
    reserve
    if [ -e "$here/user-data" ]; then spare; else release; fi
    setsid sh "$0" agent </dev/null >/dev/console 2>&1 &
    ;;
esac
