import { useSignal } from "@preact/signals";
import { Lock, Paperclip, SendHorizontal } from "lucide";
import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import { FileCard } from "./FileCard";
import { FileTray } from "./FileTray";
import { Icon } from "./Icon";
import { ofFiles } from "./words";

/** What one message may hold. */
const LONGEST = 4_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export function ChatPanel({ call }: { call: Call }) {
  const lines = call.chat.lines.value;
  const draft = useSignal("");
  const log = useRef<HTMLDivElement>(null);
  useEffect(() => {
    log.current?.scrollTo({ top: log.current.scrollHeight });
  }, [lines]);
  const send = (event: Event) => {
    event.preventDefault();
    const text = draft.value.trim();
    if (!text) return;
    call.say(text);
    draft.value = "";
  };
  return (
    <>
      <div class="chat" role="log" aria-label="Messages" aria-live="polite" ref={log}>
        {lines.length === 0 && (
          <p class="chat-empty">
            <Icon of={Lock} size={18} />
            Messages are encrypted like the call, and gone when it ends.
          </p>
        )}
        {lines.map((line, index) => {
          const before = lines[index - 1];
          const follows = before?.name === line.name && before.self === line.self;
          return (
            <div
              key={`${index} ${line.at}`}
              class={`chat-line ${line.self ? "own" : ""} ${follows ? "follows" : ""}`}
              data-chat-message=""
            >
              <header class={follows ? "unseen" : ""}>
                <strong>{line.name}</strong>
                <time dateTime={new Date(line.at).toISOString()}>{clock.format(line.at)}</time>
              </header>
              {line.file ? (
                <FileCard
                  files={call.files}
                  file={line.file}
                  transfer={call.files.of(line.file.id)}
                />
              ) : (
                <p>{line.text}</p>
              )}
            </div>
          );
        })}
      </div>
      <FileTray files={call.files} />
      <form class="chat-form" onSubmit={send}>
        <Attach call={call} />
        <textarea
          rows={1}
          aria-label="Message"
          placeholder="Message everyone"
          maxLength={LONGEST}
          value={draft}
          onInput={(event) => {
            draft.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
          }}
        />
        <button type="submit" class="send" aria-label="Send" disabled={!draft.value.trim()}>
          <Icon of={SendHorizontal} size={20} />
        </button>
      </form>
    </>
  );
}

/** Lets somebody choose files to send. */
function Attach({ call }: { call: Call }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <input
        ref={input}
        class="unseen"
        type="file"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        data-attach=""
        onChange={({ currentTarget }) => {
          call.files.send([...(currentTarget.files ?? [])]);
          // So that the same one can be chosen again.
          currentTarget.value = "";
        }}
      />
      <button
        type="button"
        class="quiet attach"
        aria-label={ofFiles.attach}
        title={ofFiles.attach}
        onClick={() => input.current?.click()}
      >
        <Icon of={Paperclip} size={20} />
      </button>
    </>
  );
}
