/**
 * Small uploads: a ring of pinned memory in parts, each with an event behind the last copy out of it. A part is written again when its event is done.
 *
 *     [ part 0: symbols, symbols, tokens, symbols … │ part 1 │ part 2 │ part 3 ]
 *                                                     ^ waits for its event, which is long done but where the host is a whole round ahead
 */
import type { Driver, HostMemory } from "./driver.js"

const parts = 4
const partBytes = 1 << 20
/** What the copy engine likes, and room for any element. */
const alignment = 16

export interface Ring {
  /** Puts a copy of `data` at `to`, in the stream's order. */
  upload(to: number, data: Uint8Array): void
  free(): void
}

/** `giveBack` makes calls that may fail on a device that is lost. */
export function createRing(
  driver: Pick<Driver, "allocateHost" | "freeHost" | "createEvent" | "destroyEvent" | "record" | "wait" | "toDevice">,
  stream: number,
  giveBack: (call: () => void) => void,
): Ring {
  const memory: HostMemory = driver.allocateHost(parts * partBytes)
  const events = Array.from({ length: parts }, () => driver.createEvent())
  const used = events.map(() => false)
  let part = 0
  let at = 0

  const next = () => {
    driver.record(events[part]!, stream)
    used[part] = true
    part = (part + 1) % parts
    at = 0
    if (used[part]) driver.wait(events[part]!)
  }
  return {
    upload(to, data) {
      for (let done = 0; done < data.length; ) {
        if (partBytes - at < Math.min(alignment, data.length - done)) next()
        const bytes = Math.min(data.length - done, partBytes - at)
        const from = part * partBytes + at
        memory.bytes.set(data.subarray(done, done + bytes), from)
        driver.toDevice(to + done, memory.pointer + from, bytes, stream)
        done += bytes
        at = Math.ceil((at + bytes) / alignment) * alignment
      }
    },
    free() {
      for (const event of events) giveBack(() => driver.destroyEvent(event))
      giveBack(() => driver.freeHost(memory))
    },
  }
}
