import { useEffect, useRef } from "preact/hooks";

interface Props {
  track: MediaStreamTrack | null;
  mirrored?: boolean;
  label?: string;
  /** Called with the first picture of each track. */
  onPicture?: (() => void) | undefined;
}

/** Shows a video track; silent, since sound has elements of its own. */
export function TrackVideo({ track, mirrored, label, onPicture }: Props) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    element.srcObject = track ? new MediaStream([track]) : null;
    element.classList.remove("shows");
    if (!track) return;
    // Until then the element would show the last picture of whoever was there before.
    const handle = element.requestVideoFrameCallback(() => {
      element.classList.add("shows");
      onPicture?.();
    });
    // Refused only when the element is gone again.
    element.play().catch(() => undefined);
    return () => element.cancelVideoFrameCallback(handle);
  }, [track]);
  return (
    <video
      ref={video}
      class={mirrored ? "mirrored" : undefined}
      aria-label={label}
      autoplay
      playsInline
      muted
    />
  );
}
