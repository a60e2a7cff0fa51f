import { defineConfig } from "vitest/config";

// One browser test at a time: a call of three saturates two cores.
export default defineConfig({
  test: {
    include: [process.env.CONCLAVE_E2E ? `e2e/${process.env.CONCLAVE_E2E}.ts` : "e2e/*.test.ts"],
    fileParallelism: false,
    maxWorkers: 1,
    isolate: false,
    testTimeout: 150_000,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
