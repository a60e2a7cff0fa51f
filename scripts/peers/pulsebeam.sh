# PulseBeam, of the releases 0.4: the program on PATH, or the one that PULSEBEAM names. It
# chooses its ports itself, and the address that it finds on the machine. It sends each receiver
# at most 5 Mbit/s, in which four cameras go.

name=pulsebeam
bots=(--target pulsebeam --server "http://$address:7070" --camera-slots 4 --audio-slots 3)
pictures=(--codec h264 --video "$alike")

available() {
  command -v "${PULSEBEAM:-pulsebeam}" >/dev/null
}

version() {
  "${PULSEBEAM:-pulsebeam}" --version | cut -d ' ' -f 2
}

begin() {
  serve "${PULSEBEAM:-pulsebeam}" --dev
  await 7070
}
