/**
 * Memory on the way to the device: mapped buffers that weights are read into, copied from there, and mapped again.
 *
 *   const { parts, finish } = await belt.stage([{ to, offset: 0, bytes: 1 << 20 }])
 *   parts[0].set(…)        memory that the device reads: nothing is copied on the host
 *   finish()               unmaps it, and asks for the copy
 *
 * Up to `most` buffers are under way; who comes later waits until one has been copied. When all of them are back they are let go.
 */
import { fillAside } from "../aside.js"
import type { Device, DeviceBuffer, Filling, Region } from "../device.js"
import type { WebgpuBuffer } from "./buffer.js"
import { bufferUsage, mapWrite } from "./constants.js"
import { watch } from "./scopes.js"

/** Buffers under way at a time: as many reads as Node carries out at once, and as many that wait for the device. */
const most = 8
/** What is smaller is not worth a round of mapping: the queue takes it. */
const least = 1 << 20
/** Bytes of a buffer unless more are asked for: one size, so that buffers serve again. */
const usual = 16 << 20

export interface Belt {
  stage(regions: readonly Region[]): Promise<Filling>
  destroy(): void
}

/** The device whose memory is filled. */
export interface Target extends Pick<Device, "upload"> {
  own(buffer: DeviceBuffer): WebgpuBuffer
  /** Throws when the device is lost. */
  alive(): void
}

const isWhole = ({ offset, bytes }: Region) => offset % 4 === 0 && bytes % 4 === 0

export function createBelt(device: GPUDevice, target: Target): Belt {
  /** Mapped, and nobody's. */
  const idle: GPUBuffer[] = []
  const held = new Set<GPUBuffer>()
  const waiting: ((buffer: GPUBuffer | undefined) => void)[] = []

  const take = async (bytes: number): Promise<GPUBuffer | undefined> => {
    const found = idle.findIndex((b) => b.size >= bytes)
    if (found >= 0) return idle.splice(found, 1)[0]!
    if (held.size >= most) {
      const smaller = idle.pop()
      if (smaller === undefined) {
        const next = await new Promise<GPUBuffer | undefined>((resolve) => waiting.push(resolve))
        if (next === undefined || next.size >= bytes) return next
        drop(next)
      } else drop(smaller)
    }
    return create(bytes)
  }
  /** A mapped buffer, or undefined where the device has no memory for it. */
  const create = async (size: number): Promise<GPUBuffer | undefined> => {
    const usage = bufferUsage.mapWrite | bufferUsage.copySource
    try {
      const { made, error } = watch(device, () =>
        device.createBuffer({ label: "loading", size, usage, mappedAtCreation: true }),
      )
      held.add(made)
      if ((await error) === undefined) return made
      drop(made)
    } catch {
      // The host has no memory for the mapping.
    }
    return undefined
  }
  const drop = (buffer: GPUBuffer) => {
    held.delete(buffer)
    buffer.destroy()
    // Nothing comes back any more, as when the device is lost: who waits goes on without.
    if (held.size === 0) for (const next of waiting.splice(0)) next(undefined)
  }
  /** Maps a buffer again once its copies are done, for whoever waits. */
  const giveBack = async (buffer: GPUBuffer) => {
    try {
      await buffer.mapAsync(mapWrite)
    } catch {
      return drop(buffer)
    }
    const next = waiting.shift()
    if (next !== undefined) return next(buffer)
    idle.push(buffer)
    if (idle.length === held.size) for (const b of idle.splice(0)) drop(b)
  }

  return {
    async stage(regions) {
      const whole = regions.filter(isWhole)
      const bytes = whole.reduce((n, r) => n + r.bytes, 0)
      const buffer = bytes < least ? undefined : await take(Math.max(usual, bytes))
      target.alive()
      if (buffer === undefined) return fillAside(target, regions)
      const rest = fillAside(
        target,
        regions.filter((r) => !isWhole(r)),
      )
      const mapped = buffer.getMappedRange()
      const copies: {
        readonly to: WebgpuBuffer
        readonly offset: number
        readonly from: number
        readonly bytes: number
      }[] = []
      let at = 0
      let others = 0
      const parts = regions.map((r) => {
        if (!isWhole(r)) return rest.parts[others++]!
        copies.push({ to: target.own(r.to), offset: r.offset, from: at, bytes: r.bytes })
        at += r.bytes
        return new Uint8Array(mapped, at - r.bytes, r.bytes)
      })
      return {
        parts,
        finish() {
          buffer.unmap()
          rest.finish()
          const encoder = device.createCommandEncoder()
          for (const c of copies) {
            c.to.overwritten(c.offset, c.bytes)
            encoder.copyBufferToBuffer(buffer, c.from, c.to.gpu, c.offset, c.bytes)
          }
          device.queue.submit([encoder.finish()])
          void giveBack(buffer)
        },
        abandon() {
          buffer.unmap()
          void giveBack(buffer)
        },
      }
    },
    destroy() {
      idle.length = 0
      for (const buffer of [...held]) drop(buffer)
    },
  }
}
