import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { mediaAddress } from "./server.ts";

const run = promisify(execFile);

/** Does something while nothing passes between browsers and the server, in either direction. */
export async function withoutNetwork(story: () => Promise<void>): Promise<void> {
  const rules = `table inet cut {
    chain input {
      type filter hook input priority filter;
      tcp dport { 8080, 3478 } drop
      tcp sport { 8080, 3478 } drop
      udp dport 3478 drop
      udp sport 3478 drop
    }
  }`;
  await run("nft", [rules]);
  try {
    await story();
  } finally {
    await run("nft", ["delete table inet cut"]);
  }
}

/** Breaks every connection to the front door, as a middlebox does that has forgotten them. */
export async function breakLines(): Promise<void> {
  await run("ss", ["-K", "-t", "dport = 8080"]);
}

/**
 * Does something after the browsers' machine has come into another network: packets from the
 * address that it had lead nowhere, and neither do the connections that it has.
 */
export async function withAnotherAddress(story: () => Promise<void>): Promise<void> {
  const rules = `table inet moved {
    chain input {
      type filter hook input priority filter;
      ip saddr ${mediaAddress} meta l4proto { tcp, udp } th dport 3478 drop
    }
  }`;
  // Another interface: of the addresses of one, Chromium uses the first.
  await run("ip", ["link", "add", "other", "type", "veth", "peer", "name", "beyond"]);
  await run("ip", ["addr", "add", "10.78.0.1/24", "dev", "other"]);
  await run("ip", ["link", "set", "other", "up"]);
  await run("ip", ["link", "set", "beyond", "up"]);
  // As on a machine that was moved. Firefox takes the address that the default route leads from.
  const [before] = (await run("ip", ["route", "show", "default"])).stdout.split("\n");
  await run("ip", ["route", "replace", "default", "dev", "other", "src", "10.78.0.1"]);
  await run("nft", [rules]);
  await breakLines();
  try {
    await story();
  } finally {
    await run("nft", ["delete table inet moved"]);
    await run("ip", ["route", "replace", ...(before ?? "").trim().split(" ")]);
    await run("ip", ["link", "del", "other"]);
  }
}

/** Does something while the network, which is the tests' own, lets no UDP to a port pass. */
export async function withoutUdp(port: number, story: () => Promise<void>): Promise<void> {
  const rules = `table inet firewall {
    chain input {
      type filter hook input priority filter;
      udp dport ${port} drop
    }
  }`;
  await run("nft", [rules]);
  try {
    await story();
  } finally {
    await run("nft", ["delete table inet firewall"]);
  }
}
