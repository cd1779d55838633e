/**
 * The table of test/README.md: the median program, over several seeds, at which the laws find each planted fault.
 *
 *   node scripts/planted-faults.mjs             nine seeds
 *   node scripts/planted-faults.mjs 1 2 3       these
 *   node scripts/planted-faults.mjs online      nine seeds, the laws of test/laws/online.test.ts; several names may stand there
 */
import { spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const words = process.argv.slice(2)
const names = words.filter((word) => Number.isNaN(Number(word)))
const given = words.filter((word) => !names.includes(word)).map(Number)
const seeds = given.length > 0 ? given : [1, 2, 3, 4, 5, 6, 7, 8, 9]
const folder = mkdtempSync(join(tmpdir(), "weft-faults-"))
const file = join(folder, "found.jsonl")
const vitest = join(root, "node_modules", "vitest", "vitest.mjs")
const files = readdirSync(join(root, "test", "laws"))
  .filter((name) => name.endsWith(".test.ts") && (names.length === 0 || names.includes(name.slice(0, -8))))
  .map((name) => join("test", "laws", name))
  .filter((name) => /\bhunt/.test(readFileSync(join(root, name), "utf8")))

for (const seed of seeds) {
  process.stderr.write(`seed ${seed}\n`)
  const env = { ...process.env, WEFT_SEED: `${seed}`, WEFT_FAULTS: file }
  const args = [vitest, "run", ...files, "-t", "planted|fault|^(loops|kernels|steps|plans): |chunks|merged fetches"]
  const { status, stdout } = spawnSync(process.execPath, args, { cwd: root, env, encoding: "utf8", maxBuffer: 2 ** 28 })
  if (status !== 0) process.stderr.write(stdout)
}

/** law → fault → the numbers of programs, one for each seed. */
const found = new Map()
for (const line of readFileSync(file, "utf8").trim().split("\n")) {
  const { law, fault, program } = JSON.parse(line)
  if (!found.has(law)) found.set(law, new Map())
  const faults = found.get(law)
  if (!faults.has(fault)) faults.set(fault, [])
  faults.get(fault).push(program)
}
rmSync(folder, { recursive: true })

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]
const rows = [...found].flatMap(([law, faults]) =>
  [...faults].map(([fault, programs]) => [law, fault, median(programs), Math.max(...programs)]),
)
console.log("| law | planted fault | median program | latest |\n| --- | --- | ---: | ---: |")
for (const row of rows.sort()) console.log(`| ${row.join(" | ")} |`)
