import {
  CircleCheck,
  CirclePause,
  CirclePlay,
  Download,
  File as FileIcon,
  FolderOpen,
  TriangleAlert,
  X,
} from "lucide";
import { useRef } from "preact/hooks";
import type { Files } from "../files/files";
import { ofSize } from "../files/names";
import type { Transfer } from "../files/transfer";
import type { SharedFile } from "../protocol/SharedFile";
import { Icon } from "./Icon";
import { ofFiles, ofFileTrouble } from "./words";

interface Props {
  files: Files;
  file: SharedFile;
  /** None if nothing was done with the file here. */
  transfer: Transfer | undefined;
}

/** A file: what it is, how far it has got, and what can be done with it. */
export function FileCard({ files, file, transfer }: Props) {
  const stage = transfer?.stage.value;
  const picture = transfer?.picture.value;
  const trouble = transfer?.trouble.value;
  const onItsWay = transfer && stage !== "done";
  return (
    <div class="file" data-file={file.name} data-stage={stage ?? "offered"}>
      {picture && (
        <a href={picture} download={file.name}>
          <img class="file-picture" src={picture} alt={ofFiles.picture(file.name)} />
        </a>
      )}
      <div class="file-row">
        <span class={`file-icon ${stage ?? ""}`}>
          <Icon of={stage === "failed" ? TriangleAlert : FileIcon} size={20} />
        </span>
        <div class="file-what">
          <strong title={file.name}>{file.name}</strong>
          <span>{stateOf(file, transfer)}</span>
        </div>
        <Actions files={files} file={file} transfer={transfer} />
      </div>
      {onItsWay && stage !== "failed" && (
        <progress
          aria-label={ofFiles.progress(file.name)}
          max={Math.max(1, file.size)}
          value={file.size === 0 && stage === "announcing" ? 1 : transfer.bytes.value}
        />
      )}
      {trouble && (
        <p class="file-trouble" role="alert">
          {ofFileTrouble[trouble]}
        </p>
      )}
      {stage === "lost" && <p class="file-trouble">{ofFiles.lost}</p>}
    </div>
  );
}

/** In a few words. */
function stateOf(file: SharedFile, transfer: Transfer | undefined): string {
  const size = ofSize(file.size);
  switch (transfer?.stage.value) {
    case "running":
      return ofFiles.running(transfer.direction, ofSize(transfer.bytes.value), size);
    case "waiting":
      return ofFiles.waiting[transfer.awaited.value ?? "server"];
    case "paused":
    case "lost":
      return ofFiles.paused(ofSize(transfer.bytes.value), size);
    case "announcing":
      return ofFiles.announcing;
    case "failed":
      return ofFiles.failed;
    default:
      return size;
  }
}

function Actions({ files, file, transfer }: Props) {
  const stage = transfer?.stage.value;
  const { name } = file;
  const isHere = transfer?.direction === "down" && transfer.content.value !== undefined;
  const goesOn =
    stage === "paused" || (stage === "failed" && transfer?.trouble.value !== "tampered");
  return (
    <div class="file-actions">
      {(!transfer || isHere) && (
        <Action
          of={Download}
          label={isHere ? ofFiles.save(name) : ofFiles.download(name)}
          onClick={() => void files.take(file)}
        />
      )}
      {stage === "done" && transfer?.direction === "up" && (
        <span class="file-done" role="img" aria-label={ofFiles.sent}>
          <Icon of={CircleCheck} size={18} />
        </span>
      )}
      {transfer && (stage === "running" || stage === "waiting") && (
        <Action
          of={CirclePause}
          label={ofFiles.pause(name)}
          onClick={() => files.pause(transfer)}
        />
      )}
      {transfer && goesOn && (
        <Action
          of={CirclePlay}
          label={ofFiles.resume(name)}
          onClick={() => void files.resume(transfer)}
        />
      )}
      {transfer && stage === "lost" && <Chooser files={files} transfer={transfer} />}
      {transfer && stage !== "done" && stage !== "announcing" && (
        <Action of={X} label={ofFiles.cancel(name)} onClick={() => files.cancel(transfer)} />
      )}
    </div>
  );
}

interface ActionProps {
  of: Parameters<typeof Icon>[0]["of"];
  label: string;
  onClick: () => void;
}

function Action({ of, label, onClick }: ActionProps) {
  return (
    <button type="button" class="quiet" aria-label={label} title={label} onClick={onClick}>
      <Icon of={of} size={19} />
    </button>
  );
}

/** Lets somebody choose the file again that they were sending. */
function Chooser({ files, transfer }: { files: Files; transfer: Transfer }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        class="unseen"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        onChange={({ currentTarget }) => {
          const [chosen] = currentTarget.files ?? [];
          if (chosen && !files.choose(transfer, chosen)) {
            currentTarget.setCustomValidity(ofFiles.another);
            currentTarget.reportValidity();
          }
        }}
      />
      <Action
        of={FolderOpen}
        label={ofFiles.chooseAgain(transfer.file.name)}
        onClick={() => input.current?.click()}
      />
    </>
  );
}
