/** Memories for a random kernel. */
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { type Kernel, type KernelBuffer, written } from "../../compiler/ir/kernel.js"
import { roundTo } from "../../compiler/ir/operations.js"
import { scrambled } from "./choices.js"
import { poisoned } from "./execute.js"

/** Small integers in what is read, garbage in what is written. */
export const kernelMemories = (kernel: Kernel, seed: number): Map<string, Memory> =>
  memoriesOf(kernel, seed, ({ dtype }, next) =>
    roundTo(dtype, dtype === "f32" || dtype === "i32" ? (next() % 9) - 4 : next() % 2),
  )

/** What is drawn for each element of what is read, garbage in what is written. */
export function memoriesOf(
  kernel: Kernel,
  seed: number,
  draw: (b: KernelBuffer, next: () => number) => number,
): Map<string, Memory> {
  const stored = written(kernel)
  const filled = (b: KernelBuffer, next: () => number): Memory => {
    const size = b.shape.reduce((n, x) => n * x, 1)
    const memory = allocateBuffer(b.dtype, b.storage, size)
    for (let i = 0; i < memory.size; i++) writeElement(memory, i, draw(b, next))
    return memory
  }
  return new Map(
    kernel.buffers.map((b, i) => [b.name, stored.has(b.name) ? poisoned(b) : filled(b, scrambled(seed + 17 * i))]),
  )
}
