import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { expect } from "vitest";
import { Forger, type Passing, rewrite } from "./rig/forger.ts";
import { type Person, patience } from "./rig/person.ts";
import { root, type Server } from "./rig/server.ts";
import { test } from "./rig/test.ts";

/** What a page of ours has had refused, and what a forged one has achieved. */
interface Traces {
  violations: string[];
  forged?: string[];
}

/** Runs in the page before its own code. */
function watch(): void {
  const traces: Traces = { violations: [] };
  Object.assign(window, traces);
  document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
    traces.violations.push(`${effectiveDirective} ${blockedURI}`);
  });
}

const tracesOf = ({ page }: Person): Promise<Traces> =>
  page.evaluate(() => {
    const { violations, forged } = window as unknown as Traces;
    return { violations, ...(forged && { forged }) };
  });

/** Opens the page of a server that forges. */
async function opens(
  person: Person,
  server: Server,
  forge: (passing: Passing) => void,
  story: () => Promise<void>,
): Promise<void> {
  const forger = new Forger(server, forge);
  try {
    await person.page.evaluateOnNewDocument(watch);
    await person.page.goto(await forger.start());
    await story();
  } finally {
    forger.stop();
  }
}

const isShown = ({ page }: Person): Promise<boolean> =>
  page.$eval("#app", (app) => app.childElementCount > 0);

const isPage = ({ path }: Passing): boolean => path === "/" || path.startsWith("/r/");

const LEAVES_A_TRACE = '(window.forged ??= []).push("script");';

