/** What the page and the worker that seals and opens files say to each other. */
import type { SharedFile } from "../protocol/SharedFile";
import type { Awaited, Trouble } from "./trouble";
import type { Sending } from "./upload";

export type FilesCommand =
  /** The token of our session, whenever it is another one. */
  | { readonly type: "token"; readonly token: string | undefined }
  | ({
      readonly type: "upload";
      /** Numbers the transfers of a page. */
      readonly transfer: number;
    } & Sending)
  | {
      readonly type: "download";
      readonly transfer: number;
      readonly file: SharedFile;
      /** Where the person wants it, if they were asked. */
      readonly place: FileSystemFileHandle | undefined;
    }
  /** Stops, so that it can go on later. */
  | { readonly type: "pause"; readonly transfer: number }
  /** Stops for good, and leaves nothing behind. */
  | {
      readonly type: "cancel";
      readonly transfer: number;
      readonly direction: "up" | "down";
      readonly file: SharedFile;
    };

export type FilesEvent = { readonly transfer: number } & (
  | { readonly type: "declared"; readonly id: string }
  /** Bytes of content that are through. */
  | { readonly type: "progress"; readonly bytes: number }
  /** What is waited for now, if anything. */
  | { readonly type: "waiting"; readonly awaited: Awaited | undefined }
  /** All is through; what was received, unless it lies where the person wanted it. */
  | { readonly type: "done"; readonly content: Blob | undefined }
  | { readonly type: "failed"; readonly trouble: Trouble }
);
