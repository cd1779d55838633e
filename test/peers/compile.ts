/** Compiles the programs of the comparison for what an H200 grants through Dawn: see run.ts. */
import { writeFileSync } from "node:fs"
import { devices } from "../../compiler/explain/devices.js"
import { compile } from "../../compiler/index.js"
import { names } from "./names.js"

const { adapter } = devices["nvidia-h200"]!
const made = await Promise.all(
  names.map(async (name) => [name, await compile(`test/peers/${name}.ts`, {}, "webgpu", { adapter })] as const),
)
writeFileSync(process.argv[3]!, JSON.stringify(Object.fromEntries(made)))
