/**
 * What a run of the tests has to itself, made before the first test and removed after the last.
 *
 *   dist/             built once, before two test files can want it at the same time
 *   TMPDIR            what tests put in temporary folders goes with it, whether they remove it or not
 *   XDG_CACHE_HOME    artifacts: the shipped checkpoint is compiled once for the command line and for `load`, never taken from an earlier run
 *   shaders           a software adapter compiles a shader that many tests have once; its cache does not tell the widths of vectors apart,
 *                     so that it is no other program's
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
// @ts-expect-error: a script without declarations.
import { buildBundles } from "../../scripts/build.mjs"

export default async function setup(): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), "weft-tests-"))
  const temporary = join(folder, "temporary")
  mkdirSync(temporary)
  // Some tests run commands as another user, who has to get through to folders of his own.
  for (const path of [folder, temporary]) chmodSync(path, 0o711)
  process.env.TMPDIR = temporary
  process.env.XDG_CACHE_HOME = join(folder, "cache")
  process.env.MESA_SHADER_CACHE_DIR = join(folder, "shaders")
  if (wantsCommand()) await buildBundles((line: string) => process.stderr.write(`weft: ${line}\n`))
  return () => rmSync(folder, { recursive: true, force: true })
}

/** Whether tests of the command line may be in this run: all are, or some of them are named. */
function wantsCommand(): boolean {
  const named = process.argv.slice(2).filter((word) => word !== "run" && !word.startsWith("-"))
  return named.length === 0 || named.some((word) => word.includes("cli") || word === "test")
}
