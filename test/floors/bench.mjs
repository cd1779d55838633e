/**
 * How fast the programs of this folder run on a card, as a share of what it reads.
 *
 *   node test/floors/bench.mjs [cuda|webgpu]                     compiles them and runs them on this machine
 *   node test/floors/bench.mjs --out DIR [--arch sm_90a]         makes a folder for a machine that has a card, Node and koffi (or webgpu):
 *                                                                node DIR/run.mjs [cuda|webgpu]
 *
 * With --arch the folder has binaries of the kernels, and no compiler is needed there.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { gzipSync } from "node:zlib"
import { build } from "esbuild"

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const options = { out: { type: "string" }, arch: { type: "string" } }
const { values, positionals } = parseArgs({ options, allowPositionals: true })
const own = join(root, ".weft")
mkdirSync(own, { recursive: true })

async function bundle(contents, outfile, external) {
  const stdin = { contents, resolveDir: join(root, "test", "floors"), loader: "ts" }
  const common = { bundle: true, platform: "node", format: "esm", target: "es2023", logLevel: "error" }
  await build({ ...common, stdin, outfile, absWorkingDir: root, ...external })
  return outfile
}

const maker = `export { compilePrograms } from "./compile.ts"
export { runPrograms } from "./run.ts"`
const made = await bundle(maker, join(own, "floors.mjs"), { packages: "external" })
const { compilePrograms, runPrograms } = await import(pathToFileURL(made).href)
process.chdir(root)
const archs = (values.arch ?? "").split(",").filter(Boolean)
const artifacts = await compilePrograms(archs.map((arch) => ({ arch, kind: "cubin" })))
if (values.out === undefined) process.exit((await runPrograms(artifacts, positionals[0] ?? "cuda")) ? 0 : 1)
const out = resolve(values.out)
mkdirSync(out, { recursive: true })
writeFileSync(join(out, "artifacts.json.gz"), gzipSync(JSON.stringify(artifacts)))
const runner = `import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { runPrograms } from "./run.ts"
const artifacts = JSON.parse(gunzipSync(readFileSync(new URL("artifacts.json.gz", import.meta.url))).toString())
process.exit((await runPrograms(artifacts, process.argv[2] === "webgpu" ? "webgpu" : "cuda")) ? 0 : 1)`
await bundle(runner, join(out, "run.mjs"), { external: ["koffi", "webgpu"] })
console.error(`${out}/run.mjs`)
process.exit(0)
