# Janus, as the distribution packages it.

name=janus
bots=(--target janus --server "http://$address:8188")

available() {
  command -v janus >/dev/null
}

janus_version() {
  janus --version 2>/dev/null | sed -n 's/^Janus version: .*(\(.*\))/\1/p'
}
version() {
  janus_version
}

begin_janus() {
  local folder file plugins=""
  for folder in /usr/lib/*/janus /usr/lib/janus /usr/local/lib/janus /opt/janus/lib/janus; do
    if [ -e "$folder/plugins/libjanus_videoroom.so" ]; then plugins=$folder; fi
  done
  if [ -z "$plugins" ]; then
    echo "peers: janus is here but its VideoRoom is not" >&2
    return 1
  fi
  for file in scripts/peers/janus/*.jcfg; do
    sed "s,@ADDRESS@,$address,; s,@PLUGINS@,$plugins," "$file" >"$work/${file##*/}"
  done
  serve janus --configs-folder "$work" --config "$work/janus.jcfg" --disable-colors
  await 8188
}
begin() {
  begin_janus
}
