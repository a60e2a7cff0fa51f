/** What went wrong and what to do about it, in plain language. */
import type { DeviceKind, DeviceProblem } from "../call/devices";
import type { OwnTrouble } from "../call/ending";
import type { LinkProblem } from "../call/link";
import type { KeyState } from "../crypto/keystate";
import type { Trouble } from "../files/trouble";
import type { Alarm, Namesakes } from "../people/alarms";
import type { Standing } from "../people/known";
import type { VisitorJudgement } from "../people/people";
import type { Door } from "../protocol/Door";
import type { ErrorCode } from "../protocol/ErrorCode";
import type { Lack } from "./support";

export interface Explanation {
  readonly title: string;
  readonly text: string;
  /** Whether trying again may help. */
  readonly retry: boolean;
}

/** What to say, with what only the server knows: how many people one call takes. */
export function explain(code: ErrorCode | OwnTrouble, detail: string): Explanation {
  const explanation = ofTrouble[code];
  const most = code === "room_full" ? /takes (\d{1,4}) participants/.exec(detail)?.[1] : undefined;
  if (most === undefined) return explanation;
  const text = `${most} people are here, as many as this server lets into one call. ${WHEN_FULL}`;
  return { ...explanation, text };
}

const WHEN_FULL =
  "Try again when somebody has left, or ask whoever runs the server for larger calls.";

export const ofTrouble: Readonly<Record<ErrorCode | OwnTrouble, Explanation>> = {
  another_call: {
    title: "This is not the call that you were in",
    text: "The server shows another one under the same link, in which others decide or people are who were not let into yours. Ask the others by another way. If you join again, you do so as somebody new.",
    retry: true,
  },
  wrong_secret: {
    title: "This link doesn’t open this call",
    text: "The part of the link after the # is not the one of this call. Ask the person who invited you to send the whole link again.",
    retry: false,
  },
  room_full: {
    title: "This call is full",
    text: `As many people are here as this server lets into one call. ${WHEN_FULL}`,
    retry: true,
  },
  server_full: {
    title: "The server is full",
    text: "It cannot take any more people right now. Try again in a few minutes.",
    retry: true,
  },
  room_busy: {
    title: "Many people are joining",
    text: "More people come into this call at this moment than it can take at once. Try again in a few seconds.",
    retry: true,
  },
  draining: {
    title: "The server takes no new calls",
    text: "It is about to stop, and only lets the calls that are held come to their end. Try again in a few minutes.",
    retry: true,
  },
  no_such_room: {
    title: "There is no such call",
    text: "On this server, calls are made by those who run it. This one is over, or was never made. Ask the person who invited you for a new link.",
    retry: false,
  },
  not_invited: {
    title: "You need an invitation",
    text: "This call takes people who were invited. Your invitation is missing, used up or expired. Ask the person who invited you for a new one.",
    retry: false,
  },
  room_closed: {
    title: "This call was closed",
    text: "Those who run this server have closed it for everyone.",
    retry: false,
  },
  removed: {
    title: "You were removed from this call",
    text: "Those who run this server did so, not a host of the call.",
    retry: false,
  },
  unsupported_version: {
    title: "This page is out of date",
    text: "The server speaks a newer version. Reload the page to get it.",
    retry: true,
  },
  commit_refused: {
    title: "The others did not let this device in",
    text: "Their devices refused the keys that this one offered. Reload the page and join again. If it happens again, ask for a new link.",
    retry: true,
  },
  shown_out: {
    title: "The server ended your part of the call",
    text: "It says that a host removed you. Join again to see.",
    retry: true,
  },
  link_changed: {
    title: "The link of this call was changed",
    text: "The one that you have no longer opens it. Ask for the new one.",
    retry: false,
  },
  unacceptable_offer: {
    title: "This browser and the server do not understand each other",
    text: "They could not agree on how to exchange sound and pictures. A newer browser will help.",
    retry: true,
  },
  shutting_down: {
    title: "The server is restarting",
    text: "It will be back in a moment.",
    retry: true,
  },
  session_lost: {
    title: "You were away for too long",
    text: "Your place in the call was not kept. Join again.",
    retry: true,
  },
  replaced: {
    title: "This call goes on elsewhere",
    text: "Another connection has taken your place. If that was not you, join again.",
    retry: true,
  },
  too_slow: {
    title: "The connection is too slow",
    text: "This device could not keep up with the call. Try again on a better connection.",
    retry: true,
  },
  too_fast: {
    title: "Too many requests",
    text: "The server asks for a pause. Try again in a minute.",
    retry: true,
  },
  too_large: {
    title: "Something was too large to send",
    text: "The server ended the connection because of it. Join again.",
    retry: true,
  },
  media_lost: {
    title: "Sound and pictures stopped",
    text: "The connection for them broke and could not be made again. Join again.",
    retry: true,
  },
  malformed: {
    title: "The server did not understand this page",
    text: "Reload the page and join again.",
    retry: true,
  },
  out_of_order: {
    title: "The server did not understand this page",
    text: "Reload the page and join again.",
    retry: true,
  },
  unreachable: {
    title: "The server can’t be reached",
    text: "Check your connection. If that is fine, the server may be down.",
    retry: true,
  },
  module: {
    title: "The encryption could not be loaded",
    text: "Without it nothing leaves this device. Check your connection and reload the page.",
    retry: true,
  },
  broken: {
    title: "Something went wrong on this page",
    text: "The call was ended so that nothing could go out unprotected. Join again.",
    retry: true,
  },
};

