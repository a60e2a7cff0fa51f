/** What a link yields (docs/protocol.md §1), and what everything is wrapped in (§3). */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";

export type Kind = "group-info" | "commit" | "message" | "key-package" | "welcome";

const NONCE = 12;
const TAG = 16;

export class Link {
  constructor(
    readonly room: string,
    /** As it stands after the #. */
    readonly fragment: string,
  ) {}

  key(label: "mls-psk" | "psk-id" | "room-auth" | "group-info-wrap"): Uint8Array {
    const secret = Buffer.from(this.fragment, "base64url");
    const info = `conclave 1 ${label} ${this.room}`;
    return new Uint8Array(hkdfSync("sha256", secret, "", info, 32));
  }

  wrap(kind: Kind, bytes: Uint8Array): string {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv("aes-256-gcm", this.key("group-info-wrap"), nonce);
    cipher.setAAD(this.#associatedData(kind));
    const sealed = [nonce, cipher.update(bytes), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(sealed).toString("base64url");
  }

  /** Throws for what is not from somebody with the link. */
  unwrap(kind: Kind, text: string): Uint8Array {
    const sealed = Buffer.from(text, "base64url");
    const [nonce, body] = [sealed.subarray(0, NONCE), sealed.subarray(NONCE, -TAG)];
    const decipher = createDecipheriv("aes-256-gcm", this.key("group-info-wrap"), nonce, {
      authTagLength: TAG,
    });
    decipher.setAAD(this.#associatedData(kind));
    decipher.setAuthTag(sealed.subarray(-TAG));
    return new Uint8Array(Buffer.concat([decipher.update(body), decipher.final()]));
  }

  #associatedData(kind: Kind): Uint8Array {
    return Buffer.from(`conclave 1 ${kind} ${this.room}`);
  }
}
