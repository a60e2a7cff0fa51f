// Serves WHEP from a VideoRoom of Janus, and gives the WHIP server beside it one endpoint for
// each stream of that room:
//
//   serve.mjs ADDRESS STREAMS
//
// Waits for the WHIP server, listens on port 7090 once the endpoints of WHIP are there, and says
// so. Those of WHEP come with the streams, since Janus numbers them anew each time.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import express from 'express';
import Janode from 'janode';
import VideoRoom from 'janode/plugins/videoroom';
import { JanusWhepServer } from 'janus-whep-server';

const [address, streams] = process.argv.slice(2);
const janus = `ws://${address}:8188`;
const whip = `http://${address}:7080/whip`;
const room = 1;

const app = express();
const whep = new JanusWhepServer({
  janus: { address: janus },
  rest: { app, basePath: '/whep' },
});
await whep.start();

const connection = await Janode.connect({ address: { url: janus } });
const session = await connection.create();
const handle = await session.attach(VideoRoom);
// As loadtest/src/target/janus/request.rs makes its rooms.
await handle.create({
  room,
  is_private: true,
  max_publishers: 10_000,
  bitrate: 0,
  audiocodec: 'opus',
  videocodec: 'vp8,vp9,av1',
});

// Streams have the names there that the WHIP server was told, which are ours.
handle.on(VideoRoom.EVENT.VIDEOROOM_PUB_LIST, async ({ publishers }) => {
  for (const { feed, display: id } of publishers) {
    if (whep.getEndpoint({ id })) await whep.destroyEndpoint({ id });
    whep.createEndpoint({ id, plugin: 'videoroom', room, feed });
  }
});
await handle.joinPublisher({ room, display: 'watcher' });

const isUp = () => fetch(`${whip}/healthcheck`).then((it) => it.ok, () => false);
for (let tries = 1; !(await isUp()); tries += 1) {
  if (tries === 100) throw new Error(`no WHIP server at ${whip}`);
  await sleep(100);
}
for (let stream = 0; stream < streams; stream += 1) {
  const id = String(stream);
  const made = await fetch(`${whip}/create`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ id, room, label: id }),
  });
  if (!made.ok) throw new Error(`no WHIP endpoint ${id}: ${made.status} ${await made.text()}`);
}
await once(app.listen(7090, address), 'listening');
console.log(`WHIP at ${whip}/endpoint/{stream}, WHEP at http://${address}:7090/whep/endpoint/{stream}`);
