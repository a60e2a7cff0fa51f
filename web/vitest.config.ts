import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "peer/**/*.test.ts"],
    environment: "node",
    // The peer's post-quantum cryptography is JavaScript, and slow where much else runs.
    testTimeout: 60_000,
  },
});
