#!/bin/sh
# devices.sh [auto|vulkan|cuda|rpc|none] - puts the backend for a graphics card, or for other computers (rpc), beside the libraries
# that the build in build/ uses, and says which devices the host then finds. none: takes them away again.
#
# auto: CUDA for a card of NVIDIA where the CUDA 13 runtime and its cuBLAS are installed, which that backend needs; otherwise
# Vulkan, which needs the driver alone.
set -eu
cd "$(dirname "$0")/.."
wanted=${1:-auto}
say() { echo "devices: $*" >&2; }
fail() { say "$*"; exit 1; }

# vendors - of the graphics cards on the bus, one a line
vendors() {
    for card in /sys/bus/pci/devices/*; do
        case $(cat "$card/class" 2>/dev/null) in 0x03*) cat "$card/vendor" ;; esac
    done | sort -u
}
has_library() { ldconfig -p 2>/dev/null | grep -q "$1" || [ -n "$(find /usr/local/cuda/lib64 -name "$1*" 2>/dev/null)" ]; }

folder=$(sed -n 's/^-- libllama: [a-z]*, in //p' build/configure.log)
[ -n "$folder" ] || fail "this build uses an installed libllama: its own packages have the backend, if there is one"

# put KIND - complete at once: another build may use the folder.
put() {
    backend=$(scripts/fetch-libllama.sh "$1")
    ln "$backend/lib/libggml-$1.so" "$folder/lib/.libggml-$1.$$" 2>/dev/null ||
        cp "$backend/lib/libggml-$1.so" "$folder/lib/.libggml-$1.$$"
    mv -f "$folder/lib/.libggml-$1.$$" "$folder/lib/libggml-$1.so"
    say "libggml-$1.so lies in $folder/lib"
}

if [ "$wanted" = rpc ]; then
    put rpc
    say "this computer's devices for others:  build/chatbot --rpc-server ADDRESS:50052"
    say "those of another computer for this:  build/chatbot --rpc ADDRESS:50052 -m MODEL.gguf"
    exit 0
fi

found=$(vendors)
for vendor in $found; do
    case $vendor in
    0x10de) say "there is a graphics card of NVIDIA" ;;
    0x1002) say "there is a graphics card of AMD" ;;
    0x8086) say "there is graphics of Intel" ;;
    *) say "there is a display adapter of vendor $vendor, probably a virtual one" ;;
    esac
done
[ -n "$found" ] || say "no graphics card is on this machine's bus"
if [ "$wanted" = auto ]; then
    wanted=vulkan
    case $found in *0x10de*) if has_library libcudart.so.13 && has_library libcublas.so.13; then wanted=cuda; fi ;; esac
fi

case $wanted in
none)
    rm -f "$folder/lib/libggml-vulkan.so" "$folder/lib/libggml-cuda.so" "$folder/lib/libggml-rpc.so"
    say "there is no backend for devices beside the library now"
    ;;
vulkan | cuda) put "$wanted" ;;
*) fail "there is no '$wanted': auto, vulkan, cuda, rpc or none" ;;
esac
build/chatbot --list-devices
if [ "$wanted" = vulkan ] && ! has_library libvulkan.so.1; then
    say "the Vulkan loader is missing. Install it, and a driver if the card's own has none for Vulkan:"
    say "    apt-get install libvulkan1 mesa-vulkan-drivers"
fi
