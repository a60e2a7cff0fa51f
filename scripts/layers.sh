#!/bin/sh
# Makes the recordings with which the SFU's tests prove that what comes out of a slot can be
# decoded (sfu/tests/decode.rs), with ffmpeg. Four seconds each, 20 frames/s, a key frame a
# second; a player that is asked for a key frame jumps to the next.
#
#   vp8-q.ivf, vp8-h.ivf, vp8-f.ivf   the same picture at 160x90, 320x180 and 640x360, as the
#                                     layers of a simulcast
#   vp9-small.ivf, vp9-large.ivf      two pictures, 240x136 and 480x270
#
# usage: scripts/layers.sh [DIRECTORY]        (default: target/media/layers)
set -eu

directory=${1:-target/media/layers}
if ! command -v ffmpeg >/dev/null 2>&1; then
    echo "ffmpeg is missing. Install it, on Debian or Ubuntu with: sudo apt-get install --yes --no-install-recommends ffmpeg" >&2
    exit 69
fi

mkdir -p "$directory"
work=$(mktemp -d "$directory/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# encode CODEC PICTURE SIZE BITRATE FILE: noise keeps frames from being smaller than a packet.
# No frame is hidden (no alternate reference) and none depends on a later one, so each frame
# that goes in comes out as one picture.
encode() {
    ffmpeg -nostdin -hide_banner -loglevel error -y \
        -f lavfi -i "$2=size=$3:rate=20" -filter_complex "[0]noise=alls=12:allf=t[v]" -map "[v]" -t 4 \
        -c:v "$1" -b:v "$4" -minrate "$4" -maxrate "$4" -bufsize "$4" -g 20 -keyint_min 20 \
        -deadline realtime -cpu-used 6 -threads 1 -auto-alt-ref 0 -lag-in-frames 0 -error-resilient default \
        -pix_fmt yuv420p -fflags +bitexact -f ivf "$work/$5"
    mv "$work/$5" "$directory/$5"
}

encode libvpx testsrc2 160x90 100k vp8-q.ivf
encode libvpx testsrc2 320x180 300k vp8-h.ivf
encode libvpx testsrc2 640x360 800k vp8-f.ivf
encode libvpx-vp9 testsrc2 240x136 150k vp9-small.ivf
encode libvpx-vp9 testsrc 480x270 400k vp9-large.ivf
