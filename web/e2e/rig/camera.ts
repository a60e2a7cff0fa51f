/** Runs in the page: makes every camera a small and slow one, for machines with few cores. */
export function smallCamera(): void {
  const devices = navigator.mediaDevices;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) => {
    if (!wanted?.video) return ask(wanted);
    const video = typeof wanted.video === "object" ? wanted.video : {};
    return ask({ ...wanted, video: { ...video, width: 320, height: 180, frameRate: 10 } });
  };
}
