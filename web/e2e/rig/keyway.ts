import type { Person } from "./person.ts";

/** What {@link layKeyway} leaves in the page. */
export interface Keyway {
  /** Keys stay on the way while this is set. */
  held: boolean;
  /** Keys are changed on the way while this is set. */
  spoilt: boolean;
  /** Lets go of what was held. */
  release(): void;
}

/**
 * Runs in the page before its own code. Makes the channels between workers lead through the page,
 * so that a test can hold back what goes over them. A page must never do that: these are keys.
 */
export function layKeyway(): void {
  const waiting: (() => void)[] = [];
  const keyway: Keyway = {
    held: false,
    spoilt: false,
    release() {
      keyway.held = false;
      for (const pass of waiting.splice(0)) pass();
    },
  };
  Object.assign(window, { keyway });
  const Channel = MessageChannel;
  window.MessageChannel = class {
    readonly port1: MessagePort;
    readonly port2: MessagePort;
    constructor() {
      const [from, to] = [new Channel(), new Channel()];
      this.port1 = from.port1;
      this.port2 = to.port2;
      from.port2.onmessage = ({ data }) => {
        if (keyway.spoilt && data.key instanceof Uint8Array) data.key[0] ^= 1;
        const pass = () => to.port1.postMessage(data);
        // What is held stays in front of what comes after it.
        if (keyway.held || waiting.length > 0) waiting.push(pass);
        else pass();
      };
    }
  };
}

const keywayOf = (person: Person) =>
  person.page.evaluateHandle(() => (window as unknown as { keyway: Keyway }).keyway);

/** From now on no key reaches the workers that seal and open frames. */
export async function holdKeys(person: Person): Promise<void> {
  await (await keywayOf(person)).evaluate((keyway) => {
    keyway.held = true;
  });
}

export async function releaseKeys(person: Person): Promise<void> {
  await (await keywayOf(person)).evaluate((keyway) => keyway.release());
}

/** From now on all keys that reach those workers are others than the group's, or no more. */
export async function spoilKeys(person: Person, spoilt: boolean): Promise<void> {
  await (await keywayOf(person)).evaluate((keyway, spoilt) => {
    keyway.spoilt = spoilt;
  }, spoilt);
}
