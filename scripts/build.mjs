/**
 * Builds dist/ when the sources have changed.
 *
 *   compiler, node, cli    one bundle with shared chunks, for Node; internal/compiler is what this script uses of it
 *   dsl, models/rotary     through the front end's own transform, which the first bundle brings along
 *   runtime                page-safe: no Node modules, no zod; GGUF files in a chunk of their own
 *   types                  declarations by tsc, with the few names of the platform that they mention; only `npm run build` makes them
 *
 *   node scripts/build.mjs [--webgpu]      also compiles models/tales for WebAssembly (and WebGPU) into the user's cache
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"

export const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const dist = join(root, "dist")
const stampFile = join(dist, "stamp.json")

/** The bundles, when they are not those of the present sources. `say` takes a line of progress. */
export async function buildBundles(say) {
  const stamp = hashOf(["dsl", "compiler", "runtime", "models", "cli"])
  if (readStamp().bundles === stamp) return
  say("building …")
  const { build } = await import("esbuild")
  for (const name of existsSync(dist) ? readdirSync(dist) : []) if (name.endsWith(".js")) rmSync(join(dist, name))
  const common = {
    absWorkingDir: root,
    outdir: dist,
    bundle: true,
    format: "esm",
    target: "es2023",
    packages: "external",
    logLevel: "warning",
    define: { WEFT_STAMP: JSON.stringify(hashOf(["compiler", "dsl"], ["runtime/artifact.ts"])) },
  }
  const split = { splitting: true, chunkNames: "chunks-[hash]" }
  await build({
    ...common,
    entryPoints: {
      compiler: "compiler/index.ts",
      node: "cli/node.ts",
      cli: "cli/main.ts",
      "internal/compiler": "compiler/internal.ts",
      "quantize-worker": "cli/quantize/worker.ts",
    },
    platform: "node",
    ...split,
  })
  const { transformFiles } = await import(pathToFileURL(join(dist, "internal", "compiler.js")).href)
  await build({
    ...common,
    entryPoints: { dsl: "dsl/index.ts", "internal/attach": "dsl/internal.ts", "models/rotary": "models/rotary.ts" },
    platform: "neutral",
    plugins: [transformed(transformFiles([join(root, "dsl/index.ts")]))],
  })
  await build({ ...common, entryPoints: { runtime: "runtime/index.ts" }, platform: "neutral", ...split })
  chmodSync(join(dist, "cli.js"), 0o755)
  writeStamp({ bundles: stamp })
}

/** Declaration files, when they are not those of the present sources. */
export function buildTypes(say) {
  const settings = ["tsconfig.json", "tsconfig.build.json", "scripts/build.mjs", "scripts/platform.d.ts"]
  const stamp = hashOf(["dsl", "compiler", "runtime", "models", "cli"], settings)
  if (readStamp().types === stamp) return
  say("declarations …")
  const types = join(dist, "types")
  rmSync(types, { recursive: true, force: true })
  const tsc = join(root, "node_modules", ".bin", "tsc")
  const { status } = spawnSync(tsc, ["-p", join(root, "tsconfig.build.json")], { stdio: ["ignore", 2, 2] })
  if (status !== 0) {
    process.exitCode = 1
    return
  }
  copyFileSync(join(root, "scripts", "platform.d.ts"), join(types, "platform.d.ts"))
  const { exports: entries } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  for (const path of Object.values(entries).flatMap((entry) => entry.types ?? [])) {
    const file = join(root, path)
    writeFileSync(file, `/// <reference path="../platform.d.ts" />\n${readFileSync(file, "utf8")}`)
  }
  writeStamp({ types: stamp })
}

/** The dsl's sources with what the front end inserts, as esbuild's plugin. */
const transformed = (texts) => ({
  name: "transformed text",
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const found = texts.get(path)
      return found === undefined ? undefined : { contents: found.text, loader: "ts" }
    })
  },
})

function hashOf(folders, files = ["package-lock.json", "scripts/build.mjs"]) {
  const sources = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true })
      .filter((name) => name.endsWith(".ts"))
      .map((name) => `${folder}/${name.replaceAll("\\", "/")}`)
      .sort(),
  )
  const hash = createHash("sha256")
  for (const path of [...sources, ...files]) hash.update(path).update(readFileSync(join(root, path)))
  return hash.digest("hex")
}

function readStamp() {
  try {
    return JSON.parse(readFileSync(stampFile, "utf8"))
  } catch {
    return {}
  }
}

function writeStamp(part) {
  mkdirSync(dist, { recursive: true })
  writeFileSync(stampFile, JSON.stringify({ ...readStamp(), ...part }))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const say = (line) => process.stderr.write(`weft: ${line}\n`)
  await buildBundles(say)
  const { load } = await import(pathToFileURL(join(dist, "node.js")).href)
  for (const device of ["wasm", ...(process.argv.includes("--webgpu") ? ["webgpu"] : [])]) {
    const onProgress = ({ stage }) => stage === "compile" && say(`models/tales for ${device} …`)
    const model = await load(join(root, "models", "tales"), { device, onProgress })
    model.dispose()
  }
  buildTypes(say)
}
