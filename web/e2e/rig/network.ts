import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

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
