import { useEffect, useRef } from "preact/hooks";
import type { Call } from "../call/call";
import { canChooseSpeaker } from "../call/devices";

/** The sound of the call: one silent-looking element for each audio slot. */
export function AudioOutputs({ call }: { call: Call }) {
  const slots =
    call.media.peer.value?.slots.filter(({ accepts }) => accepts === "microphone") ?? [];
  return (
    <>
      {slots.map(({ key, transceiver }) => (
        <AudioOutput
          key={`${call.media.peer.value?.number} ${key}`}
          track={transceiver.receiver.track}
          speaker={call.devices.speakerId.value}
        />
      ))}
    </>
  );
}

function AudioOutput({ track, speaker }: { track: MediaStreamTrack; speaker: string }) {
  const audio = useRef<HTMLAudioElement>(null);
  useEffect(() => {
    const element = audio.current;
    if (!element) return;
    element.srcObject = new MediaStream([track]);
    // Nobody reaches a call without a click, so that browsers let it play.
    element.play().catch(() => undefined);
  }, [track]);
  useEffect(() => {
    // A speaker that has been unplugged since: sound stays where the browser puts it.
    if (canChooseSpeaker) audio.current?.setSinkId(speaker).catch(() => undefined);
  }, [speaker]);
  // biome-ignore lint/a11y/useMediaCaption: live speech has no captions to offer
  return <audio ref={audio} autoplay />;
}
