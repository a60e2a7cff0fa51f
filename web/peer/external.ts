/**
 * The way in by an external commit with the link's key (RFC 9420 §12.4.3.2), put together from the
 * parts of ts-mls. Its own joinGroupExternal is of no use here for two reasons: it takes no
 * pre-shared key along, and it reads external_pub without the length that stands before the key.
 */
import type { ClientState, GroupInfo, Proposal, RatchetTree } from "ts-mls";
import { exportSecret, nextEpochContext, validateRatchetTree } from "ts-mls/clientState.js";
import { createConfirmationTag, createContentCommitSignature } from "ts-mls/framedContent.js";
import { ratchetTreeFromExtension, verifyGroupInfoSignature } from "ts-mls/groupInfo.js";
import { initializeEpoch } from "ts-mls/keySchedule.js";
import { protectPublicMessage } from "ts-mls/messageProtectionPublic.js";
import { getCommitSecret, pathToPathSecrets } from "ts-mls/pathSecrets.js";
import { toPrivateKeyPath, updateLeafKey } from "ts-mls/privateKeyPath.js";
import { accumulatePskSecret } from "ts-mls/pskIndex.js";
import { addLeafNode } from "ts-mls/ratchetTree.js";
import { createSecretTree } from "ts-mls/secretTree.js";
import { treeHashRoot } from "ts-mls/treeHash.js";
import { leafWidth, nodeToLeafIndex, toNodeIndex } from "ts-mls/treemath.js";
import { createUpdatePath } from "ts-mls/updatePath.js";
import { decode, encode, Group, linkKey, linkProposal, type NewEpoch, type Stay } from "./group";
import { suite } from "./suite";

/** Reads the group's state and checks that it is a member's. */
async function readGroupInfo(
  { clientConfig }: Stay,
  bytes: Uint8Array,
): Promise<{ info: GroupInfo; tree: RatchetTree; externalPub: Uint8Array }> {
  const message = decode(bytes);
  if (message.wireformat !== "mls_group_info") throw new Error("this is not a GroupInfo");
  const info = message.groupInfo;
  const { groupContext, extensions, signer } = info;
  const { lifetimeConfig, authService } = clientConfig;
  const tree = ratchetTreeFromExtension(info);
  const pub = extensions.find((it) => it.extensionType === "external_pub")?.extensionData;
  if (tree === undefined || pub === undefined) throw new Error("the GroupInfo is incomplete");
  const broken = await validateRatchetTree(
    tree,
    groupContext,
    lifetimeConfig,
    authService,
    groupContext.treeHash,
    suite,
  );
  if (broken !== undefined) throw broken;
  const node = tree[2 * signer];
  if (
    node?.nodeType !== "leaf" ||
    !(await verifyGroupInfoSignature(info, node.leaf.signaturePublicKey, suite.signature))
  ) {
    throw new Error("no member signed the GroupInfo");
  }
  // Two bytes of length: the key has 1,216.
  return { info, tree, externalPub: pub.subarray(2) };
}

export async function comeInAlone(stay: Stay, groupInfo: Uint8Array): Promise<NewEpoch> {
  const { info, tree, externalPub } = await readGroupInfo(stay, groupInfo);
  const { enc, secret: initSecret } = await exportSecret(externalPub, suite);
  const [withLeaf, node] = addLeafNode(tree, stay.keyPackage.leafNode);
  const leaf = nodeToLeafIndex(node);
  const { signaturePrivateKey } = stay.secrets;
  const [newTree, path, secrets, leafKey] = await createUpdatePath(
    withLeaf,
    leaf,
    info.groupContext,
    signaturePrivateKey,
    suite,
  );
  const top = secrets.at(-1);
  if (top === undefined) throw new Error("there is nobody in the group");
  const commitSecret = await getCommitSecret(
    newTree,
    toNodeIndex(top.nodeIndex),
    top.secret,
    suite.kdf,
  );
  const link = linkProposal(stay.link);
  const none = new Uint8Array(suite.kdf.size);
  const ids = [link.psk.preSharedKeyId];
  const [pskSecret] = await accumulatePskSecret(ids, linkKey(stay.link), suite, none);
  const proposals: Proposal[] = [
    { proposalType: "external_init", externalInit: { kemOutput: enc } },
    link,
  ];
  const { signature, framedContent } = await createContentCommitSignature(
    info.groupContext,
    "mls_public_message",
    { proposals: proposals.map((proposal) => ({ proposalOrRefType: "proposal", proposal })), path },
    { senderType: "new_member_commit" },
    new Uint8Array(),
    signaturePrivateKey,
    suite.signature,
  );
  const groupContext = await nextEpochContext(
    info.groupContext,
    "mls_public_message",
    framedContent,
    signature,
    await treeHashRoot(newTree, suite.hash),
    info.confirmationTag,
    suite.hash,
  );
  const { keySchedule, encryptionSecret } = await initializeEpoch(
    initSecret,
    commitSecret,
    groupContext,
    pskSecret,
    suite.kdf,
  );
  const confirmationTag = await createConfirmationTag(
    keySchedule.confirmationKey,
    groupContext.confirmedTranscriptHash,
    suite.hash,
  );
  const publicMessage = await protectPublicMessage(
    keySchedule.membershipKey,
    groupContext,
    {
      wireformat: "mls_public_message",
      content: framedContent,
      auth: { contentType: "commit", signature, confirmationTag },
    },
    suite,
  );
  const state: ClientState = {
    groupContext,
    keySchedule,
    confirmationTag,
    signaturePrivateKey,
    ratchetTree: newTree,
    secretTree: await createSecretTree(leafWidth(newTree.length), encryptionSecret, suite.kdf),
    privatePath: updateLeafKey(
      await toPrivateKeyPath(pathToPathSecrets(secrets), leaf, suite),
      await suite.hpke.exportPrivateKey(leafKey),
    ),
    historicalReceiverData: new Map(),
    unappliedProposals: {},
    groupActiveState: { kind: "active" },
    clientConfig: stay.clientConfig,
  };
  const group = new Group(stay.link, state);
  return {
    commit: encode({ wireformat: "mls_public_message", publicMessage }),
    groupInfo: await group.groupInfo(),
    welcome: undefined,
    group,
  };
}
