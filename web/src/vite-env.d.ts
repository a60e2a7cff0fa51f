/// <reference types="vite/client" />

/** What a browser holds the file to (see seal.ts). */
declare module "*?integrity" {
  const integrity: string;
  export default integrity;
}
