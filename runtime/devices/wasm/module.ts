/**
 * Module bytes: turning the memory import of a module into a shared one, and loading modules.
 *
 *   … "env" "memory" 02 01 00 80 80 04 …   →   … "env" "memory" 02 03 00 80 80 04 …
 *
 * An artifact holds one module; its instructions are valid with both kinds of memory, so that the limits' flag is all that differs.
 */
import { WeftError } from "../../errors.js"

export type KernelFunction = (...pointers: number[]) => void

/** The same module with a shared memory import. */
export function withSharedMemory(module: Uint8Array): Uint8Array {
  const flag = memoryFlag(module)
  const shared = module.slice()
  shared[flag] = 0x03
  return shared
}

const refuse = () =>
  new WeftError("bad-module", "the artifact's WebAssembly module does not import its memory as 'env.memory'")

/** Where the limits of the first import, a memory, begin. */
function memoryFlag(module: Uint8Array): number {
  let at = 8
  const number = () => {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = module[at++]
      if (byte === undefined) throw refuse()
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) return value
    }
    throw refuse()
  }
  while (at < module.length) {
    const section = module[at++]
    const bytes = number()
    if (section !== 2) {
      at += bytes
      continue
    }
    if (number() !== 1) throw refuse()
    for (const _name of ["env", "memory"]) {
      const length = number()
      at += length
    }
    if (module[at++] !== 0x02) throw refuse()
    if (module[at] !== 0x01 && module[at] !== 0x03) throw refuse()
    return at
  }
  throw refuse()
}

export async function compileModule(module: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(module as Uint8Array<ArrayBuffer>)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeftError("bad-module", `the artifact's WebAssembly module is not valid here: ${reason}`, {
      hint: "the engine must support SIMD and threads instructions (Node 20, any browser since 2023)",
      cause,
    })
  }
}
