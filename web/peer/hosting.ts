/** The rules of a call, which only hosts change (docs/protocol.md §4). */
import { createHash } from "node:crypto";
import { type Extension, encodeRequiredCapabilities } from "ts-mls";
import type { RuleChange } from "../src/protocol/RuleChange";
import type { Link } from "./link";

/** The number of the extension that holds them. */
export const RULES_EXTENSION = 0xf0c1;

export interface Rules {
  hosts: string[];
  door: "open" | "lobby" | "locked";
  barred: string[];
  link: number;
}

export function rulesOfFounder(device: string): Rules {
  return { hosts: [device], door: "open", barred: [], link: 0 };
}

const required = (): Uint8Array =>
  encodeRequiredCapabilities({
    extensionTypes: [RULES_EXTENSION],
    proposalTypes: [],
    credentialTypes: [],
  });

/** As the group's context holds them. */
export function extensionsOf(rules: Rules): Extension[] {
  const extensionData = new TextEncoder().encode(JSON.stringify(rules));
  return [
    { extensionType: "required_capabilities", extensionData: required() },
    { extensionType: RULES_EXTENSION, extensionData },
  ];
}

/** Throws if these are not the extensions of a call. */
export function readRules(extensions: Extension[]): Rules {
  let rules: Rules | undefined;
  for (const { extensionType, extensionData } of extensions) {
    if (extensionType === RULES_EXTENSION) {
      rules = JSON.parse(new TextDecoder().decode(extensionData));
    } else if (
      extensionType !== "required_capabilities" ||
      !Buffer.from(extensionData).equals(required())
    ) {
      throw new Error("9: another extension");
    }
  }
  if (rules === undefined || Object.keys(rules).sort().join() !== "barred,door,hosts,link") {
    throw new Error("9: no rules");
  }
  const { hosts, barred } = rules;
  const sound =
    hosts.length >= 1 &&
    hosts.length <= 32 &&
    barred.length <= 256 &&
    !hosts.some((host) => barred.includes(host));
  if (!sound) throw new Error("9: impossible rules");
  return rules;
}

/** What a commit does beyond bringing in and taking out who is gone. */
export interface Decision {
  byHost: boolean;
  rules: Rules;
  changesRules: boolean;
  changesLink: boolean;
  /** Who is removed though they are here. */
  shownOut: string | undefined;
  removed: string[];
}

/** Throws if the author told the server something else than the group (rule 10). */
export function examineAnnouncement(
  decision: Decision,
  announced: RuleChange | undefined,
  link: Link | undefined,
): void {
  const { byHost, rules, changesRules, changesLink, shownOut, removed } = decision;
  const mislabelled = new Error("10: the server was told something else");
  if (announced === undefined) {
    if (changesRules || shownOut !== undefined) throw mislabelled;
    return;
  }
  if (!byHost) throw new Error("9: not a host");
  const holds =
    announced.guarded === (rules.door !== "open") &&
    (announced.removed === undefined || removed.includes(announced.removed)) &&
    (shownOut === undefined || shownOut === announced.removed) &&
    (announced.lock !== undefined) === changesLink &&
    (link === undefined || announced.lock === lockOf(link));
  if (!holds) throw mislabelled;
}

/** What the server is told to open the room to. */
function lockOf(link: Link): string {
  return createHash("sha256").update(link.key("room-auth")).digest("base64url");
}
