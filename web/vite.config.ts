import { defineConfig } from "vite";
import { integrity, seal } from "./seal.ts";

/** Where `npm run dev` finds a running server for the WebSocket. */
const server = process.env.CONCLAVE_SERVER ?? "http://localhost:8080";

export default defineConfig({
  build: {
    target: "es2022",
    // The page's policy allows no data: URLs for code, and one rule for all assets is simpler.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: true,
  },
  plugins: [integrity(), seal()],
  worker: { format: "es", plugins: () => [integrity()] },
  server: { proxy: { "/ws": { target: server, ws: true }, "/api": { target: server } } },
});
