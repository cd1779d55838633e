import { register } from "node:module"
import { defineConfig } from "vitest/config"
import { deviceReport } from "./test/support/device-report.js"
import { LongestFirst } from "./test/support/order.js"
import { timeReport } from "./test/support/time-report.js"

// What runs before the tests (`support/run.ts`) runs in this process.
register("./test/support/native-hooks.mjs", import.meta.url)

/** Milliseconds: no test ends by its own clock because the machine is slow or in use. */
const patience = 900_000 * Math.max(1, Number(process.env.WEFT_RUNS ?? 1))

/** Tests that `npm test` leaves out, each for a compiler or a device of its own: `vitest run --mode nvcc` runs files named *.nvcc.ts. */
const suites = ["nvcc", "mocked"]

export default defineConfig(({ mode }) => ({
  test: {
    include: [`test/**/*.${suites.includes(mode) ? mode : "test"}.ts`],
    globalSetup: "test/support/run.ts",
    setupFiles: "test/support/each-file.ts",
    sequence: { sequencer: LongestFirst },
    testTimeout: patience,
    hookTimeout: patience,
    teardownTimeout: patience,
    pool: "forks",
    // Of two cores: a test that waits for a process or an adapter leaves room for another.
    maxWorkers: 3,
    // The compiler and the checker of types are loaded and warm up once for each worker, not for each file.
    isolate: false,
    // Sources are loaded by Node itself, in the processes of tests and in this one.
    // But for those that put others in their places (*.mocked.ts, of `npm test`, too), which only Vite can.
    experimental: { viteModuleRunner: mode === "mocked", nodeLoader: false },
    // Compilers make many short-lived objects: room for them, so that they are gone before they are moved.
    execArgv: ["--max-semi-space-size=64", "--import", new URL("./test/support/native.mjs", import.meta.url).href],
    reporters: ["default", deviceReport, timeReport],
    // A software adapter compiles shaders on the CPU: narrow vectors and no optimisation make that several times quicker.
    env: {
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp",
      LP_NATIVE_VECTOR_WIDTH: "128",
      GALLIVM_PERF: "nopt",
    },
  },
}))
