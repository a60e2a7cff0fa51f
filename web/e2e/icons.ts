import { mkdir, readFile } from "node:fs/promises";
import { root } from "./rig/server.ts";
import { test } from "./rig/test.ts";

/** The icons of the installed client, drawn from the mark: how large, and how much of the square
 * is the mark's own. Systems cut a maskable icon to any shape within its middle 80 %. */
const icons: [name: string, size: number, bleed: boolean][] = [
  ["icon-192", 192, false],
  ["icon-512", 512, false],
  ["maskable-512", 512, true],
  ["touch-180", 180, true],
];

test("icons", async ({ chromium }) => {
  const folder = `${root}/web/public/icons`;
  const mark = await readFile(`${root}/web/public/favicon.svg`, "utf8");
  await mkdir(folder, { recursive: true });
  const page = await chromium.newPage();
  for (const [name, size, bleed] of icons) {
    await page.setViewport({ width: size, height: size });
    // A square one fills the corners, which the system rounds.
    const drawn = bleed ? mark.replace(/ rx="\d+"/, "") : mark;
    await page.setContent(
      `<style>* { margin: 0 } svg { display: block; width: 100vw; height: 100vh }</style>${drawn}`,
    );
    await page.screenshot({ path: `${folder}/${name}.png`, omitBackground: true });
  }
  await page.close();
});
