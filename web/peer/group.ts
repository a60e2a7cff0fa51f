/** A stay in the group, on ts-mls (docs/protocol.md §4). */
import { randomBytes } from "node:crypto";
import {
  type ClientConfig,
  type ClientState,
  createApplicationMessage,
  createCommit,
  createGroup,
  decodeMlsMessage,
  defaultKeyPackageEqualityConfig,
  defaultKeyRetentionConfig,
  defaultLifetimeConfig,
  defaultPaddingConfig,
  encodeMlsMessage,
  generateKeyPackageWithKey,
  joinGroup,
  type KeyPackage,
  type LeafNode,
  type MLSMessage,
  type MlsMessageContent,
  mlsExporter,
  type PreSharedKeyID,
  type PrivateKeyPackage,
  type Proposal,
  type ProposalPSK,
  type PskIndex,
  processPrivateMessage,
  processPublicMessage,
} from "ts-mls";
import { createGroupInfo } from "ts-mls/createCommit.js";
import { unprotectPrivateMessage } from "ts-mls/messageProtection.js";
import { encodeRatchetTree } from "ts-mls/ratchetTree.js";
import { callCode } from "./digits";
import { extensionsOf, RULES_EXTENSION, type Rules, readRules, rulesOfFounder } from "./hosting";
import { credential, type Device, type Identity, readCredential } from "./identity";
import { Link } from "./link";
import { isLinkKey, type Move, pskId } from "./rules";
import { SUITE_NAME, suite } from "./suite";

const KEY_LABEL = "SFrame 1.0 Base Key";
const LINK_LABEL = "conclave 1 link";
const PADDED_TO = 256;
/** What AES-GCM adds. */
const TAG = 16;

export interface NewEpoch {
  commit: Uint8Array;
  groupInfo: Uint8Array;
  welcome: Uint8Array | undefined;
  /** The group that stands if the server lets the commit through. */
  group: Group;
}

export function encode(content: MlsMessageContent): Uint8Array {
  return encodeMlsMessage({ version: "mls10", ...content });
}

export function decode(bytes: Uint8Array): MLSMessage {
  const [message, length] = decodeMlsMessage(bytes, 0) ?? [];
  if (message === undefined || length !== bytes.length) throw new Error("this is not MLS");
  return message;
}

