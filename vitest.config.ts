import { register } from "node:module"
import { defineConfig, type TestProjectConfiguration, type TestProjectInlineConfiguration } from "vitest/config"
import { softwareAdapter } from "./test/support/adapter.js"
import { deviceReport } from "./test/support/device-report.js"
import { LongestFirst } from "./test/support/order.js"
import { timeReport } from "./test/support/time-report.js"

// What runs before the tests (`support/run.ts`) runs in this process.
register("./test/support/native-hooks.mjs", import.meta.url)

/** Milliseconds: no test ends by its own clock because the machine is slow or in use. */
const patience = 900_000 * Math.max(1, Number(process.env.WEFT_RUNS ?? 1))

/** What every file of tests has, whichever loads its sources. */
const common: TestProjectInlineConfiguration["test"] = {
  setupFiles: "test/support/each-file.ts",
  testTimeout: patience,
  hookTimeout: patience,
  pool: "forks",
  // Of two cores: a test that waits for a process or an adapter leaves room for another.
  maxWorkers: 3,
  // The compiler and the checker of types are loaded and warm up once for each worker, not for each file.
  isolate: false,
  // Compilers make many short-lived objects: room for them, so that they are gone before they are moved.
  execArgv: ["--max-semi-space-size=64", "--import", new URL("./test/support/native.mjs", import.meta.url).href],
  env: { XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp", ...softwareAdapter },
}

/** The files *.KIND.ts; Node itself loads their sources, in the processes of tests and in this one, or Vite does. */
const project = (kind: string, viteModuleRunner: boolean): TestProjectConfiguration => ({
  test: {
    ...common,
    name: kind,
    include: [`test/**/*.${kind}.ts`],
    experimental: { viteModuleRunner, nodeLoader: false },
  },
})

export default defineConfig(({ mode }) => ({
  test: {
    // `vitest run --mode nvcc` runs what needs a compiler of its own, and nothing else. Vite alone can put modules in the places of others: *.mocked.ts.
    projects: mode === "nvcc" ? [project("nvcc", false)] : [project("test", false), project("mocked", true)],
    globalSetup: "test/support/run.ts",
    experimental: { viteModuleRunner: false, nodeLoader: false },
    sequence: { sequencer: LongestFirst },
    teardownTimeout: patience,
    reporters: ["default", deviceReport, timeReport],
  },
}))
