import { defineConfig } from "vitest/config"
import { deviceReport } from "./test/support/device-report.js"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
    reporters: ["default", deviceReport],
    // A software adapter compiles shaders on the CPU: narrow vectors and no optimisation make that several times quicker.
    env: {
      XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? "/tmp",
      LP_NATIVE_VECTOR_WIDTH: "128",
      GALLIVM_PERF: "nopt",
      MESA_SHADER_CACHE_DISABLE: "true",
    },
  },
})
