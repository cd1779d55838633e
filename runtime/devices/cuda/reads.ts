/**
 * Reads: copies into pinned memory in the stream's order, each with its own end to wait for, however much is submitted behind it.
 *
 *     await reads.read(pointer, 4)       the bytes as what was submitted so far leaves them
 */
import { WeftError } from "../../errors.js"
import { type Driver, type HostMemory, outOfMemory, resultOf } from "./driver.js"
import type { Waiter } from "./waiter.js"

/** How many idle pieces of memory are kept, and how large. */
const kept = 16
const keptBytes = 4 << 20
const leastBytes = 4096

export interface Reads {
  read(from: number, bytes: number): Promise<Uint8Array>
  /** Frees all memory; nothing may be under way. */
  free(): void
}

/** `toHost` copies in the stream's order; `freeHost` never throws. */
export function createReads(
  driver: Pick<Driver, "allocateHost">,
  toHost: (to: number, from: number, bytes: number) => void,
  waiter: Pick<Waiter, "reached">,
  freeHost: (memory: HostMemory) => void,
): Reads {
  const idle: HostMemory[] = []
  const held = new Set<HostMemory>()

  const take = (bytes: number): HostMemory => {
    const found = idle.findIndex((m) => m.bytes.length >= bytes)
    if (found >= 0) return idle.splice(found, 1)[0]!
    const rounded = 2 ** Math.ceil(Math.log2(Math.max(leastBytes, bytes)))
    try {
      const memory = driver.allocateHost(rounded > keptBytes ? bytes : rounded)
      held.add(memory)
      return memory
    } catch (cause) {
      if (resultOf(cause) !== outOfMemory) throw cause
      throw new WeftError("host/out-of-memory", `no memory for ${bytes} bytes that are read`, { cause })
    }
  }
  const give = (memory: HostMemory) => {
    if (idle.length < kept && memory.bytes.length <= keptBytes) return idle.push(memory)
    held.delete(memory)
    return freeHost(memory)
  }
  return {
    async read(from, bytes) {
      if (bytes === 0) return waiter.reached(() => new Uint8Array(0))
      const memory = take(bytes)
      toHost(memory.pointer, from, bytes)
      return waiter.reached(() => {
        const copy = memory.bytes.slice(0, bytes)
        give(memory)
        return copy
      })
    },
    free() {
      for (const memory of held) freeHost(memory)
      held.clear()
      idle.length = 0
    },
  }
}
