import { readFile } from "node:fs/promises";
import { createServer, type Server as Listener } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { build } from "vite";
import type { Workshop } from "../workshop/page.ts";
import { root } from "./server.ts";

const folder = `${root}/target/workshop`;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** Builds the workshop (see workshop/page.ts) and serves it, isolated as the client is. */
export async function openWorkshop(): Promise<{ url: string; close(): void }> {
  await build({
    configFile: false,
    root: `${root}/web/e2e/workshop`,
    logLevel: "warn",
    build: { outDir: folder, emptyOutDir: true, target: "es2022", assetsInlineLimit: 0 },
    worker: { format: "es" },
  });
  const listener: Listener = createServer(async ({ url = "/" }, response) => {
    const name = url === "/" ? "/index.html" : url;
    const body = name.includes("..")
      ? undefined
      : await readFile(folder + name).catch(() => undefined);
    response.writeHead(body ? 200 : 404, {
      "content-type": TYPES[extname(name)] ?? "text/plain",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    response.end(body);
  });
  await new Promise<void>((resolve) => listener.listen(0, "localhost", resolve));
  return {
    url: `http://localhost:${(listener.address() as AddressInfo).port}`,
    close: () => {
      listener.close();
      listener.closeAllConnections();
    },
  };
}

/** Does something in the workshop, in a page of its own. */
export async function inWorkshop<T>(
  browser: Browser,
  url: string,
  task: (page: Page) => Promise<T>,
): Promise<T> {
  const context = await browser.createBrowserContext();
  try {
    const page = await context.newPage();
    await page.goto(url);
    await page.waitForFunction(() => "workshop" in window);
    return await task(page);
  } finally {
    await context.close();
  }
}

/** What the workshop's page has to offer, for use inside of it. */
export type InPage = { workshop: Workshop };
