/**
 * Module bytes: turning the memory import of a module into a shared one, and loading modules.
 *
 *   … "env" "memory" 02 01 00 80 80 04 …   →   … "env" "memory" 02 03 00 80 80 04 …
 *
 * An artifact holds one module; its instructions are valid with both kinds of memory, so that the limits' flag is all that differs. Engines with
 * relaxed SIMD get fused multiply-adds in place of the products that the module's section `contractible` lists.
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

/** A function of one relaxed multiply-add. */
const probe = [
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 17, 1, 15, 1, 1, 0x7b],
  ...[0x20, 0, 0x20, 0, 0x20, 0, 0xfd, 0x85, 0x02, 0x21, 0, 0x0b],
]

/** Whether the engine has the instruction. */
export const hasMultiplyAdd = (): boolean => WebAssembly.validate(new Uint8Array(probe))

/** The same module with a fused multiply-add for each listed sum of a product: x y mul … add → x y nop nop nop … relaxed_madd. */
export function withMultiplyAdd(module: Uint8Array): Uint8Array {
  const listed = contractible(module)
  const fused = module.slice()
  for (const [i, at] of listed.entries()) {
    const [from, to] = i % 2 === 0 ? ([multiplication, nothing] as const) : ([addition, multiplyAddition] as const)
    if (!from.every((byte, j) => module[at + j] === byte))
      throw new WeftError(
        "wasm/bad-module",
        `the artifact's list 'contractible' names byte ${at}, where no such instruction is`,
      )
    fused.set(to, at)
  }
  return fused
}
const multiplication = [0xfd, 0xe6, 0x01]
const addition = [0xfd, 0xe4, 0x01]
const nothing = [0x01, 0x01, 0x01]
const multiplyAddition = [0xfd, 0x85, 0x02]

/** Places in the module that its custom section lists: each is counted from the one before. */
function contractible(module: Uint8Array): readonly number[] {
  const read = reader(module, 8)
  while (read.at < module.length) {
    const section = read.byte()
    const end = read.number() + read.at
    if (section === 0 && read.text() === "contractible") {
      const places: number[] = []
      while (read.at < end) places.push((places.at(-1) ?? 0) + read.number())
      return places
    }
    read.at = end
  }
  return []
}

const refuse = () =>
  new WeftError("wasm/bad-module", "the artifact's WebAssembly module does not import its memory as 'env.memory'")

/** Where the limits of the first import, a memory, begin. */
function memoryFlag(module: Uint8Array): number {
  const read = reader(module, 8)
  while (read.at < module.length) {
    const section = read.byte()
    const bytes = read.number()
    if (section !== 2) {
      read.at += bytes
      continue
    }
    if (read.number() !== 1) throw refuse()
    read.text()
    read.text()
    if (read.byte() !== 0x02) throw refuse()
    if (module[read.at] !== 0x01 && module[read.at] !== 0x03) throw refuse()
    return read.at
  }
  throw refuse()
}

/** Reads what a module consists of, from `at` on. */
function reader(module: Uint8Array, start: number) {
  const read = {
    at: start,
    byte: (): number => {
      const byte = module[read.at++]
      if (byte === undefined) throw refuse()
      return byte
    },
    /** An unsigned LEB128. */
    number: (): number => {
      let value = 0
      for (let shift = 0; shift < 35; shift += 7) {
        const byte = read.byte()
        value += (byte & 0x7f) * 2 ** shift
        if (byte < 0x80) return value
      }
      throw refuse()
    },
    text: (): string => {
      const length = read.number()
      read.at += length
      return new TextDecoder().decode(module.subarray(read.at - length, read.at))
    },
  }
  return read
}

export async function compileModule(module: Uint8Array): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(module as Uint8Array<ArrayBuffer>)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeftError("wasm/bad-module", `the artifact's WebAssembly module is not valid here: ${reason}`, {
      hint: "the engine must support SIMD and threads instructions (Node 20, any browser since 2023)",
      cause,
    })
  }
}
