#!/bin/sh
# Gets what building and running vale-bench needs: a C compiler, QEMU, and a kernel for the guests; DPDK with Open
# vSwitch, unless VALE_BENCH_DPDK is `no`, without which all else works; and what the tests make a guest's disk with.
# Does nothing where all is there. On Debian and Ubuntu it installs packages with apt (as root, or through sudo);
# elsewhere it says what to install. The kernel is only unpacked into the cache folder, never installed. Services that
# come with a package are neither started nor enabled.
#
# With --browser it also installs Chromium, in which the tests open the report's page; else they skip that.
#
# Exit codes: 0 everything is there, 1 something failed, 2 usage, 4 this host cannot be set up from here.
set -eu

cache=${VALE_BENCH_CACHE:-${XDG_CACHE_HOME:-${HOME:?names no home for the cache folder}/.cache}/vale-bench}
qemu=${VALE_BENCH_QEMU:-qemu-system-x86_64}
# Packages whose dependency is the newest small kernel: Debian's, Ubuntu's, and what either has if not.
kernels='linux-image-cloud-amd64 linux-image-virtual linux-image-kvm linux-image-amd64'
lists_are_new=
browser=

say() { printf 'setup: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

stop() {
    say "$@"
    exit 4
}

has() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        stop "this needs root or sudo: $*"
    fi
}

# Fresh package lists, once.
update_lists() {
    [ -z "$lists_are_new" ] || return 1
    lists_are_new=yes
    say 'updating the package lists'
    as_root apt-get update -qq
}

# Old lists do not know a package, or name files that the servers no longer have: then once more with new ones.
install_packages() {
    say "installing $*"
    apt-cache show "$@" >/dev/null 2>&1 || update_lists
    apt_install "$@" || { update_lists && apt_install "$@"; } || fail "apt cannot install $*"
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}

installed() {
    case $(dpkg-query -W -f='${Status}' "$1" 2>/dev/null) in *' installed') ;; *) return 1 ;; esac
}

# Installs packages that much can be done without, and says so if it cannot. What they bring as services is not
# started, now or at the next boot; a service that was there before is left as it is.
install_optional() {
    policy=/usr/sbin/policy-rc.d
    services=
    for package in openvswitch-switch dpdk; do
        installed "$package" || services="$services $package"
    done
    if [ ! -e "$policy" ]; then
        trap 'as_root rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
        # shellcheck disable=SC2016 # the other shell's $1
        as_root sh -c 'printf "#!/bin/sh\nexit 101\n" >"$1" && chmod 755 "$1"' sh "$policy"
    else
        policy=
    fi
    say "installing $*"
    if ! apt_install "$@"; then
        { update_lists && apt_install "$@"; } ||
            say "apt cannot install $*: what needs them is left out, as doctor and the tests tell"
    fi
    if [ -n "$policy" ]; then
        as_root rm -f "$policy"
        trap - EXIT HUP INT TERM
    fi
    for service in $services; do
        [ ! -e "/lib/systemd/system/$service.service" ] || ! has systemctl ||
            as_root systemctl --quiet disable "$service.service" >/dev/null 2>&1 || true
        [ ! -e "/etc/init.d/$service" ] || as_root update-rc.d "$service" disable >/dev/null 2>&1 || true
    done
}

