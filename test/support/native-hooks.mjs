/**
 * Hooks of Node's loader, for it to load the sources as they lie: TypeScript, imported by the names that its files have once they are JavaScript.
 *
 *   ./expression.js  ──▶  expression.ts  ── esbuild ──▶  JavaScript with a map of its lines
 */
import { existsSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { transform } from "esbuild"

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
  const { code } = await transform(await readFile(path, "utf8"), settings)
  return { format: "module", source: code, shortCircuit: true }
}
