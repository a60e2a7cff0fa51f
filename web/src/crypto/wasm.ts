/** The end-to-end encryption module as the workers use it. */
import type { HostRequest } from "../protocol/HostRequest";
import type { Member } from "../protocol/Member";
import type { MembershipOutput } from "../protocol/MembershipOutput";
import type { SharedFile } from "../protocol/SharedFile";
import {
  initSync,
  Membership as WasmMembership,
  FrameOpener as WasmOpener,
  FrameSealer as WasmSealer,
  StayKey as WasmStayKey,
} from "../wasm/conclave_e2ee.js";
import type { Codec } from "./codec";
import type { Device } from "./device";
import type { Opened, Opener, Sealer } from "./frames";
import { FrameError } from "./frames";

export type { Member, MembershipOutput };

/** Makes the module ready in this worker, and gives the memory that it works in. */
export function start(module: WebAssembly.Module): WebAssembly.Memory {
  return initSync({ module }).memory;
}

/** What the module throws is a short code. */
function frameError(thrown: unknown): FrameError {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new FrameError(/^[a-z_]{1,32}$/.test(text) ? text : "broken");
}

/** The MLS side: keys, roster, chat. */
export class Membership {
  readonly #inner: WasmMembership;

  private constructor(inner: WasmMembership) {
    this.#inner = inner;
  }

  /** A membership that has not begun, in a stay that the device vouches for. */
  static async of(
    device: Device,
    link: { readonly room: string; readonly secret: string },
    name: string,
  ): Promise<Membership> {
    const stay = new WasmStayKey();
    let signature: Uint8Array;
    try {
      signature = await device.sign(Uint8Array.from(stay.claim(link.room)));
    } catch (error) {
      stay.free();
      throw error;
    }
    const { room, secret } = link;
    return new Membership(new WasmMembership(room, secret, name, stay, device.key, signature));
  }

  /** Goes on in the call that an earlier membership was in, by what that one remembered. */
  recall(memory: string): void {
    this.#inner.recall(memory);
  }

  /** What the next membership of this call has to know, once there is something. */
  memory(): string | undefined {
    return this.#inner.memory();
  }

  joinMessage(): string {
    return this.#inner.join_message();
  }

  handle(now: number, message: string): void {
    this.#inner.handle(now, message);
  }

  handleTimeout(now: number): void {
    this.#inner.handle_timeout(now);
  }

  /** When {@link handleTimeout} is due, on the clock that `now` is read from. */
  nextTimeout(): number | undefined {
    return this.#inner.next_timeout();
  }

  /** Lets end what ends with time alone: old keys, and the way back from a change. */
  expire(now: number): void {
    this.#inner.expire(now);
  }

  /** When {@link expire} is due, on the clock that `now` is read from. */
  nextExpiry(): number | undefined {
    return this.#inner.next_expiry();
  }

  sendChat(text: string): void {
    this.#inner.send_chat(text);
  }

  /** Tells the others of a file that is stored. */
  shareFile(file: SharedFile): void {
    this.#inner.share_file(JSON.stringify(file));
  }

  /** Throws why it cannot be done. */
  host(now: number, request: HostRequest): void {
    this.#inner.host(now, JSON.stringify(request));
  }

  /** The secret of the room's link as it is now. */
  linkSecret(): string {
    return this.#inner.link_fragment();
  }

  poll(): MembershipOutput | undefined {
    const output = this.#inner.poll();
    return output === undefined ? undefined : (JSON.parse(output) as MembershipOutput);
  }

  /** The caller wipes it. */
  baseKey(epoch: number): Uint8Array {
    return this.#inner.base_key(epoch);
  }

  free(): void {
    this.#inner.free();
  }
}

/** Seals outgoing frames under the epoch that was last named by {@link sealWith}. */
export class FrameSealer implements Sealer {
  readonly #inner = new WasmSealer();

  install(epoch: number, leaf: number, key: Uint8Array): void {
    this.#inner.install(epoch, leaf, key);
  }

  sealWith(epoch: number): void {
    this.#inner.seal_with(epoch);
  }

  forget(epoch: number): void {
    this.#inner.forget(epoch);
  }

  seal(context: number, codec: Codec, frame: Uint8Array): Uint8Array {
    try {
      return this.#inner.seal(context, codec, frame);
    } catch (thrown) {
      throw frameError(thrown);
    }
  }

  free(): void {
    this.#inner.free();
  }
}

/** Opens incoming frames under any epoch that is installed. */
export class FrameOpener implements Opener {
  readonly #inner = new WasmOpener();

  install(epoch: number, key: Uint8Array): void {
    this.#inner.install(epoch, key);
  }

  forget(epoch: number): void {
    this.#inner.forget(epoch);
  }

  open(codec: Codec, frame: Uint8Array): Opened {
    try {
      const opened = this.#inner.open(codec, frame);
      try {
        const { leaf, epoch, context, counter } = opened;
        return { leaf, epoch, context, counter, frame: opened.frame() };
      } finally {
        opened.free();
      }
    } catch (thrown) {
      throw frameError(thrown);
    }
  }

  free(): void {
    this.#inner.free();
  }
}
