/**
 * Artifacts on disk, with what they were made of.
 *
 *     ~/.cache/weft/qwen3_moe-wasm-3f9a….json     the key: compiler, model file, config, formats of the weights, target, options
 *
 *     {"sha256":"9c1e…",                          the hash of the key and of all that follows
 *     "seen":{"files":{"/p/qwen3.ts":"f10a…"}…},  what was seen of the disk: the artifact is served as long as it is still so
 *     "format":"weft",…}                          the artifact
 *
 * A file is written beside its name and renamed, so that no process reads half of one. What is not exactly what was written counts as absent
 * and is replaced, whatever lies there; a folder that cannot be written only costs time.
 */
import { createHash, randomUUID } from "node:crypto"
import { accessSync, constants, existsSync, lstatSync, mkdirSync, realpathSync } from "node:fs"
import { open, readdir, rename, rm, stat, writeFile } from "node:fs/promises"
import { homedir, tmpdir } from "node:os"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { hashOf, type Observed, stillHolds } from "../compiler/frontend/observed.js"
import type { CompiledFile } from "../compiler/internal.js"
import { type Artifact, artifactVersion } from "../runtime/artifact.js"
import { checkArtifact } from "../runtime/artifact-check.js"
import { compilerStamp } from "./package.js"

/** The user's cache folder: $XDG_CACHE_HOME/weft or ~/.cache/weft, or one of this user's among temporary files where neither can be written. */
export function cacheFolder(): string {
  const own = process.env.XDG_CACHE_HOME
  const places = [own !== undefined && isAbsolute(own) ? own : undefined, homeFolder("~/.cache")]
  const usable = places.find((place) => place !== undefined && canHold(place))
  return usable === undefined ? temporaryFolder() : join(usable, "weft")
}

function homeFolder(path: string): string | undefined {
  try {
    const home = homedir()
    return isAbsolute(home) ? path.replace("~", home) : undefined
  } catch {
    return undefined // A user without an entry and without HOME.
  }
}

function canHold(place: string): boolean {
  try {
    makeFolder(join(place, "weft"))
    accessSync(join(place, "weft"), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** A folder and those above it, one at a time: Node's own `recursive` never ends below /proc/self, where nothing can be made. */
function makeFolder(path: string, mode?: number): void {
  if (existsSync(path)) return
  const above = dirname(path)
  if (above !== path) makeFolder(above)
  try {
    mkdirSync(path, mode)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
  }
}

/** Others can write among temporary files: a folder of the name that is not this user's alone is left, and one of this process taken. */
function temporaryFolder(): string {
  const user = process.getuid?.() ?? "user"
  const folder = join(tmpdir(), `weft-${user}`)
  try {
    makeFolder(folder, 0o700)
    const found = lstatSync(folder)
    const isOurs =
      found.isDirectory() && (typeof user === "string" || (found.uid === user && (found.mode & 0o022) === 0))
    if (isOurs) return folder
  } catch {
    // Nothing can be kept then: writing into the folder fails, too.
  }
  return `${folder}-${process.pid}-${randomUUID()}`
}

/** A file name of `parts`; `label` is for people. */
export function cacheKey(label: string, parts: readonly unknown[]): string {
  const hash = createHash("sha256").update(JSON.stringify(parts, exactly)).digest("hex").slice(0, 32)
  return `${label.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)}-${hash}.json`
}

export interface Kept {
  /** The folder, or false for none; the user's when left out. */
  readonly cache: string | false | undefined
  /** For people, in the name of the file. */
  readonly label: string
  readonly modelFile: string
  /** What the artifact follows from besides the model's file and this compiler. */
  readonly parts: readonly unknown[]
  readonly onWarning?: ((message: string) => void) | undefined
}

/**
 * The artifact from the cache, or compiled and kept. One that depends on more than files that were compiled is compiled each time.
 *
 * @throws what `compile` throws
 */
export async function keptArtifact(
  { cache = cacheFolder(), label, modelFile, parts, onWarning }: Kept,
  compile: () => Promise<CompiledFile>,
): Promise<{ readonly artifact: Artifact; readonly cached: boolean }> {
  if (cache === false) return { artifact: (await compile()).compilation.artifact, cached: false }
  const key = cacheKey(label, [artifactVersion, compilerStamp(), realPathOf(modelFile), ...parts])
  const known = await readCached(cache, key)
  if (known !== undefined) return { artifact: known, cached: true }
  const { compilation, observed, outside } = await compile()
  if (outside === undefined) await writeCached(cache, key, compilation.artifact, observed)
  else onWarning?.(`${outside}, which may differ next time: the compiled model is not kept`)
  return { artifact: compilation.artifact, cached: false }
}

function realPathOf(file: string): string {
  try {
    return realpathSync(resolve(file))
  } catch {
    return resolve(file) // What is not there is told by the compiler.
  }
}

/** Numbers that JSON has no word for, which would all be null or 0. */
function exactly(_: string, value: unknown): unknown {
  const isOther = typeof value === "number" && (!Number.isFinite(value) || Object.is(value, -0))
  return isOther ? { number: Object.is(value, -0) ? "-0" : String(value) } : value
}

const head = /^\{"sha256":"([0-9a-f]{64})",/

/** The artifact that was kept under a key, if all that it was made of is as it was. */
export async function readCached(folder: string, key: string): Promise<Artifact | undefined> {
  try {
    const text = await readRegular(join(folder, key))
    const [first, hash] = head.exec(text ?? "") ?? []
    if (text === undefined || first === undefined || hashOf(`${key}\n${text.slice(first.length)}`) !== hash)
      return undefined
    const { sha256: _, seen, ...artifact } = JSON.parse(text)
    return stillHolds(seen as Observed) ? checkArtifact(artifact) : undefined
  } catch {
    return undefined
  }
}

/** The text of a file that is one: a pipe or a device in its place would never end. */
async function readRegular(path: string): Promise<string | undefined> {
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
  try {
    return (await file.stat()).isFile() ? await file.readFile("utf8") : undefined
  } finally {
    await file.close()
  }
}

export async function writeCached(folder: string, key: string, artifact: Artifact, seen: Observed): Promise<void> {
  const beside = join(folder, `.${key}.${randomUUID()}`)
  const content = `"seen":${JSON.stringify(seen)},\n${JSON.stringify(artifact).slice(1)}`
  try {
    makeFolder(folder)
    await removeLeftovers(folder)
    await writeFile(beside, `{"sha256":"${hashOf(`${key}\n${content}`)}",${content}`, { flag: "wx" })
    await rename(beside, join(folder, key)).catch(async () => {
      // A folder in its place does not give way.
      await rm(join(folder, key), { recursive: true, force: true })
      await rename(beside, join(folder, key))
    })
  } catch {
    await rm(beside, { force: true }).catch(() => {})
  }
}

/** What a process that died has left half written. */
async function removeLeftovers(folder: string): Promise<void> {
  const day = 24 * 60 * 60 * 1000
  for (const name of await readdir(folder)) {
    if (!/^\..*\.json\.[0-9a-f-]{36}$/.test(name)) continue
    const path = join(folder, name)
    const written = await stat(path).catch(() => undefined)
    if (written !== undefined && Date.now() - written.mtimeMs > day) await rm(path, { force: true }).catch(() => {})
  }
}
