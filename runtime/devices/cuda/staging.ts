/**
 * Memory on the way to the device: pinned pieces that weights are read into, copied from there by the device, and filled again.
 *
 *   const { parts, finish } = await staging.stage([{ to, offset: 0, bytes: 1 << 20 }])
 *   parts[0].set(…)        memory that the device reads: nothing is copied on the host
 *   finish()               asks for the copies, in the order of uploads and submits
 *
 * Up to `most` pieces are under way; who comes later waits until one has been copied. When all of them are back they are let go.
 */
import { fillAside } from "../aside.js"
import type { Device, DeviceBuffer, Filling, Region } from "../device.js"
import type { Driver, HostMemory } from "./driver.js"
import type { Waiter } from "./waiter.js"

/** Pieces under way at a time: as many reads as Node carries out at once, and as many that wait for the device. */
const most = 8
/** What is smaller goes through the ring of small uploads. */
const least = 1 << 20
/** Bytes of a piece unless more are asked for: one size, so that pieces serve again. */
const usual = 16 << 20

export interface Staging {
  stage(regions: readonly Region[]): Promise<Filling>
  /** Lets go of what nobody fills; the rest goes when it is finished or abandoned. Nothing may be under way on the device. */
  free(): void
  /** Resolves when nobody fills any more. */
  empty(): Promise<void>
}

/** The device whose memory is filled. */
export interface Target extends Pick<Device, "upload"> {
  /** Where bytes of a buffer lie; throws where it is none of this device's, or the device is lost. */
  addressOf(buffer: DeviceBuffer, offset: number, bytes: number): number
  /** Throws when the device is lost. */
  alive(): void
}

export function createStaging(
  driver: Pick<Driver, "toDevice" | "allocateHost">,
  stream: number,
  waiter: Pick<Waiter, "reached">,
  target: Target,
  freeHost: (memory: HostMemory) => void,
): Staging {
  const pieces = createPieces(driver, freeHost)
  /** In the hands of somebody who fills it. */
  const lent = new Set<HostMemory>()
  let gone: () => void = () => {}
  const returned = (memory: HostMemory) => {
    lent.delete(memory)
    if (pieces.closed() && lent.size === 0) gone()
  }
  const filling = (memory: HostMemory, regions: readonly Region[]): Filling => {
    const copies = inTurn(regions)
    return {
      parts: copies.map(({ from, bytes }) => memory.bytes.subarray(from, from + bytes)),
      finish() {
        returned(memory)
        try {
          for (const { to, offset, from, bytes } of copies)
            if (bytes > 0) driver.toDevice(target.addressOf(to, offset, bytes), memory.pointer + from, bytes, stream)
        } catch (error) {
          pieces.giveBack(memory)
          throw error
        }
        // What is wrong with the device is told by the next call.
        waiter.reached(() => pieces.giveBack(memory)).catch(() => pieces.giveBack(memory))
      },
      abandon() {
        returned(memory)
        pieces.giveBack(memory)
      },
    }
  }
  return {
    async stage(regions) {
      const bytes = regions.reduce((n, r) => n + r.bytes, 0)
      const memory = bytes < least ? undefined : await pieces.take(Math.max(usual, bytes))
      try {
        target.alive()
      } catch (error) {
        if (memory !== undefined) pieces.giveBack(memory)
        throw error
      }
      if (memory === undefined) return fillAside(target, regions)
      lent.add(memory)
      return filling(memory, regions)
    },
    free: () => pieces.close(lent),
    async empty() {
      if (lent.size > 0) await new Promise<void>((resolve) => (gone = resolve))
    },
  }
}

/** Where each region lies in the memory of all. */
function inTurn(regions: readonly Region[]) {
  let at = 0
  return regions.map((region) => {
    at += region.bytes
    return { ...region, from: at - region.bytes }
  })
}

/** Pinned pieces, `most` of them at a time. */
function createPieces(driver: Pick<Driver, "allocateHost">, freeHost: (memory: HostMemory) => void) {
  const idle: HostMemory[] = []
  const held = new Set<HostMemory>()
  const waiting: ((memory: HostMemory | undefined) => void)[] = []
  let closed = false

  /** Undefined where the host has no such memory. */
  const create = (bytes: number): HostMemory | undefined => {
    if (closed) return undefined
    try {
      const memory = driver.allocateHost(bytes)
      held.add(memory)
      return memory
    } catch {
      return undefined
    }
  }
  const drop = (memory: HostMemory) => {
    if (!held.delete(memory)) return
    freeHost(memory)
    // Nothing comes back any more, as when the device is lost: who waits goes on without.
    if (held.size === 0) for (const next of waiting.splice(0)) next(undefined)
  }
  return {
    closed: (): boolean => closed,
    /** A piece of at least so many bytes, when one is free; undefined where there will be none. */
    async take(bytes: number): Promise<HostMemory | undefined> {
      const found = idle.findIndex((m) => m.bytes.length >= bytes)
      if (found >= 0) return idle.splice(found, 1)[0]!
      if (held.size >= most) {
        const smaller = idle.pop()
        if (smaller === undefined) {
          const next = await new Promise<HostMemory | undefined>((resolve) => waiting.push(resolve))
          if (next === undefined || next.bytes.length >= bytes) return next
          drop(next)
        } else drop(smaller)
      }
      return create(bytes)
    },
    giveBack(memory: HostMemory): void {
      const next = closed ? undefined : waiting.shift()
      if (next === undefined) idle.push(memory)
      else next(memory)
      if (closed || idle.length === held.size) for (const m of idle.splice(0)) drop(m)
    },
    /** From now on nothing is given; what is not among `lent` goes at once. */
    close(lent: ReadonlySet<HostMemory>): void {
      closed = true
      idle.length = 0
      for (const memory of [...held]) if (!lent.has(memory)) drop(memory)
      for (const next of waiting.splice(0)) next(undefined)
    },
  }
}
