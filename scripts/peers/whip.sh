# A server of WHIP and WHEP: those of Meetecho, which put Janus' VideoRoom behind both.
# scripts/peers/whip/install.sh fetches them.

. scripts/peers/janus.sh
name=janus-whip
bots=(--target whip --whip "http://$address:7080/whip/endpoint/{stream}" --whep "http://$address:7090/whep/endpoint/{stream}")
modules=$PWD/scripts/peers/whip/node_modules

# The folder above usr/share/simple-whip-server: where the package is installed, or unpacked by install.sh.
whip_root() {
  local folder
  for folder in "" scripts/peers/whip/package; do
    if [ -f "$folder/usr/share/simple-whip-server/src/server.js" ]; then
      echo "$folder"
      return
    fi
  done
  return 1
}

available() {
  command -v janus >/dev/null && command -v node >/dev/null && whip_root >/dev/null && [ -d "$modules" ]
}

version() {
  local whip whep
  whip=$(zcat "$(whip_root)/usr/share/doc/simple-whip-server/changelog.Debian.gz" | sed -n '1s/.*(\(.*\)).*/\1/p')
  whep=$(node --print "require('$modules/janus-whep-server/package.json').version")
  echo "$(janus_version), WHIP $whip, WHEP $whep"
}

begin() {
  begin_janus
  mkdir -p "$work/whip"
  # The configuration is a file beside the program.
  cp "$(whip_root)"/usr/share/simple-whip-server/src/{server,whip-janus}.js "$work/whip"
  cat >"$work/whip/config.js" <<END
module.exports = { janus: { address: 'ws://$address:8188' }, port: 7080, rest: '/whip' };
END
  serve env NODE_PATH="$modules" DEBUG="whip:info,whip:warn,whip:error,janus:error" node "$work/whip/server.js"
  await 7080
  serve node scripts/peers/whip/serve.mjs "$address" "${scenario%:*}"
  await 7090
}
