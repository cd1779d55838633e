/** Bundles compile.ts or run.ts and runs it: see there. */
import { mkdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { build } from "esbuild"

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..")
const command = process.argv[2] === "compile" ? "compile" : "run"
const outfile = join(root, ".weft", `peers-${command}.mjs`)
mkdirSync(dirname(outfile), { recursive: true })
await build({
  entryPoints: [join(root, "test", "peers", `${command}.ts`)],
  outfile,
  bundle: true,
  platform: "node",
  format: "esm",
  packages: "external",
  logLevel: "error",
})
await import(pathToFileURL(outfile).href)
