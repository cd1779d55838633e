/**
 * `npm run test:long`: the tests with fifteen times the programs that each law names (or WEFT_RUNS times), every golden through every interpreter, and
 * whatever else a normal run leaves out. Words after `--` go to vitest.
 */
import { spawnSync } from "node:child_process"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const vitest = join(root, "node_modules", "vitest", "vitest.mjs")
const env = { ...process.env, WEFT_LONG: "1", WEFT_RUNS: process.env.WEFT_RUNS ?? "15" }
const { status } = spawnSync(process.execPath, [vitest, "run", ...process.argv.slice(2)], {
  cwd: root,
  env,
  stdio: "inherit",
})
process.exitCode = status ?? 1
