import type { Notices } from "../call/notices";

/** Puts the call's link, with its secret, on the clipboard. */
export async function copyLink(address: string, notices: Notices): Promise<void> {
  try {
    await navigator.clipboard.writeText(address);
    notices.say("info", "Link copied. Whoever has it can join.");
  } catch {
    notices.say("warning", "The link could not be copied. Copy it from the address bar.");
  }
}
