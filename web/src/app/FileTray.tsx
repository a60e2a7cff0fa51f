import type { Files } from "../files/files";
import { FileCard } from "./FileCard";

/** Files that no line of the chat tells of (yet): on their way up, or interrupted. */
export function FileTray({ files }: { files: Files }) {
  const waiting = files.transfers.value.filter(
    ({ direction, stage, isOld }) =>
      (direction === "up" && stage.value !== "done") || (direction === "down" && isOld),
  );
  if (waiting.length === 0) return null;
  return (
    <section class="file-tray" aria-label="Files on their way">
      {waiting.map((transfer) => (
        <FileCard key={transfer.number} files={files} file={transfer.file} transfer={transfer} />
      ))}
    </section>
  );
}
