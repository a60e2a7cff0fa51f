import { useSignal } from "@preact/signals";
import { FileUp } from "lucide";
import { useEffect } from "preact/hooks";
import type { Call } from "../call/call";
import { Icon } from "./Icon";
import { ofFiles } from "./words";

/** Takes files that are dragged onto the call. */
export function DropZone({ call, onDrop }: { call: Call; onDrop: () => void }) {
  const isOver = useSignal(false);
  useEffect(() => {
    const holdsFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const over = (event: DragEvent) => {
      if (!holdsFiles(event)) return;
      // Otherwise the browser would open the file in place of the call.
      event.preventDefault();
      isOver.value = true;
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) isOver.value = false;
    };
    const drop = (event: DragEvent) => {
      isOver.value = false;
      if (!event.dataTransfer || !holdsFiles(event)) return;
      event.preventDefault();
      const { files, folders } = droppedIn(event.dataTransfer);
      if (folders > 0) call.notices.say("warning", ofFiles.folder);
      if (files.length === 0) return;
      call.files.send(files);
      onDrop();
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, [call, onDrop]);
  if (!isOver.value) return null;
  return (
    <div class="drop-zone" role="status">
      <Icon of={FileUp} size={40} />
      <p>{ofFiles.drop}</p>
    </div>
  );
}

function droppedIn(dropped: DataTransfer): { files: File[]; folders: number } {
  const files: File[] = [];
  let folders = 0;
  for (const item of dropped.items) {
    if (item.kind !== "file") continue;
    // Folders come as files that cannot be read.
    if (item.webkitGetAsEntry?.()?.isDirectory) folders += 1;
    else {
      const file = item.getAsFile();
      if (file) files.push(file);
    }
  }
  return { files, folders };
}
