/**
 * Slots: memory for buffers that live at different times.
 *
 *     a ▇▇▇▁▁▁▁ 40 bytes          slot 0: 40 bytes    a, then c
 *     b ▁▇▇▇▇▁▁ 24                slot 1: 24 bytes    b, then d
 *     c ▁▁▁▇▇▇▁ 32
 *     d ▁▁▁▁▁▇▇  8
 *
 * A slot is one whole buffer of the device: parts of a buffer cannot be bound apart, for WebGPU takes two bindings of one buffer in a launch
 * as a conflict as soon as one is written, however far the ranges lie apart. What is to be small is the sum over slots of the largest buffer
 * in each. That is hard in general; buffers are placed one after the other in several orders, each where it costs least, and the best result
 * is kept. Entries run at different times: their launches follow each other on one time line.
 */
export interface Life {
  readonly bytes: number
  /** The first and the last launch that binds the buffer. */
  readonly first: number
  readonly last: number
}

export interface Packing {
  readonly slots: readonly number[]
  /** The slot of each buffer, in the order in which they were given. */
  readonly of: readonly number[]
}

type Order = (a: Life, b: Life) => number
const bySize: Order = (a, b) => b.bytes - a.bytes
const byLength: Order = (a, b) => b.last - b.first - (a.last - a.first)
const byTime: Order = (a, b) => a.first - b.first
const orders: readonly (readonly Order[])[] = [
  [bySize, byTime],
  [bySize, byLength, byTime],
  [byTime, bySize],
  [byLength],
]

export function pack(lives: readonly Life[]): Packing {
  const packings = orders.map((order) => place(lives, order))
  return packings.reduce((best, p) => (bytesOf(p) < bytesOf(best) ? p : best))
}

export const bytesOf = ({ slots }: Packing): number => slots.reduce((n, bytes) => n + bytes, 0)

interface Slot {
  bytes: number
  /** For each launch, whether a buffer in this slot is in use. */
  readonly busy: Uint8Array
}

function place(lives: readonly Life[], order: readonly Order[]): Packing {
  const end = lives.reduce((n, l) => Math.max(n, l.last + 1), 0)
  const slots: Slot[] = []
  const of: number[] = []
  const compare: Order = (a, b) => {
    for (const by of order) {
      const d = by(a, b)
      if (d !== 0) return d
    }
    return 0
  }
  for (const [i, life] of [...lives.entries()].sort((a, b) => compare(a[1], b[1]))) {
    // Where it costs least: the smallest slot that is large enough, else the one that grows least; a new one costs all of it.
    const growth = (s: Slot) => Math.max(0, life.bytes - s.bytes)
    const cheaper = (s: Slot, t: Slot) => growth(s) < growth(t) || (growth(s) === growth(t) && s.bytes < t.bytes)
    let best: Slot | undefined
    for (const s of slots)
      if ((best === undefined || cheaper(s, best)) && !s.busy.subarray(life.first, life.last + 1).includes(1)) best = s
    if (best === undefined) {
      best = { bytes: 0, busy: new Uint8Array(end) }
      slots.push(best)
    }
    best.bytes = Math.max(best.bytes, life.bytes)
    best.busy.fill(1, life.first, life.last + 1)
    of[i] = slots.indexOf(best)
  }
  return { slots: slots.map((s) => s.bytes), of }
}
