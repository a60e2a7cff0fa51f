import { existsSync } from "node:fs";
import puppeteer, { type Browser, type LaunchOptions } from "puppeteer-core";
import { load } from "./load.ts";
import { mediaAddress } from "./server.ts";

/** Which browser a person uses. */
export type Kind = "chromium" | "firefox";

function program(variable: string, candidates: string[]): string {
  const path = process.env[variable] ?? candidates.find((candidate) => existsSync(candidate));
  if (!path)
    throw new Error(
      `None of ${candidates.join(", ")} is here; set ${variable}, or run scripts/setup.sh test.`,
    );
  return path;
}

/** Starts a Chromium with a camera, a microphone and a screen that need no person. */
export function launchChromium(
  more: string[] = [],
  options: Pick<LaunchOptions, "networkEnabled"> = {},
): Promise<Browser> {
  return puppeteer.launch({
    ...options,
    executablePath: program("CONCLAVE_CHROMIUM", [
      "/usr/bin/chromium",
      "/usr/bin/google-chrome",
      "/usr/bin/chromium-browser",
    ]),
    args: [
      // The tests run as root of a namespace of their own.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-quic",
      "--mute-audio",
      "--password-store=basic",
      // No word to anyone outside.
      "--no-first-run",
      "--no-default-browser-check",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--disable-default-apps",
      "--disable-extensions",
      "--disable-domain-reliability",
      "--metrics-recording-only",
      "--disable-breakpad",
      "--no-pings",
      "--disable-field-trial-config",
      `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1, EXCLUDE ${mediaAddress}`,
      "--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate,DialMediaRouteProvider",
      // Devices.
      `--use-fake-device-for-media-stream=fps=${load.cameraFps}`,
      "--use-fake-ui-for-media-stream",
      "--autoplay-policy=no-user-gesture-required",
      "--auto-select-desktop-capture-source=Entire screen",
      // Several people share one browser: none of them may be put to sleep.
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
      "--disable-background-timer-throttling",
      ...more,
    ],
  });
}

/** Starts a Firefox with a camera and a microphone that need no person. */
export function launchFirefox(): Promise<Browser> {
  return puppeteer.launch({
    browser: "firefox",
    executablePath: program("CONCLAVE_FIREFOX", ["/usr/bin/firefox-esr", "/usr/bin/firefox"]),
    extraPrefsFirefox: {
      "media.navigator.streams.fake": true,
      "media.navigator.permission.disabled": true,
      "media.navigator.video.default_fps": load.cameraFps,
      "media.peerconnection.ice.obfuscate_host_addresses": false,
      "media.autoplay.default": 0,
      "media.autoplay.blocking_policy": 0,
      // No word to anyone outside.
      "media.gmp-manager.updateEnabled": false,
      "media.gmp-manager.url": "",
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "network.trr.mode": 5,
      "app.update.enabled": false,
      "app.normandy.enabled": false,
      "services.settings.server": "http://127.0.0.1:9/",
      "toolkit.telemetry.server": "http://127.0.0.1:9/",
      "dom.push.enabled": false,
      "browser.startup.page": 0,
    },
  });
}
