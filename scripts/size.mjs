/**
 * Prints the size of the project: non-blank lines of source per top folder against its budget, then files that have grown too long.
 *
 *   compiler      4123  of 6000
 *   runtime       1892  of 3000
 *
 * Budgets and limits inform; they fail nothing.
 */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const budgets = { dsl: 1000, compiler: 6000, runtime: 3000, models: 0, cli: 0, test: 0 }
const longest = 400
const skipped = new Set(["node_modules", "dist", ".weft", "golden", "tales", "fixtures", "tuned"])

function* sources(folder) {
  for (const name of readdirSync(folder).sort()) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) {
      if (!skipped.has(name)) yield* sources(path)
    } else if (/\.(ts|mjs)$/.test(name)) yield path
  }
}

const long = []
let total = 0
for (const [folder, budget] of Object.entries(budgets)) {
  let lines = 0
  for (const path of sources(join(root, folder))) {
    const count = readFileSync(path, "utf8")
      .split("\n")
      .filter((line) => line.trim() !== "").length
    lines += count
    if (count > longest) long.push([relative(root, path), count])
  }
  total += lines
  console.log(`${folder.padEnd(10)}${String(lines).padStart(7)}${budget ? `  of ${budget}` : ""}`)
}
console.log(`${"total".padEnd(10)}${String(total).padStart(7)}`)
if (long.length > 0) console.log(`\nfiles over ${longest} lines:`)
for (const [path, count] of long) console.log(`  ${path}  ${count}`)
