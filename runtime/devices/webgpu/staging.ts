/**
 * Reads from the device through mappable buffers, which are used again.
 *
 *   await staging.read(buffer, 6, 3)   copies the words that hold bytes 6 … 8, maps them and returns three bytes
 */
import type { WeftError } from "../../errors.js"
import { bufferUsage, mapRead } from "./constants.js"
import { watch } from "./scopes.js"

/** How many idle staging buffers are kept, and how large. */
const kept = 4
const keptBytes = 4 << 20

export interface Staging {
  read(from: GPUBuffer, offset: number, bytes: number): Promise<Uint8Array>
  destroy(): void
}

export function createStaging(
  device: GPUDevice,
  refusal: (label: string, bytes: number) => (error: GPUError | undefined) => WeftError | undefined,
): Staging {
  const idle: GPUBuffer[] = []

  const take = (bytes: number): GPUBuffer | undefined => {
    const found = idle.findIndex((b) => b.size >= bytes)
    return found < 0 ? undefined : idle.splice(found, 1)[0]!
  }
  /** The copy is asked for at once, before what is written next; errors of a new buffer and of what is done with it stay here. */
  const copy = (from: GPUBuffer, start: number, bytes: number) => {
    const into = (buffer: GPUBuffer) => {
      const encoder = device.createCommandEncoder()
      encoder.copyBufferToBuffer(from, start, buffer, 0, bytes)
      device.queue.submit([encoder.finish()])
      return buffer
    }
    const idle = take(bytes)
    if (idle !== undefined) return { made: into(idle), error: Promise.resolve(undefined) }
    const rounded = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)))
    const size = rounded > keptBytes ? bytes : rounded
    const usage = bufferUsage.mapRead | bufferUsage.copyTarget
    return watch(device, () => into(device.createBuffer({ label: "staging", size, usage })))
  }
  const give = (buffer: GPUBuffer) => {
    if (idle.length < kept && buffer.size <= keptBytes) idle.push(buffer)
    else buffer.destroy()
  }

  return {
    async read(from, offset, bytes) {
      const start = offset & ~3
      const size = (offset + bytes + 3 - start) & ~3
      if (size === 0) {
        await device.queue.onSubmittedWorkDone()
        return new Uint8Array(0)
      }
      const { made: buffer, error } = copy(from, start, size)
      try {
        const problem = await error.then(refusal("staging", size))
        if (problem !== undefined) throw problem
        await buffer.mapAsync(mapRead, 0, size)
        const copy = new Uint8Array(buffer.getMappedRange(0, size)).slice(offset - start, offset - start + bytes)
        buffer.unmap()
        give(buffer)
        return copy
      } catch (error) {
        buffer.destroy()
        throw error
      }
    },
    destroy() {
      for (const buffer of idle.splice(0)) buffer.destroy()
    },
  }
}