has_kernel() {
    if [ -n "${VALE_BENCH_KERNEL:-}" ]; then
        [ -e "$VALE_BENCH_KERNEL" ] || stop "VALE_BENCH_KERNEL is $VALE_BENCH_KERNEL, which does not exist"
        return
    fi
    for image in "$cache"/kernels/*/boot/vmlinuz-*; do
        [ ! -r "$image" ] || return 0
    done
    return 1
}

# The packages that the package $1 depends on and whose names match $2.
depends() {
    apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *Depends: \\($2\\)\$/\\1/p"
}

# The newest kernel's package, through the packages that follow it.
newest_kernel() {
    for package in $kernels; do
        newest=$(depends "$package" 'linux-image-[0-9].*' | head -n 1)
        if [ -n "$newest" ]; then
            echo "$newest"
            return
        fi
    done
    return 1
}

# Downloads the kernel package $1, and its modules where they are a package of their own, into the folder $2.
download() {
    modules=$(depends "$1" 'linux-\(modules\|binary\)-[0-9].*')
    # Without the option apt, as root, warns that its own user cannot write there.
    # shellcheck disable=SC2086 # package names have no spaces
    (cd "$2" && apt-get download -qq -o APT::Sandbox::User=root "$1" $modules)
}

fetch_kernel() {
    newest_kernel >/dev/null || update_lists
    package=$(newest_kernel) || stop "apt knows no kernel package (looked for: $kernels)"
    say "fetching a guest kernel, $package, into $cache"
    mkdir -p "$cache/kernels"
    # What a set-up that was killed left behind; one that still runs is younger.
    find "$cache/kernels" -maxdepth 1 -name '.unpack.*' -mmin +60 -exec rm -rf {} +
    work=$(mktemp -d "$cache/kernels/.unpack.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
    mkdir "$work/tree"
    download "$package" "$work" || { update_lists && download "$(newest_kernel)" "$work"; } ||
        fail "cannot download $package"
    for archive in "$work"/*.deb; do
        dpkg-deb -x "$archive" "$work/tree"
    done
    image=$(find "$work/tree/boot" -name 'vmlinuz-*' | head -n 1)
    [ -n "$image" ] || fail "$package holds no kernel"
    place=$cache/kernels/${image##*/vmlinuz-}
    chmod 755 "$work/tree"
    # A rename, so that nobody sees half of it. If another set-up was faster, its tree is as good.
    mv -T "$work/tree" "$place" 2>/dev/null || [ -d "$place/boot" ] || fail "cannot write $place"
    rm -rf "$work"
    trap - EXIT
}

case "$*" in
'') ;;
--browser) browser=yes ;;
*)
    say "unknown arguments: $*; there is --browser"
    exit 2
    ;;
esac

[ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] || stop 'vale-bench runs on x86_64 Linux only'
has "${CARGO:-cargo}" || stop 'cargo is missing: install Rust 1.88 or newer, with rustup for example'

missing=
has cc || missing='gcc libc6-dev'
if ! has "$qemu"; then
    [ -z "${VALE_BENCH_QEMU:-}" ] || stop "VALE_BENCH_QEMU is $qemu, which is not a program"
    missing="$missing qemu-system-x86"
fi
if [ -n "$browser" ] && ! has chromium && ! has chromium-browser && ! has google-chrome; then
    missing="$missing chromium fonts-dejavu-core"
fi

optional=
if [ "${VALE_BENCH_DPDK:-}" != no ]; then
    { has pkg-config && pkg-config --exists libdpdk; } || optional='pkg-config libdpdk-dev'
    has dpdk-testpmd || optional="$optional dpdk-dev"
    [ -x /usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk ] || optional="$optional openvswitch-switch-dpdk"
fi

# The tests' own image of a distribution is made with these, and entered with ssh; some are in folders that only
# root's PATH has.
PATH=$PATH:/usr/sbin:/sbin
has mmdebstrap || optional="$optional mmdebstrap"
has mke2fs || optional="$optional e2fsprogs"
has sfdisk || optional="$optional fdisk"
has ssh || optional="$optional openssh-client"
has grub-mkimage || optional="$optional grub-common"
[ -e /usr/lib/grub/i386-pc/boot.img ] || optional="$optional grub-pc-bin"

if has apt-get && has dpkg-deb; then
    # shellcheck disable=SC2086 # a list of names
    [ -z "$missing" ] || install_packages $missing
    # shellcheck disable=SC2086
    [ -z "$optional" ] || install_optional $optional
    has_kernel || fetch_kernel
elif [ -n "$missing" ]; then
    say 'there is no apt here; please install a C compiler and QEMU for x86_64 guests:'
    say '  Fedora: gcc qemu-system-x86-core   Arch: gcc qemu-system-x86   openSUSE: gcc qemu-x86'
    exit 4
elif ! has_kernel; then
    # vale-bench takes the host's own kernel where it can read it.
    for image in /boot/vmlinuz*; do
        [ ! -r "$image" ] || exit 0
    done
    stop "no kernel in /boot is readable; set VALE_BENCH_KERNEL to a kernel image (lib/modules/ beside its folder)"
fi
