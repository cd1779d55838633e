/** How the software adapter compiles shaders in tests, and where it keeps what it has compiled. */
import { fileURLToPath } from "node:url"

/** It compiles them on the CPU: narrow vectors and no optimisation make that several times quicker. */
export const softwareAdapter = { LP_NATIVE_VECTOR_WIDTH: "128", GALLIVM_PERF: "nopt" } as const

/** Its cache tells drivers and texts apart, but not those settings: a folder for them, which no other program has. */
export const shaderCache = fileURLToPath(
  new URL(`../../node_modules/.cache/weft/shaders-${Object.values(softwareAdapter).join("-")}`, import.meta.url),
)