export const ofLink: Readonly<Record<LinkProblem, Explanation>> = {
  no_room: {
    title: "There is nothing here",
    text: "This address is not a link to a call. Check that you have all of it.",
    retry: false,
  },
  no_secret: {
    title: "A part of the link is missing",
    text: "The part after the # holds the key to the call, and it got lost on the way. Ask for the whole link.",
    retry: false,
  },
  bad_secret: {
    title: "The link is damaged",
    text: "The part after the # holds the key to the call, and it is not complete. Ask for the whole link.",
    retry: false,
  },
};

export const ofLack: Readonly<Record<Lack, Explanation>> = {
  insecure: {
    title: "This page needs a secure connection",
    text: "Browsers lend camera and microphone to https pages only. Ask whoever runs this server to set up https.",
    retry: false,
  },
  webrtc: {
    title: "This browser can’t make calls",
    text: "Use a current version of Firefox, Chrome, Edge or Safari.",
    retry: false,
  },
  signatures: {
    title: "This browser is too old for safe calls",
    text: "It can’t make the kind of key by which the others know your device again. Use a current version of Firefox, Chrome, Edge or Safari.",
    retry: false,
  },
  transform: {
    title: "This browser can’t encrypt calls end to end",
    text: "It lacks what is needed to lock sound and pictures on your device, so nothing was sent. Use a current version of Firefox, Chrome, Edge or Safari.",
    retry: false,
  },
};

/** Why this browser has nothing by which people could be known again. */
export const ofForgetting = {
  device:
    "This browser keeps nothing for this page, as in a private window. The others will see a new device of yours in every call.",
  people:
    "This browser keeps nothing for this page, as in a private window. Whom you verify here is forgotten after the call.",
} as const;

/** What to think of somebody, in a word or two; nothing of those who were just met before. */
export const ofStanding: Readonly<Record<Standing, string>> = {
  own: "you, in another window",
  new: "new to you",
  known: "",
  verified: "verified",
  changed: "new device, check who this is",
  differs: "digits differed, don’t trust",
};

/** How it stands with the keys of what somebody sends, in the call's numbers. */
export const ofKeys: Readonly<Record<KeyState, string>> = {
  current: "opens with the newest keys",
  behind: "opens with the keys before",
  waiting: "waiting for keys",
  unreadable: "cannot be opened",
  silent: "nothing comes",
};

/** What a tile says when its picture cannot be shown for want of keys. */
export const ofKeyTrouble = {
  waiting: "Waiting for keys",
  unreadable: {
    title: "This can’t be opened",
    text: (name: string) =>
      `it wasn’t sealed with this call’s keys. If it lasts, ask ${name} to leave and join again.`,
  },
} as const;

export const ofCallCode = {
  title: "Call code",
  text: "Everyone in this call must see the same digits, right now. They change whenever somebody comes or goes.",
  differ: "If somebody reads out others, leave the call: you may not all be in the same one.",
} as const;

/** Who may join, as hosts choose it and as the others read it. */
export const ofDoor: Readonly<
  Record<Door, { readonly label: string; readonly text: string; readonly note: string }>
> = {
  open: { label: "Anyone with the link", text: "They join at once.", note: "" },
  lobby: {
    label: "Ask a host first",
    text: "People with the link wait until a host lets them in.",
    note: "New people wait until a host lets them in.",
  },
  locked: {
    label: "Nobody",
    text: "The call is locked. Hosts can still come back.",
    note: "The call is locked: nobody new can join.",
  },
};

