/**
 * Reads from the device through mappable buffers, which are used again.
 *
 *   await staging.read(buffer, 6, 3)   copies the words that hold bytes 6 … 8, maps them and returns three bytes
 */
import { bufferUsage, mapRead } from "./constants.js"

/** How many idle staging buffers are kept, and how large. */
const kept = 4
const keptBytes = 4 << 20

export interface Staging {
  read(from: GPUBuffer, offset: number, bytes: number): Promise<Uint8Array>
  destroy(): void
}

export function createStaging(device: GPUDevice): Staging {
  const idle: GPUBuffer[] = []

  const take = (bytes: number): GPUBuffer => {
    const found = idle.findIndex((b) => b.size >= bytes)
    if (found >= 0) return idle.splice(found, 1)[0]!
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)))
    return device.createBuffer({
      label: "staging",
      size: size > keptBytes ? bytes : size,
      usage: bufferUsage.mapRead | bufferUsage.copyTarget,
    })
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
      const buffer = take(size)
      try {
        const encoder = device.createCommandEncoder()
        encoder.copyBufferToBuffer(from, start, buffer, 0, size)
        device.queue.submit([encoder.finish()])
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
