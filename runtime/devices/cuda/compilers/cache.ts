/**
 * Binaries of kernels in the user's cache: what was compiled once is loaded the next time.
 *
 *     ~/.cache/weft/cuda/k3_t0-sm_90a-7c41….cubin     the key: text, options, how wishes are heeded, compiler, architecture
 *
 *     weft cuda 1 5be2…                               the hash of the key and of the binary, which follows
 *
 * The folder is this user's alone: one that others can write to is left alone. A file that is not exactly what was written is compiled anew and
 * replaced.
 */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { fault } from "../../../errors.js"
import { cacheFolder, keepFile, ownFolder, readRegular } from "../../../kept-files.js"
import type { Binary } from "./architectures.js"
import { type Compiled, type Compiler, languageOptions } from "./compiler.js"
import { refusalOf } from "./find.js"
import { residencyRules } from "./residency.js"

/** The folder of binaries, inside of the user's cache. */
export const binariesFolder = (): string => join(cacheFolder(), "cuda")

/** A text, and what it is called for people, in the name of the file. */
export interface Unit {
  readonly name: string
  readonly text: string
}

/**
 * The binary of a text, from the folder or compiled and kept there.
 *
 * @param folder `false`: nothing is kept
 */
export async function keptBinary(
  unit: Unit,
  to: Binary,
  compiler: Compiler,
  folder: string | false = binariesFolder(),
): Promise<Compiled> {
  return (await knownBinary(unit, to, compiler, folder)) ?? made(unit, to, compiler, folder)
}

/**
 * The binary of a text by the first of some compilers that has made it before, or that makes such binaries; by the last one where none does.
 *
 * @param onPassed told which one is passed over for the next, and why
 */
export async function firstBinary(
  unit: Unit,
  to: Binary,
  compilers: readonly Compiler[],
  folder: string | false = binariesFolder(),
  onPassed: (why: string, next: Compiler) => void = () => {},
): Promise<Compiled & { readonly compiler: Compiler }> {
  for (const [i, compiler] of compilers.entries()) {
    const known = await knownBinary(unit, to, compiler, folder)
    if (known !== undefined) return { ...known, compiler }
    const next = compilers[i + 1]
    const why = next === undefined ? undefined : await refusalOf(compiler, to)
    if (why === undefined) return { ...(await made(unit, to, compiler, folder)), compiler }
    onPassed(why, next!)
  }
  throw fault("a text is compiled by no compiler")
}

async function knownBinary(
  unit: Unit,
  to: Binary,
  compiler: Compiler,
  folder: string | false,
): Promise<Compiled | undefined> {
  if (folder === false || !ownFolder(folder)) return undefined
  const { key, file } = keyOf(unit, to, compiler)
  const image = await readBinary(join(folder, file), key)
  return image === undefined ? undefined : { image, log: "" }
}

async function made(unit: Unit, to: Binary, compiler: Compiler, folder: string | false): Promise<Compiled> {
  const compiled = await compiler.compile(unit.text, to)
  if (compiled.image === undefined || folder === false || !ownFolder(folder)) return compiled
  const { key, file } = keyOf(unit, to, compiler)
  await keepFile(folder, file, Buffer.concat([Buffer.from(head(key, compiled.image)), compiled.image]))
  return compiled
}

/** All that decides a binary, and the file where it lies. */
function keyOf({ name, text }: Unit, { arch, kind }: Binary, { identity }: Compiler) {
  const parts = [text, languageOptions, residencyRules, identity, arch, kind]
  const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex")
  const label = name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)
  return { key, file: `${label}-${arch}-${key.slice(0, 32)}.${kind}` }
}

const head = (key: string, image: Uint8Array): string =>
  `weft cuda 1 ${createHash("sha256").update(key).update(image).digest("hex")}\n`

async function readBinary(path: string, key: string): Promise<Uint8Array | undefined> {
  try {
    const content = await readRegular(path)
    if (content === undefined) return undefined
    const image = new Uint8Array(content.subarray(content.indexOf("\n") + 1))
    return content.subarray(0, content.length - image.length).toString("latin1") === head(key, image)
      ? image
      : undefined
  } catch {
    return undefined
  }
}
