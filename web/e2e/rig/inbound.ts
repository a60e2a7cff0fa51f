import type { Person } from "./person.ts";

/** How many videos bring packets, watched for a second. */
export function arriving(person: Person): Promise<number> {
  return person.ask(async (connections) => {
    const received = async (): Promise<Map<string, number>> => {
      const counts = new Map<string, number>();
      for (const connection of connections) {
        for (const report of (await connection.getStats()).values()) {
          if (report.type !== "inbound-rtp" || report.kind !== "video") continue;
          counts.set(report.id, report.packetsReceived);
        }
      }
      return counts;
    };
    const before = await received();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const after = [...(await received())];
    return after.filter(([id, packets]) => packets > (before.get(id) ?? 0)).length;
  });
}

/** What was seen of the videos that arrive. */
export interface Watched {
  /** The longest time in which no frame was decoded of a video that was there all the time. */
  longestStillnessMs: number;
  /** Heights of the decoded pictures, in the order in which they came. */
  heights: number[];
}

/** Watches how someone's only video is decoded, from here until the given step has been taken. */
export async function watching(person: Person, step: () => Promise<void>): Promise<Watched> {
  await person.ask(async (connections) => {
    interface Stream {
      id: string;
      framesDecoded?: number;
      frameHeight?: number;
    }
    const streams = async (): Promise<Stream[]> => {
      const reports = await Promise.all(connections.map((connection) => connection.getStats()));
      return reports
        .flatMap((report) => [...report.values()])
        .filter((report) => report.type === "inbound-rtp" && report.kind === "video");
    };
    const first = await streams();
    const frames = new Map(first.map(({ id, framesDecoded }) => [id, framesDecoded]));
    const watched: Watched = { longestStillnessMs: 0, heights: [] };
    let since = performance.now();
    const look = async (): Promise<void> => {
      const now = await streams();
      const time = performance.now();
      const moving = now.find(({ id, framesDecoded }) => framesDecoded !== frames.get(id));
      for (const { id, framesDecoded } of now) frames.set(id, framesDecoded);
      watched.longestStillnessMs = Math.max(watched.longestStillnessMs, time - since);
      if (!moving) return;
      since = time;
      const height = moving.frameHeight ?? 0;
      if (height !== watched.heights.at(-1)) watched.heights.push(height);
    };
    let looking = Promise.resolve();
    const timer = setInterval(() => {
      looking = looking.then(look);
    }, 100);
    const stop = async (): Promise<Watched> => {
      clearInterval(timer);
      await looking;
      await look();
      return watched;
    };
    Object.assign(window, { stopWatching: stop });
  });
  await step();
  return person.page.evaluate(() =>
    (window as unknown as { stopWatching(): Promise<Watched> }).stopWatching(),
  );
}
