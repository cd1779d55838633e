/**
 * Binaries of kernels in the user's cache: what was compiled once is loaded the next time.
 *
 *     ~/.cache/weft/cuda/k3_t0-sm_90a-7c41….cubin     the key: text, options, compiler, architecture
 *
 *     weft cuda 1 5be2…                               the hash of the key and of the binary, which follows
 *
 * The folder is this user's alone: one that others can write to is left alone. A file that is not exactly what was written is compiled anew and
 * replaced.
 */
import { createHash } from "node:crypto"
import { join } from "node:path"
import { cacheFolder, keepFile, ownFolder, readRegular } from "../../../kept-files.js"
import type { Binary } from "./architectures.js"
import { type Compiled, type Compiler, languageOptions } from "./compiler.js"

/** The folder of binaries, inside of the user's cache. */
export const binariesFolder = (): string => join(cacheFolder(), "cuda")

/**
 * The binary of a text, from the folder or compiled and kept there.
 *
 * @param name for people, in the name of the file
 * @param folder `false`: nothing is kept
 */
export async function keptBinary(
  { name, text }: { readonly name: string; readonly text: string },
  to: Binary,
  compiler: Compiler,
  folder: string | false = binariesFolder(),
): Promise<Compiled> {
  if (folder === false || !ownFolder(folder)) return compiler.compile(text, to)
  const parts = [text, languageOptions, compiler.identity, to.arch, to.kind]
  const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex")
  const label = name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, 60)
  const file = `${label}-${to.arch}-${key.slice(0, 32)}.${to.kind}`
  const known = await readBinary(join(folder, file), key)
  if (known !== undefined) return { image: known, log: "" }
  const compiled = await compiler.compile(text, to)
  if (compiled.image !== undefined)
    await keepFile(folder, file, Buffer.concat([Buffer.from(head(key, compiled.image)), compiled.image]))
  return compiled
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