/** A length before the bytes, as RFC 9420 §2.1.2 writes it. */
function vector(bytes: Uint8Array): Uint8Array {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(0x4000 | bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The link's key and no other; remembers what it was asked for. */
export function linkKey(link: Link): PskIndex & { asked: PreSharedKeyID[] } {
  const asked: PreSharedKeyID[] = [];
  return {
    asked,
    findPsk(id) {
      asked.push(id);
      return isLinkKey(link, id) ? link.key("mls-psk") : undefined;
    },
  };
}

/** Names the link's key for one commit. */
export function linkProposal(link: Link): ProposalPSK {
  const pskNonce = randomBytes(suite.kdf.size);
  const preSharedKeyId = { psktype: "external", pskId: pskId(link), pskNonce } as const;
  return { proposalType: "psk", psk: { preSharedKeyId } };
}

/** What ts-mls leaves to whoever uses it. Whoever a leaf is, its device has to vouch for it. */
function config(room: string): ClientConfig {
  return {
    keyRetentionConfig: defaultKeyRetentionConfig,
    lifetimeConfig: defaultLifetimeConfig,
    keyPackageEqualityConfig: defaultKeyPackageEqualityConfig,
    paddingConfig: defaultPaddingConfig,
    authService: {
      async validateCredential(credential, signatureKey) {
        readCredential(room, credential, signatureKey);
        return true;
      },
    },
  };
}

/** A stay before there is a group for it. */
export class Stay {
  readonly clientConfig: ClientConfig;

  private constructor(
    readonly link: Link,
    readonly device: string,
    readonly keyPackage: KeyPackage,
    readonly secrets: PrivateKeyPackage,
  ) {
    this.clientConfig = config(link.room);
  }

  static async begin(link: Link, device: Device, participant: string, name: string) {
    const keys = await suite.signature.keygen();
    const identity = { participant, name, device: device.vouch(link.room, keys.publicKey) };
    const { publicPackage, privatePackage } = await generateKeyPackageWithKey(
      credential(identity),
      {
        versions: ["mls10"],
        ciphersuites: [SUITE_NAME],
        extensions: [RULES_EXTENSION],
        proposals: [],
        credentials: ["basic"],
      },
      { notBefore: 0n, notAfter: 2n ** 64n - 1n },
      [],
      { signKey: keys.signKey, publicKey: keys.publicKey },
      suite,
    );
    return new Stay(link, device.key, publicPackage, privatePackage);
  }

  knock(): Uint8Array {
    return encode({ wireformat: "mls_key_package", keyPackage: this.keyPackage });
  }

  async found(): Promise<Group> {
    const id = randomBytes(16);
    const { keyPackage, secrets, clientConfig } = this;
    const rules = extensionsOf(rulesOfFounder(this.device));
    const state = await createGroup(id, keyPackage, secrets, rules, suite, clientConfig);
    return new Group(this.link, state);
  }

  /** Enters by a Welcome that names the link's key and nothing else. */
  async enter(welcome: Uint8Array): Promise<Group> {
    const message = decode(welcome);
    if (message.wireformat !== "mls_welcome") throw new Error("this is not a Welcome");
    const keys = linkKey(this.link);
    const state = await joinGroup(
      message.welcome,
      this.keyPackage,
      this.secrets,
      keys,
      suite,
      undefined,
      undefined,
      this.clientConfig,
    );
    if (keys.asked.length !== 1) throw new Error("the Welcome does not name the link, once");
    return new Group(this.link, state);
  }
}

export class Group {
  constructor(
    readonly link: Link,
    readonly state: ClientState,
  ) {}

  get epoch(): number {
    return Number(this.state.groupContext.epoch);
  }

  get ownLeaf(): number {
    return this.state.privatePath.leafIndex;
  }

  leaf(index: number): LeafNode | undefined {
    const node = this.state.ratchetTree[2 * index];
    return node?.nodeType === "leaf" ? node.leaf : undefined;
  }

  /** Everyone, by leaf. Throws if a device does not vouch. */
  roster(): Map<number, Identity> {
    const roster = new Map<number, Identity>();
    for (let index = 0; 2 * index < this.state.ratchetTree.length; index++) {
      const leaf = this.leaf(index);
      if (leaf === undefined) continue;
      const { credential, signaturePublicKey } = leaf;
      roster.set(index, readCredential(this.link.room, credential, signaturePublicKey));
    }
    return roster;
  }

  rules(): Rules {
    return readRules(this.state.groupContext.extensions);
  }

  /** The link that begins with this epoch, if its commit changed the link. */
  async nextLink(): Promise<Link> {
    const { room } = this.link;
    const secret = this.state.keySchedule.exporterSecret;
    const bytes = await mlsExporter(secret, LINK_LABEL, Buffer.from(room), 32, suite);
    return new Link(room, Buffer.from(bytes).toString("base64url"));
  }

  baseKey(): Promise<Uint8Array> {
    const secret = this.state.keySchedule.exporterSecret;
    return mlsExporter(secret, KEY_LABEL, new Uint8Array(), 16, suite);
  }

  callCode(): string {
    return callCode(this.state.keySchedule.epochAuthenticator);
  }

  /**
   * GroupInfo with the tree and the key for external commits. What ts-mls itself writes nobody
   * else can read: its external_pub has no length before the key (RFC 9420 §12.4.3.2).
   */
  async groupInfo(): Promise<Uint8Array> {
    const { groupContext, confirmationTag, keySchedule, ratchetTree } = this.state;
    const { publicKey } = await suite.hpke.deriveKeyPair(keySchedule.externalSecret);
    const externalPub = vector(await suite.hpke.exportPublicKey(publicKey));
    const extensions = [
      { extensionType: "external_pub" as const, extensionData: externalPub },
      { extensionType: "ratchet_tree" as const, extensionData: encodeRatchetTree(ratchetTree) },
    ];
    const groupInfo = await createGroupInfo(
      groupContext,
      confirmationTag,
      this.state,
      extensions,
      suite,
    );
    return encode({ wireformat: "mls_group_info", groupInfo });
  }

  /** A commit that brings these in, with the link's key, and takes those out. */
  async change(newcomers: KeyPackage[], gone: number[]): Promise<NewEpoch> {
    const adds = newcomers.map(
      (keyPackage) => ({ proposalType: "add", add: { keyPackage } }) as const,
    );
    const removes = gone.map(
      (removed) => ({ proposalType: "remove", remove: { removed } }) as const,
    );
    const keys = adds.length > 0 ? [linkProposal(this.link)] : [];
    return this.commit([...adds, ...removes, ...keys]);
  }

  async commit(extraProposals: Proposal[]): Promise<NewEpoch> {
    const { commit, newState, welcome } = await createCommit(
      { state: this.state, pskIndex: linkKey(this.link), cipherSuite: suite },
      { extraProposals, ratchetTreeExtension: true },
    );
    const group = new Group(this.link, newState);
    return {
      commit: encodeMlsMessage(commit),
      groupInfo: await group.groupInfo(),
      welcome: welcome && encode({ wireformat: "mls_welcome", welcome }),
      group,
    };
  }

  /**
   * The group after another's commit, if MLS holds it valid, and what the commit does. (ts-mls has
   * one function for either kind of message, which gives private ones no pre-shared key.)
   */
  async follow(commit: Uint8Array): Promise<{ group: Group; move: Move }> {
    const message = decode(commit);
    const keys = linkKey(this.link);
    let move: Move | undefined;
    let path: LeafNode | undefined;
    const watch: Parameters<typeof processPrivateMessage>[4] = (incoming) => {
      if (incoming.kind === "proposal") return "reject";
      const proposals = incoming.proposals.map(({ proposal }) => proposal);
      move = { sender: incoming.senderLeafIndex, proposals, path };
      return "accept";
    };
    let state: ClientState;
    if (message.wireformat === "mls_private_message") {
      const opened = await processPrivateMessage(
        this.state,
        message.privateMessage,
        keys,
        suite,
        watch,
      );
      state = opened.newState;
    } else if (message.wireformat === "mls_public_message") {
      const { content } = message.publicMessage;
      if (content.sender.senderType !== "new_member_commit" || content.contentType !== "commit") {
        throw new Error("1: neither a member's nor a newcomer's commit");
      }
      path = content.commit.path?.leafNode;
      const opened = await processPublicMessage(
        this.state,
        message.publicMessage,
        keys,
        suite,
        watch,
      );
      state = opened.newState;
    } else {
      throw new Error("8: not a commit");
    }
    if (move === undefined) throw new Error("8: not a commit");
    return { group: new Group(this.link, state), move };
  }

  async encrypt(bytes: Uint8Array): Promise<{ message: Uint8Array; group: Group }> {
    // The length before the bytes, the bytes, the signature with its length, the tag.
    const length = (bytes.length < 64 ? 1 : 2) + bytes.length + 2 + 64 + TAG;
    const paddingLength = (PADDED_TO - (length % PADDED_TO)) % PADDED_TO;
    const paddingConfig = { kind: "alwaysPad", paddingLength } as const;
    const padding = { ...this.state, clientConfig: { ...this.state.clientConfig, paddingConfig } };
    const sent = await createApplicationMessage(padding, bytes, suite);
    return {
      message: encode({ wireformat: "mls_private_message", privateMessage: sent.privateMessage }),
      group: new Group(this.link, { ...sent.newState, clientConfig: this.state.clientConfig }),
    };
  }

  /**
   * Opens an application message of this epoch or of one just before. (ts-mls has a function for
   * it, which does not say who sent the message.)
   */
  async decrypt(bytes: Uint8Array): Promise<{ from: Identity; text: Uint8Array; group: Group }> {
    const message = decode(bytes);
    if (message.wireformat !== "mls_private_message") throw new Error("this is something else");
    const { privateMessage } = message;
    const history = new Map(this.state.historicalReceiverData);
    const past = history.get(privateMessage.epoch);
    const { secretTree, ratchetTree, groupContext } = past ?? this.state;
    const { content: opened, tree } = await unprotectPrivateMessage(
      (past ?? this.state.keySchedule).senderDataSecret,
      privateMessage,
      secretTree,
      ratchetTree,
      groupContext,
      this.state.clientConfig.keyRetentionConfig,
      suite,
    );
    const { content } = opened;
    if (content.contentType !== "application" || content.sender.senderType !== "member") {
      throw new Error("this is not an application message");
    }
    const node = ratchetTree[2 * content.sender.leafIndex];
    if (node?.nodeType !== "leaf") throw new Error("nobody sent this");
    const { credential, signaturePublicKey } = node.leaf;
    const from = readCredential(this.link.room, credential, signaturePublicKey);
    if (past !== undefined) history.set(privateMessage.epoch, { ...past, secretTree: tree });
    const state = {
      ...this.state,
      secretTree: past === undefined ? tree : this.state.secretTree,
      historicalReceiverData: history,
    };
    return { from, text: content.applicationData, group: new Group(this.link, state) };
  }
}

/** Reads the KeyPackage of somebody who knocks; ts-mls checks the rest when it is added. */
export function readKeyPackage(bytes: Uint8Array): KeyPackage {
  const message = decode(bytes);
  if (message.wireformat !== "mls_key_package") throw new Error("this is not a KeyPackage");
  return message.keyPackage;
}