/** Takes from a page what it is held to. */
function disarm(passing: Passing): void {
  passing.headers.delete("content-security-policy");
  passing.headers.delete("integrity-policy");
  if (isPage(passing)) rewrite(passing, (page) => page.replace(/ integrity="[^"]*"/g, ""));
}

for (const kind of ["chromium", "firefox"] as const) {
  test(`${kind} runs the page by itself, asks nobody else, and refuses it nothing`, async ({
    enter,
    server,
  }) => {
    const ada = await enter("Ada", kind);
    const asked = new Set<string>();
    ada.page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (/^(http|ws)/.test(protocol)) asked.add(origin);
    });
    await ada.page.evaluateOnNewDocument(watch);
    await ada.startCall(server.url);
    const bob = await enter("Bob", kind === "chromium" ? "firefox" : "chromium");
    await bob.join(await ada.page.evaluate(() => location.href));
    await ada.sees("Bob");

    expect(await ada.page.evaluate(() => crossOriginIsolated)).toBe(true);
    expect(await tracesOf(ada)).toEqual({ violations: [] });
    expect([...asked]).toEqual([server.url]);
    expect(ada.console).toEqual([]);
  });

  test(`${kind} is shown the hash of the client, and what is not of it`, async ({
    enter,
    server,
  }) => {
    const list = await readFile(`${root}/web/dist/.well-known/conclave/client.json`);
    const hash = createHash("sha256").update(list).digest("hex");
    const ada = await enter("Ada", kind);
    await ada.startCall(server.url);
    await ada.press("Settings");
    const { page } = ada;
    await page.waitForSelector('[data-check="as_listed"]');
    const shown = await page.$$eval(".this-page-hash", (all) => all.map((one) => one.textContent));
    expect(shown.map((text) => text?.replaceAll(" ", ""))).toEqual([hash]);

    const bob = await enter("Bob", kind);
    const forge = (passing: Passing): void => {
      if (passing.path === "/favicon.svg") rewrite(passing, (icon) => `${icon}\n`);
    };
    await opens(bob, server, forge, async () => {
      await bob.page.locator("summary").click();
      await bob.page.waitForSelector('[data-check="different"]');
      const text = await bob.page.$eval(".this-page", ({ textContent }) => textContent);
      expect(text).toContain("favicon.svg");
    });
  });

  test(`${kind} refuses scripts, styles and encryption that were changed`, async ({
    enter,
    server,
  }) => {
    const script = (passing: Passing): void => {
      if (passing.path.endsWith(".js")) rewrite(passing, (code) => `${LEAVES_A_TRACE}${code}`);
    };
    // Nothing but what the page says keeps the forgery from being run.
    const ada = await enter("Ada", kind);
    const disarmed = (passing: Passing): void => {
      script(passing);
      disarm(passing);
    };
    await opens(ada, server, disarmed, async () => {
      await expect.poll(() => tracesOf(ada), patience).toMatchObject({ forged: ["script"] });
      expect(await isShown(ada)).toBe(true);
    });
    const bob = await enter("Bob", kind);
    await opens(bob, server, script, async () => {
      expect(await isShown(bob)).toBe(false);
      expect(await tracesOf(bob)).not.toHaveProperty("forged");
    });

    const cyd = await enter("Cyd", kind);
    const style = (passing: Passing): void => {
      if (passing.path.endsWith(".css")) rewrite(passing, (rules) => `${rules} body { top: 1px }`);
    };
    await opens(cyd, server, style, async () => {
      expect(await cyd.page.evaluate(() => getComputedStyle(document.body).top)).toBe("auto");
      const margin = () => getComputedStyle(document.body).marginTop;
      expect(await cyd.page.evaluate(margin)).toBe("8px");
    });

    const dan = await enter("Dan", kind);
    const module = (passing: Passing): void => {
      // A custom section more, which changes nothing.
      const section = Buffer.from([0, 2, 1, 0x78]);
      if (passing.path.endsWith(".wasm")) passing.body = Buffer.concat([passing.body, section]);
    };
    await opens(dan, server, module, async () => {
      await dan.press("New call");
      await dan.page.locator('::-p-aria(Your name[role="textbox"])').fill("Dan");
      await dan.press("Join");
      await dan.isStoppedBy(/encryption could not be loaded/);
    });
  });

  test(`${kind} runs nothing that was put into the page`, async ({ enter, server }) => {
    const injected = [
      `<script>${LEAVES_A_TRACE}</script>`,
      '<script src="https://elsewhere.example/x.js" crossorigin></script>',
      '<script src="/forged.js"></script>',
      `<img src="x" onerror='${LEAVES_A_TRACE}'>`,
    ].join("");
    const inject = (passing: Passing): void => {
      if (isPage(passing)) rewrite(passing, (page) => page.replace("<body>", `<body>${injected}`));
      if (passing.path === "/forged.js") {
        passing.status = 200;
        passing.headers.set("content-type", "text/javascript");
        passing.body = Buffer.from(LEAVES_A_TRACE);
      }
    };
    const ada = await enter("Ada", kind);
    const disarmed = (passing: Passing): void => {
      inject(passing);
      disarm(passing);
    };
    await opens(ada, server, disarmed, async () => {
      await expect.poll(() => tracesOf(ada), patience).toHaveProperty("forged.length", 3);
    });
    const bob = await enter("Bob", kind);
    await opens(bob, server, inject, async () => {
      expect(await isShown(bob)).toBe(true);
      const traces = await tracesOf(bob);
      expect(traces).not.toHaveProperty("forged");
      expect([...new Set(traces.violations)].sort()).toEqual([
        "script-src-attr inline",
        "script-src-elem https://elsewhere.example/x.js",
        "script-src-elem inline",
      ]);
    });
  });

  test(`${kind} makes no code out of text`, async ({ enter, server }) => {
    const ada = await enter("Ada", kind);
    await ada.page.evaluateOnNewDocument(watch);
    await ada.page.goto(server.url);
    const outcomes = await ada.page.evaluate(async () => {
      // What the test itself runs may do anything; what the page runs later may not.
      await new Promise((resolve) => setTimeout(resolve));
      const script = document.createElement("script");
      const attempts: Record<string, () => unknown> = {
        // biome-ignore lint/security/noGlobalEval: it must be refused
        eval: () => globalThis.eval("1"),
        Function: () => new Function("return 1"),
        innerHTML: () => {
          document.createElement("div").innerHTML = "<b>bold</b>";
        },
        write: () => document.write("<b>bold</b>"),
        text: () => {
          script.text = "1";
        },
        src: () => {
          script.src = "/forged.js";
        },
        worker: () => new Worker("/forged.js"),
      };
      return Object.entries(attempts).map(([name, attempt]) => {
        try {
          attempt();
          return `${name}: allowed`;
        } catch (refusal) {
          return `${name}: ${(refusal as Error).name}`;
        }
      });
    });
    expect(outcomes).toEqual([
      "eval: EvalError",
      "Function: EvalError",
      "innerHTML: TypeError",
      "write: TypeError",
      "text: TypeError",
      "src: TypeError",
      "worker: TypeError",
    ]);
  });
}

test("Chromium finds nothing that keeps the client from being installed", async ({
  enter,
  server,
}) => {
  const ada = await enter("Ada", "chromium");
  await ada.page.goto(server.url);
  const browser = await ada.page.createCDPSession();
  const manifest = await browser.send("Page.getAppManifest");
  expect(manifest.errors).toEqual([]);
  expect(manifest.url).toBe(`${server.url}/conclave.webmanifest`);
  expect(JSON.parse(manifest.data ?? "")).toMatchObject({ display: "standalone" });
  const { installabilityErrors } = await browser.send("Page.getInstallabilityErrors");
  // The tests' profiles are incognito ones, in which nothing can be installed.
  const errors = installabilityErrors.filter(({ errorId }) => errorId !== "in-incognito");
  expect(errors).toEqual([]);
});
