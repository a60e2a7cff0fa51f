# Conclave, for scripts/peers.sh: what frames cost with end-to-end encryption and without
# is the same to the server, but not to the bots.

name=conclave
bots=(--target conclave --server "http://$address:8080")

available() {
  [ -x "target/$profile/conclave" ]
}

version() {
  "target/$profile/conclave" --version | cut -d ' ' -f 2
}

begin() {
  serve "target/$profile/conclave" --listen "$address:8080" --plain-http --media-port 3478 --public-address "$address" --media-threads 1
  await 8080
}
