#!/bin/sh
# deb.sh [chroot] - the Debian packages as their user meets them: lintian has no errors, each package holds what it should, and
# programs run from where dpkg puts them. With `chroot`: also in a clean Debian that debootstrap makes (minutes, network, root):
# installed, a question answered, a program built against liblipc-dev, removed without a trace.
set -eu
cd "$(dirname "$0")/../.."
fail() {
    echo "deb: $*" >&2
    exit 1
}
for tool in dpkg-shlibdeps dpkg-deb cpack file; do
    command -v $tool >/dev/null || { echo "deb: skipped: no $tool"; exit 77; }
done
work=$(mktemp -d)
mounted=
clean_up() {
    for folder in $mounted; do umount "$folder" || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
scripts/deb.sh >/dev/null
out=build/packages

if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error --suppress-tags-from-file tests/packages/lintian.suppressed "$out"/*.deb >"$work/lintian" 2>&1 ||
        { cat "$work/lintian" >&2; fail "lintian finds errors"; }
    echo "deb: lintian: no errors, $(grep -c '^W:' "$work/lintian" || true) warnings"
else
    echo "deb: lintian: skipped, it is not installed"
fi

# holds PACKAGE FILE...
holds() {
    package=$1
    shift
    list=$(dpkg-deb --contents "$out/$package"_*.deb | awk '{print $6}')
    for file; do
        echo "$list" | grep -q -x -e "\./$file" || fail "$package does not hold $file"
    done
}
holds chatbot usr/bin/chatbot usr/share/lipc/models/tutor.gguf usr/share/man/man1/chatbot.1.gz usr/lib/systemd/user/chatbot.service
holds liblipc1 'usr/lib/liblipc.so.1'
holds liblipc-dev usr/include/lipc/lipc.h usr/lib/liblipc.so usr/lib/liblipc.a usr/lib/pkgconfig/lipc.pc usr/lib/cmake/lipc/lipcConfig.cmake
holds llamaipc usr/bin/llamaipc usr/share/man/man1/llamaipc.1.gz usr/share/bash-completion/completions/llamaipc

# answers COMMAND... - a question, without a host before and after it.
LIPC_NAME="deb_$$"
export LIPC_NAME
answers() {
    answer=$("$@" ask -q --temp 0 "What is C++?") || fail "$*: ended with code $?"
    "$@" stop >/dev/null 2>&1 || true
    case $answer in *"C++ is"*) ;; *) fail "it answered '$answer'" ;; esac
}
for package in "$out"/*.deb; do dpkg-deb --extract "$package" "$work/tree"; done
if readelf -d "$work/tree/usr/bin/chatbot" | grep -q "$HOME\|$PWD"; then fail "chatbot looks for libraries in a folder of the build"; fi
answers "$work/tree/usr/bin/llamaipc"
echo "deb: unpacked: ok"
[ "${1:-}" = chroot ] || exit 0

command -v debootstrap >/dev/null || fail "the test in a chroot needs debootstrap"
[ "$(id -u)" = 0 ] || fail "the test in a chroot needs root"
root=$work/root
debootstrap --variant=minbase "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" >"$work/log" 2>&1 || { tail "$work/log" >&2; fail "debootstrap failed"; }
mount -t proc proc "$root/proc" && mounted="$root/proc"
mkdir -p "$root/dev/shm" && mount -t tmpfs tmpfs "$root/dev/shm" && mounted="$root/dev/shm $mounted"
mkdir "$root/packages" && cp "$out"/*.deb "$root/packages/"
cp examples/client.c "$root/packages/"
inside() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LIPC_NAME="$LIPC_NAME" HOME=/root "$@"; }
quietly() { "$@" >"$work/log" 2>&1 || { tail -20 "$work/log" >&2; fail "failed: $*"; }; }
inside dpkg-query -W -f '${Package}\n' | sort >"$work/before"
(cd "$root" && find usr etc -xdev | sort) >"$work/files_before"
quietly inside apt-get update
quietly inside sh -c 'apt-get install -y --no-install-recommends /packages/*.deb gcc libc6-dev pkg-config'
answers inside llamaipc
quietly inside sh -c 'gcc -o /packages/client /packages/client.c $(pkg-config --cflags --libs lipc)'
echo "deb: chroot: installed, answers, and a program is built against it: ok"
quietly inside apt-get purge -y chatbot liblipc1 liblipc-dev llamaipc
(cd "$root" && find usr etc -xdev | grep -e lipc -e chatbot -e llamaipc) && fail "the packages leave files behind"
ls "$root/dev/shm" | grep -q "$LIPC_NAME" && fail "a host leaves shared memory behind"
echo "deb: chroot: removed without a trace: ok"
