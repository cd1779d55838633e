/**
 * What a run of the tests has to itself, made before the first test and removed after the last.
 *
 *   dist/             built once, before two test files can want it at the same time
 *   TMPDIR            what tests put in temporary folders goes with it, whether they remove it or not
 *   XDG_CACHE_HOME    artifacts: the shipped checkpoint is compiled once for the command line and for `load`, never taken from an earlier run
 *
 *   WEFT_SEED         what is drawn, the same in all processes: files of which each takes a part of something draw different parts
 *
 * Shaders that the software adapter has compiled, and sources as JavaScript (`native-hooks.mjs`), are kept for later runs by all that they
 * hang on.
 */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
// @ts-expect-error: a script without declarations.
import { buildBundles } from "../../scripts/build.mjs"
import { shaderCache } from "./adapter.js"
// @ts-expect-error: hooks without declarations.
import { kept } from "./native-hooks.mjs"

/** Texts of sources that are kept, some for each change of one: a run has a tenth of them. */
const mostKept = 10_000

export default async function setup(): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), "weft-tests-"))
  const temporary = join(folder, "temporary")
  mkdirSync(temporary)
  // Some tests run commands as another user, who has to get through to folders of his own.
  for (const path of [folder, temporary]) chmodSync(path, 0o711)
  process.env.TMPDIR = temporary
  process.env.WEFT_SEED ??= String(Date.now() & 0x7fffffff)
  process.env.XDG_CACHE_HOME = join(folder, "cache")
  mkdirSync(shaderCache, { recursive: true })
  process.env.MESA_SHADER_CACHE_DIR = shaderCache
  process.env.MESA_SHADER_CACHE_MAX_SIZE = "256M"
  if (existsSync(kept) && readdirSync(kept).length > mostKept) rmSync(kept, { recursive: true, force: true })
  if (wantsCommand()) await buildBundles((line: string) => process.stderr.write(`weft: ${line}\n`))
  return () => rmSync(folder, { recursive: true, force: true })
}

/** Whether tests of the command line may be in this run: all are, or some of them are named. */
function wantsCommand(): boolean {
  const named = process.argv.slice(2).filter((word) => word !== "run" && !word.startsWith("-"))
  return named.length === 0 || named.some((word) => word.includes("cli") || word === "test")
}
