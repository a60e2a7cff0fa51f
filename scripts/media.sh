#!/bin/sh
# Makes the recordings that tests, benchmarks and the load test play, with ffmpeg:
#
#   camera.ivf   VP8, 320x180, 20 frames/s, 8 s: left half red, right half blue, and a
#                white square that moves, so that whoever decodes it can be checked
#   camera.png   its first frame as ffmpeg decodes it, to compare with
#   meeting.ivf  VP8, 640x360, 30 frames/s, 8 s, 1 Mbit/s: about as many packets as a camera
#   voice.ogg    Opus, 48 kHz, mono, 20 ms frames, 8 s: syllables of a hummed voice
#
# All of them loop without a seam. A key frame a second, since a recording cannot make one
# when asked: a player jumps to the next.
#
# usage: scripts/media.sh [DIRECTORY]        (default: target/media)
set -eu

directory=${1:-target/media}
files='camera.ivf camera.png meeting.ivf voice.ogg'

# Run from its file, the script itself is what the recordings depend on.
stale=
for file in $files; do
    [ -s "$directory/$file" ] || stale=yes
    if [ -f "$0" ] && [ -n "$(find "$0" -newer "$directory/$file" 2>/dev/null)" ]; then stale=yes; fi
done
[ -n "$stale" ] || exit 0

if ! command -v ffmpeg >/dev/null 2>&1; then
    echo "ffmpeg is missing. Install it, on Debian or Ubuntu with: sudo apt-get install --yes --no-install-recommends ffmpeg" >&2
    exit 69
fi

mkdir -p "$directory"
work=$(mktemp -d "$directory/making.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

quietly() { ffmpeg -nostdin -hide_banner -loglevel error -y "$@"; }

# vp8 BITRATE FRAMES_PER_SECOND OUTPUT: reads a raw picture from the filter [v]. One thread
# and exact flags give the same bytes each time; no frame is hidden (no alternate
# reference), none depends on a later one.
seconds=8
vp8() {
    echo "-map [v] -t $seconds -c:v libvpx -b:v $1 -minrate $1 -maxrate $1 -bufsize $1 -g $2 -keyint_min $2 \
        -max-intra-rate 400 -deadline realtime -cpu-used 6 -threads 1 -auto-alt-ref 0 -lag-in-frames 0 \
        -error-resilient default -pix_fmt yuv420p -fflags +bitexact -f ivf $3"
}

# shellcheck disable=SC2046 # the function prints a list of arguments
quietly \
    -f lavfi -i "color=c=0xC81E1E:size=160x180:rate=20" \
    -f lavfi -i "color=c=0x1E3CC8:size=160x180:rate=20" \
    -f lavfi -i "color=c=white:size=24x24:rate=20" \
    -filter_complex "[0][1]hstack[halves];[halves][2]overlay=x='148-130*cos(2*PI*t/$seconds)':y='20+12*sin(4*PI*t/$seconds)'[v]" \
    $(vp8 200k 20 "$work/camera.ivf")

# shellcheck disable=SC2046
quietly \
    -f lavfi -i "testsrc2=size=640x360:rate=30" \
    -filter_complex "[0]noise=alls=12:allf=t[v]" \
    $(vp8 1M 30 "$work/meeting.ivf")

quietly -i "$work/camera.ivf" -frames:v 1 -fflags +bitexact "$work/camera.png"

# Four syllables a second, an octave of harmonics above 150 Hz.
quietly \
    -f lavfi -i "aevalsrc='0.6*pow(sin(4*PI*t)\,2)*(0.5*sin(2*PI*150*t)+0.3*sin(2*PI*300*t)+0.15*sin(2*PI*450*t)+0.05*sin(2*PI*600*t))':s=48000:d=$seconds" \
    -ac 1 -c:a libopus -b:a 32k -application voip -frame_duration 20 -fflags +bitexact -f ogg "$work/voice.ogg"

for file in $files; do mv "$work/$file" "$directory/$file"; done
