/**
 * A buffer on a WebGPU device. WebGPU writes whole 32-bit words; an upload that ends inside one keeps the rest of the word as the host last wrote it.
 *
 *   buffer.write(0, [1, 2, 3, 4, 5, 6])   words 0 and 1; bytes 6 and 7 stay zero
 *   buffer.write(6, [7, 8])               word 1 again, with 5 and 6 before
 *
 * So tensors of an odd number of bf16 elements can be uploaded side by side. It holds for bytes that only the host writes.
 */
import type { DeviceBuffer } from "../device.js"
import { bufferUsage } from "./constants.js"

export interface WebgpuBuffer extends DeviceBuffer {
  readonly gpu: GPUBuffer
  readonly label: string
  readonly destroyed: boolean
  write(offset: number, data: Uint8Array): void
  /** Forgets what the host wrote of whole words, which other bytes take the place of. */
  overwritten(offset: number, bytes: number): void
  /** Zeroes whole words from the start, in the order of writes and submits. */
  clear(bytes: number): void
}

export function createBuffer(device: GPUDevice, bytes: number, label: string, freed: () => void): WebgpuBuffer {
  // Whole units of vec4<u32>, so that an array of vectors covers the last elements.
  const size = Math.max(16, Math.ceil(bytes / 16) * 16)
  const usage = bufferUsage.storage | bufferUsage.copySource | bufferUsage.copyTarget
  const gpu = device.createBuffer({ label, size, usage })
  /** Words of which the host wrote a part, by offset. */
  const split = new Map<number, Uint8Array<ArrayBuffer>>()
  let destroyed = false

  const writePart = (word: number, at: number, data: Uint8Array) => {
    const whole = split.get(word) ?? new Uint8Array(4)
    whole.set(data, at)
    split.set(word, whole)
    device.queue.writeBuffer(gpu, word, whole)
  }

  const overwritten = (offset: number, bytes: number) => {
    for (const word of split.keys()) if (word >= offset && word < offset + bytes) split.delete(word)
  }

  return {
    bytes,
    gpu,
    overwritten,
    label,
    get destroyed() {
      return destroyed
    },
    write(offset, data) {
      const head = Math.min(data.length, (4 - (offset & 3)) & 3)
      if (head > 0) writePart(offset & ~3, offset & 3, data.subarray(0, head))
      const middle = (data.length - head) & ~3
      if (middle > 0) {
        const start = data.byteOffset + head
        device.queue.writeBuffer(gpu, offset + head, data.buffer as ArrayBuffer, start, middle)
        overwritten(offset + head, middle)
      }
      const tail = data.length - head - middle
      if (tail > 0) writePart(offset + head + middle, 0, data.subarray(head + middle))
    },
    clear(bytes) {
      overwritten(0, bytes)
      const encoder = device.createCommandEncoder()
      encoder.clearBuffer(gpu, 0, bytes)
      device.queue.submit([encoder.finish()])
    },
    destroy() {
      if (destroyed) return
      destroyed = true
      split.clear()
      gpu.destroy()
      freed()
    },
  }
}
