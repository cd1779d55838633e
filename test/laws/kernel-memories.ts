/** Memories for a random kernel. */
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { type Kernel, type KernelBuffer, written } from "../../compiler/ir/kernel.js"
import { roundTo } from "../../compiler/ir/operations.js"
import { scrambled } from "./choices.js"
import { poisoned } from "./execute.js"

/** Small integers in what is read, garbage in what is written. */
export function kernelMemories(kernel: Kernel, seed: number): Map<string, Memory> {
  const stored = written(kernel)
  return new Map(kernel.buffers.map((b, i) => [b.name, stored.has(b.name) ? poisoned(b) : integers(b, seed + 17 * i)]))
}

function integers(b: KernelBuffer, seed: number): Memory {
  const memory = allocateBuffer(
    b.dtype,
    b.storage,
    b.shape.reduce((n, x) => n * x, 1),
  )
  const next = scrambled(seed)
  for (let i = 0; i < memory.size; i++)
    writeElement(memory, i, roundTo(b.dtype, b.dtype === "f32" || b.dtype === "i32" ? (next() % 9) - 4 : next() % 2))
  return memory
}
