/**
 * Hooks of Node's loader, for it to load the sources as they lie: TypeScript, imported by the names that its files have once they are JavaScript.
 *
 *   ./expression.js  ──▶  expression.ts  ── esbuild ──▶  JavaScript with a map of its lines
 *
 * What has been made of a text is kept by all that it hangs on, for the next process and the next run.
 */
import { createHash } from "node:crypto"
import { existsSync } from "node:fs"
import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { transform, version } from "esbuild"

const typescript = /\.ts(\?|$)/
const ours = (url) => url?.startsWith("file:") && !url.includes("/node_modules/")

export async function resolve(specifier, context, next) {
  if (typescript.test(specifier) && ours(specifier)) return source(specifier)
  if (/^\.\.?\/.*\.js$/.test(specifier) && ours(context.parentURL)) {
    const url = new URL(specifier.replace(/\.js$/, ".ts"), context.parentURL)
    if (existsSync(url)) return source(url.href)
  }
  return next(specifier, context)
}

const source = (url) => ({ url, format: "module", shortCircuit: true })

export async function load(url, context, next) {
  if (!typescript.test(url) || !ours(url)) return next(url, context)
  const path = fileURLToPath(url.replace(/\?.*$/, ""))
  const settings = { loader: "ts", target: "es2023", sourcefile: path, sourcemap: "inline", sourcesContent: false }
  return { format: "module", source: await javascriptOf(await readFile(path, "utf8"), settings), shortCircuit: true }
}

/** Where it is kept. */
export const kept = new URL("../../node_modules/.cache/weft/sources/", import.meta.url)

async function javascriptOf(text, settings) {
  const key = createHash("sha256")
    .update(JSON.stringify([version, settings, text]))
    .digest("hex")
  const file = new URL(`${key}.mjs`, kept)
  const known = await readFile(file, "utf8").catch(() => undefined)
  if (known !== undefined) return known
  const { code } = await transform(text, settings)
  await keep(file, code)
  return code
}

/** Whole or not at all, for another process may read it now. Where nothing can be written, nothing is kept. */
async function keep(file, code) {
  const part = new URL(`${file.href}.${process.pid}`)
  try {
    await mkdir(kept, { recursive: true })
    await writeFile(part, code)
    await rename(part, file)
  } catch {}
}
