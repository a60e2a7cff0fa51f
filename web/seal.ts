import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { canonical, LIST_PATH } from "./src/page/list.ts";

/** Files whose bytes are not compressed already. */
const COMPRESSIBLE = /\.(css|html|js|json|svg|wasm|webmanifest)$/;

/** Makes `import integrity from "./file?integrity"` yield what browsers hold a file to. */
export function integrity(): Plugin {
  const ending = "?integrity";
  return {
    name: "conclave-integrity",
    enforce: "pre",
    async resolveId(source, importer) {
      if (!source.endsWith(ending)) return null;
      const found = await this.resolve(source.slice(0, -ending.length), importer);
      return found && `${found.id}${ending}`;
    },
    load(id) {
      if (!id.endsWith(ending)) return null;
      const file = id.slice(0, -ending.length);
      this.addWatchFile(file);
      return `export default ${JSON.stringify(integrityOf(readFileSync(file)))};`;
    },
  };
}

/**
 * Finishes the built client: holds its page to the very scripts and styles that were built
 * (Subresource Integrity), lists all files with their hashes, and lays a `.br` and a `.gz` twin
 * beside each, for the server to send.
 */
export function seal(): Plugin {
  let folder: string;
  let isWritten = false;
  return {
    name: "conclave-seal",
    apply: "build",
    enforce: "post",
    configResolved({ build, root }) {
      folder = resolve(root, build.outDir);
    },
    generateBundle(_, bundle) {
      // No browser holds a script to a hash that another script imports it by.
      for (const part of Object.values(bundle)) {
        if (part.type !== "chunk" || part.isEntry) continue;
        this.error(`${part.fileName} would be loaded unchecked: keep the page to one script`);
      }
    },
    writeBundle() {
      isWritten = true;
    },
    closeBundle() {
      // Comes after failed builds, too.
      if (!isWritten) return;
      const page = join(folder, "index.html");
      writeFileSync(page, pinned(readFileSync(page, "utf8"), folder));
      const list = listOf(folder);
      mkdirSync(dirname(join(folder, LIST_PATH)), { recursive: true });
      writeFileSync(join(folder, LIST_PATH), list);
      for (const name of filesIn(folder)) compress(join(folder, name));
      const hash = createHash("sha256").update(list).digest("hex");
      this.info(`client hash ${hash}`);
    },
  };
}

/** The page, with the hash of each script and style in the tag that loads it. */
function pinned(page: string, folder: string): string {
  return page.replace(/<(script|link)\b[^>]*>/g, (tag, kind) => {
    const isLoaded = kind === "script" || /\brel="(stylesheet|modulepreload)"/.test(tag);
    if (!isLoaded) return tag;
    const [, path] = /\b(?:src|href)="\/([^"]+)"/.exec(tag) ?? [];
    if (!path) throw new Error(`${tag} loads nothing of this page's own`);
    // Without it, browsers could not check a file that comes from another host.
    if (!tag.includes(" crossorigin")) throw new Error(`${tag} is not marked crossorigin`);
    const hash = integrityOf(readFileSync(join(folder, path)));
    return tag.replace(/>$/, ` integrity="${hash}">`);
  });
}

/** Every file of the client as it reaches the browser, its content coding undone. */
function listOf(folder: string): string {
  const hashes = filesIn(folder).map((name) => {
    const bytes = readFileSync(join(folder, name));
    return [name, createHash("sha256").update(bytes).digest("hex")] as const;
  });
  return canonical(new Map(hashes));
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll(sep, "/"))
    .sort();
}

function compress(path: string): void {
  if (!COMPRESSIBLE.test(path)) return;
  const bytes = readFileSync(path);
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params }));
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: constants.Z_BEST_COMPRESSION }));
}

/** Subresource Integrity metadata (W3C SRI §3.1). */
function integrityOf(bytes: Uint8Array): string {
  return `sha384-${createHash("sha384").update(bytes).digest("base64")}`;
}
