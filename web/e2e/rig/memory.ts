import { open, readFile } from "node:fs/promises";

const piece = 16 * 1024 * 1024;

/** Which of the needles stand anywhere in the readable memory of a process. */
export async function findInMemory(
  pid: number,
  needles: Map<string, Buffer>,
): Promise<{ found: Set<string>; bytesRead: number }> {
  const overlap = Math.max(...[...needles.values()].map((needle) => needle.length)) - 1;
  const found = new Set<string>();
  let bytesRead = 0;
  const memory = await open(`/proc/${pid}/mem`);
  try {
    const buffer = Buffer.alloc(piece + overlap);
    for (const { start, end } of await readableRegions(pid)) {
      for (let at = start; at < end; at += piece) {
        const length = Math.min(piece + overlap, end - at);
        // A region can be gone since it was listed.
        const read = await memory.read(buffer, 0, length, at).catch(() => undefined);
        if (!read) break;
        bytesRead += read.bytesRead;
        const view = buffer.subarray(0, read.bytesRead);
        for (const [name, needle] of needles) if (view.includes(needle)) found.add(name);
      }
    }
  } finally {
    await memory.close();
  }
  return { found, bytesRead };
}

async function readableRegions(pid: number): Promise<{ start: number; end: number }[]> {
  const maps = await readFile(`/proc/${pid}/maps`, "utf8");
  return maps.split("\n").flatMap((line) => {
    const [, start, end] = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line) ?? [];
    const special = /\[(vvar|vsyscall)/.test(line);
    return start && end && !special
      ? [{ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) }]
      : [];
  });
}
