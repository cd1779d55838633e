/**
 * A hash of everything that a model file is made of, without running the front end.
 *
 *     models/qwen3.ts  →  its text, the texts of ../dsl/index.ts … that it reaches by relative imports, the versions of packages: zod 4.6.7
 *
 * Only the imports are looked at, as they are written, and a text too many does no harm. What cannot be followed (a path of a tsconfig, a
 * package that is not there) makes the hash unknown, and the model is compiled without the cache.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"

const imports = /\b(?:from|import)\s*\(?\s*["']([^"'\n]+)["']/g
const comment = /^\s*(?:\*|\/\*|\/\/)/

function importsOf(text: string): readonly string[] {
  const code = text.split("\n").filter((line) => !comment.test(line))
  return code.flatMap((line) => [...line.matchAll(imports)].map((match) => match[1]!))
}

/** Hex, or `undefined` when an import cannot be followed. */
export function hashSources(modelFile: string): string | undefined {
  const entry = resolve(modelFile)
  const hash = createHash("sha256")
  const waiting = [entry]
  const seen = new Set(waiting)
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const text = existsSync(path) ? readFileSync(path, "utf8") : undefined
    if (text === undefined) return undefined
    hash.update(`${relative(dirname(entry), path)}\n${text.length}\n${text}`)
    for (const specifier of path.endsWith(".json") ? [] : importsOf(text)) {
      if (specifier.startsWith("node:")) continue
      const found = specifier.startsWith(".")
        ? sourceOf(resolve(dirname(path), specifier))
        : manifestOf(path, specifier)
      if (found === undefined) return undefined
      if (!seen.has(found)) waiting.push(found)
      seen.add(found)
    }
  }
  return hash.digest("hex")
}

/** `./x.js` is `x.ts`, as TypeScript sees it. */
function sourceOf(path: string): string | undefined {
  const stem = path.replace(/\.[cm]?js$/, "")
  return [path, `${stem}.ts`, `${stem}.tsx`, `${stem}.mts`].find(
    (candidate) => /\.\w+$/.test(candidate) && existsSync(candidate),
  )
}

/** The package.json of an installed package: its version stands for its text. */
function manifestOf(from: string, specifier: string): string | undefined {
  const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/")
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const path = join(folder, "node_modules", name, "package.json")
    if (existsSync(path)) return path
    if (folder === dirname(folder)) return undefined
  }
}