export const ofHosting = {
  title: "As a host",
  whoMayJoin: "Who may join",
  muteOthers: "Mute everyone else",
  mute: "Mute",
  appoint: "Make host",
  dismiss: "No longer a host",
  remove: "Remove from the call",
  removal: (name: string) => `Remove ${name}?`,
  removalText:
    "They can’t see or hear anything from then on, and this device of theirs can’t come back.",
  removalLink: "Change the link as well",
  removalLinkText:
    "They know the link and could come back from another device. People who were invited and are not here yet need the new one.",
  changeLink: "Change the link",
  changeLinkText:
    "Nobody new can join with the old link any more. People who were invited and are not here yet need the new one.",
  changeLinkYes: "Change it",
  cancel: "Cancel",
  waiting: "Someone wants to join",
  wants: (name: string) => `${name} wants to join`,
  others: (count: number) => (count === 1 ? "1 more is waiting." : `${count} more are waiting.`),
  admit: "Let in",
  turnAway: "Don’t let in",
  letYouIn: "Waiting for a host to let you in",
  leaveTitle: "You are the only host",
  leaveText:
    "When you are gone, nobody can let people in or open the call. Make somebody else a host first, or let anyone with the link join.",
  leaveAnyway: "Leave anyway",
  stay: "Stay",
} as const;

/** Files that people send each other. */
export const ofFiles = {
  attach: "Send files",
  drop: "Drop files here to send them to everyone in the call",
  folder: "Folders can’t be sent. Pack it into one file first, such as a zip.",
  download: (name: string) => `Download ${name}`,
  save: (name: string) => `Save ${name} again`,
  pause: (name: string) => `Pause ${name}`,
  resume: (name: string) => `Resume ${name}`,
  cancel: (name: string) => `Cancel ${name}`,
  chooseAgain: (name: string) => `Choose ${name} again`,
  progress: (name: string) => `Progress of ${name}`,
  picture: (name: string) => `Picture: ${name}`,
  running: (direction: "up" | "down", through: string, size: string) =>
    `${direction === "up" ? "Sending" : "Receiving"}: ${through} of ${size}`,
  waiting: {
    server: "Connection lost. It goes on by itself.",
    storage: "The server can’t reach its file storage just now. It goes on by itself.",
  },
  paused: (through: string, size: string) => `Paused at ${through} of ${size}`,
  announcing: "Sent. Telling the others…",
  failed: "It could not be done",
  sent: "sent",
  lost: "The page was closed while this was being sent. Choose the same file again to go on.",
  another: "This is another file, or it was changed since. Choose the one that you were sending.",
} as const;

export const ofFileTrouble: Readonly<Record<Trouble, string>> = {
  "switched-off": "Files can’t be sent on this server: whoever runs it has switched that off.",
  "file-too-large": "The file is larger than this server takes.",
  "participant-quota": "You have sent as much as one person can. Files expire after a while.",
  "room-quota":
    "The files of this call take up all the room that a call has. Files expire after a while.",
  "server-quota": "The server has no room for more files. Try again later.",
  "disk-full": "The server’s disk is full. Try again later. The call is not affected.",
  "no-such-file": "The file is no longer there. Ask for it to be sent again.",
  tampered:
    "What the server gave is not what was sent: it was changed or cut short. Nothing of it was kept.",
  unreadable: "The file can’t be read any more: it was moved, changed or deleted.",
  changed:
    "The file was changed since it began to be sent. Resume to send it anew, as it is now, or cancel.",
  "no-space": "This device has no room for the file. Make some, then resume.",
  "too-large-here":
    "This browser keeps nothing for this page, as in a private window, and the file is too large without.",
  broken: "Something went wrong. Try again.",
};

/** The sheet on which two people compare their digits. */
export const ofCheck = {
  title: (name: string) => `Check that this is really ${name}`,
  how: (name: string) =>
    `Meet ${name}, or call on a phone or another app where you know each other’s voice or face, and read these digits to each other. If both of you see the same ones, this is ${name}’s device and nobody sits in between.`,
  where: (name: string) =>
    `${name} finds them by choosing your name in the list of people in the call.`,
  same: "They are the same – mark as verified",
  differ: "They differ",
  verifiedOn: (name: string, day: string) =>
    `You marked ${name}’s device as verified on ${day}. The mark stays for later calls.`,
  unmark: "Remove the mark",
  differedOn: (name: string, day: string) =>
    `On ${day} you said that the digits differ. This may be someone who only uses ${name}’s name.`,
  whatNow: {
    title: (name: string) => `This may not be ${name}`,
    text: "Don’t say or show anything private here. Leave the call, ask whoever invited you for the link anew, in a way that you trust, and compare the digits again.",
    lasting: "You will be warned whenever this device is in a call with you.",
    leave: "Leave the call",
    stay: "Stay for now",
  },
  done: (name: string) => `${name} is verified.`,
} as const;

