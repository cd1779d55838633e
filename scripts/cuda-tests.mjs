/**
 * The tests of CUDA on a card.
 *
 *   node scripts/cuda-tests.mjs                                  on this machine, which has a card and a compiler: vitest runs test/cuda
 *   node scripts/cuda-tests.mjs --out DIR [--arch sm_90a]        makes a folder that runs on a machine with a card, Node and koffi, and nothing else:
 *                                                                node DIR/test/cuda/tests.mjs
 *
 * For the folder the artifacts are compiled here, and so are the binaries of all kernels that the tests will ask for: the tests are run once on
 * a driver that computes nothing, to learn which they are.
 */
import { spawnSync } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { gzipSync } from "node:zlib"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const { values } = parseArgs({ options: { out: { type: "string" }, arch: { type: "string", default: "sm_90a" } } })
const say = (line) => process.stderr.write(`weft: ${line}\n`)

if (values.out === undefined) {
  const env = { ...process.env, WEFT_REQUIRE: "cuda" }
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs")
  const { status } = spawnSync(process.execPath, [vitest, "run", "test/cuda"], { cwd: root, env, stdio: "inherit" })
  process.exitCode = status ?? 1
} else await makeFolder(resolve(values.out), values.arch)

async function makeFolder(out, arch) {
  const { build } = await import("esbuild")
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "es2023",
    logLevel: "warning",
  }
  // Beside the packages that it imports.
  const own = join(root, "node_modules", ".weft-cuda")
  rmSync(own, { recursive: true, force: true })
  const stdin = {
    contents: `export { makeArtifact } from "./artifacts.ts"
export { artifactNames } from "./names.ts"
export { keptBinary } from "../../runtime/devices/cuda/compilers/cache.ts"
export { compilerFor } from "../../runtime/devices/cuda/compilers/find.ts"`,
    resolveDir: join(root, "test", "cuda"),
    loader: "ts",
  }
  await build({ ...common, stdin, packages: "external", outfile: join(own, "make.mjs") })
  const { makeArtifact, artifactNames, keptBinary, compilerFor } = await import(
    pathToFileURL(join(own, "make.mjs")).href
  )
  const artifacts = {}
  for (const name of artifactNames) {
    say(`${name} …`)
    artifacts[name] = await makeArtifact(name)
  }
  mkdirSync(join(out, "test", "cuda"), { recursive: true })
  const write = (name, value) => writeFileSync(join(out, `${name}.json.gz`), gzipSync(JSON.stringify(value)))
  write("artifacts", artifacts)
  for (const folder of ["test/golden", "models/tales"])
    cpSync(join(root, folder), join(out, folder), { recursive: true })
  const tests = join(out, "test", "cuda", "tests.mjs")
  const alias = { vitest: join(root, "test", "cuda", "runner.ts") }
  await build({ ...common, entryPoints: ["test/cuda/main.ts"], alias, external: ["koffi"], outfile: tests })
  const texts = join(own, "texts.json")
  spawnSync(process.execPath, [tests, "--record", texts, arch], { stdio: ["ignore", "ignore", "inherit"] })
  const { compiler } = await compilerFor([{ arch, kind: "cubin" }])
  const units = Object.entries(JSON.parse(readFileSync(texts, "utf8")))
  say(`${units.length} binaries for ${arch} by ${compiler.description} …`)
  const made = units.map(async ([key, text]) => {
    const { image, log } = await keptBinary({ name: "tests", text }, { arch, kind: "cubin" }, compiler)
    if (image === undefined) throw new Error(log)
    return [key, Buffer.from(image).toString("base64")]
  })
  write("binaries", Object.fromEntries(await Promise.all(made)))
  rmSync(own, { recursive: true, force: true })
  say(`node ${tests}`)
}