/** A reason as a title. */
export function sentence(text: string): string {
  const [first = "", ...rest] = [...text];
  return first.toLocaleUpperCase() + rest.join("");
}

/** A loud warning about somebody. */
export function ofAlarm({ kind, member, wasVerified, beside, present }: Alarm): {
  readonly title: string;
  readonly text: string;
} {
  const { name } = member;
  const left = present ? "" : ` They have left the call.`;
  if (kind === "differs") {
    return {
      title: `Don’t trust that this is ${name}.`,
      text: `You compared digits with this device before, and they differed. It may be someone who only uses ${name}’s name.${left}`,
    };
  }
  const met = ofNamesakes(name, { wasVerified, beside });
  const may = `This may be a new phone or browser – or someone who uses ${name}’s name.`;
  const advice = wasVerified
    ? "Until you have checked, treat this person as a stranger."
    : `Check with ${name} before you say anything private.`;
  return {
    title: wasVerified ? `Careful: is this really ${name}?` : `${name}’s device is new.`,
    text: `${met} ${may} ${present ? advice : left.trim()}`,
  };
}

function ofNamesakes(name: string, { wasVerified, beside }: Namesakes): string {
  const verified = wasVerified ? " and had verified it" : "";
  return beside
    ? `You know ${name} on another device${verified}, and that one is in this call as well.`
    : `You have met ${name} before on another device${verified}.`;
}

const STRANGER: VisitorJudgement = {
  standing: "new",
  others: [],
  formerly: undefined,
  wasVerified: false,
  beside: false,
};

/** What a host reads of somebody who wants to join: loudly, if the name may not be theirs. */
export function ofVisitor(
  name: string,
  judgement: VisitorJudgement = STRANGER,
): { readonly title: string; readonly text: string; readonly loud: "" | "careful" | "grave" } {
  const { standing, formerly } = judgement;
  const known = formerly === undefined ? "" : ` You know this device as ${formerly}.`;
  if (standing === "differs") {
    return {
      title: `Don’t trust that this is ${name}.`,
      text: `You compared digits with this device before, and they differed.${known} It may be someone who only uses ${name}’s name.`,
      loud: "grave",
    };
  }
  if (standing === "changed") {
    const may =
      known || ` This may be a new phone or browser – or someone who uses ${name}’s name.`;
    return {
      title: `Careful: is this really ${name}?`,
      text: `${ofNamesakes(name, judgement)}${may} Ask ${name} in another way before you let them in.`,
      loud: judgement.wasVerified ? "grave" : "careful",
    };
  }
  if (formerly !== undefined) {
    const verified = standing === "verified" ? " and have verified it under that name" : "";
    return {
      title: `A device that you know as ${formerly} wants to join as ${name}.`,
      text: `You have met it as ${formerly}${verified}. It may not be ${name} who uses it.`,
      loud: "careful",
    };
  }
  return { title: ofHosting.wants(name), text: OF_VISITOR[standing], loud: "" };
}

const OF_VISITOR: Readonly<Record<Exclude<Standing, "changed" | "differs">, string>> = {
  own: "In another window of this browser.",
  verified: "On a device that you have verified.",
  known: "On a device that you have met before.",
  new: "On a device that is new to you. The name is what they typed.",
};

export const ofAlarmActions = {
  check: "Check now",
  accept: "I know about it",
  dismiss: "Dismiss",
} as const;

/** What keeps devices from working; one sentence for both when they have it in common. */
export function ofDevices(
  problems: Readonly<Partial<Record<DeviceKind, DeviceProblem>>>,
): readonly string[] {
  const { camera, microphone } = problems;
  if (camera && camera === microphone) return [ofDevice(["camera", "microphone"], camera)];
  const said: string[] = [];
  if (camera) said.push(ofDevice(["camera"], camera));
  if (microphone) said.push(ofDevice(["microphone"], microphone));
  return said;
}

export function ofDevice(kinds: readonly DeviceKind[], problem: DeviceProblem): string {
  const devices = kinds.join(" and ");
  const several = kinds.length > 1;
  switch (problem) {
    case "denied":
      return `This page may not use your ${devices}. Allow it through the icon in the address bar, then try again.`;
    case "missing":
      return `No ${kinds.join(" or ")} was found. Plug one in, or join without.`;
    case "busy":
      return `Your ${devices} ${several ? "are" : "is"} in use by another program. Close that, then try again.`;
    case "unknown":
      return `Your ${devices} could not be started.`;
  }
}
