/**
 * Planes of scales that are taken out of blocks while the codes are, until they are asked for: the file is read once, not for each plane.
 *
 *     codes of blocks 0 … 500 are read   →   scales of blocks 0 … 500 are kept   →   they are asked for, all of them   →   nothing is kept
 */
import type { PlaneLayout } from "./layout.js"

interface Kept {
  readonly bytes: Uint8Array
  /** Blocks that are in `bytes`, in order. */
  ranges: readonly (readonly [first: number, end: number])[]
  /** Bytes that nobody has asked for. */
  left: number
}

export interface KeptPlanes {
  /** Keeps what `extract` writes for blocks from `first` to before `end`. */
  keep(layout: PlaneLayout, first: number, end: number, extract: (into: Uint8Array) => void): void
  /** Writes bytes of a plane from `from` on into `part`, if all of them are kept. */
  take(layout: PlaneLayout, from: number, part: Uint8Array): boolean
}

/** @param blocks of the tensor */
export function keptPlanes(blocks: number): KeptPlanes {
  const planes = new Map<PlaneLayout, Kept>()
  return {
    keep(layout, first, end, extract) {
      const { byteLength } = layout
      const kept = planes.get(layout) ?? { bytes: new Uint8Array(byteLength), ranges: [], left: byteLength }
      planes.set(layout, kept)
      const each = byteLength / blocks
      extract(kept.bytes.subarray(first * each, end * each))
      kept.ranges = merged([...kept.ranges, [first, end]])
    },
    take(layout, from, part) {
      const kept = planes.get(layout)
      const each = layout.byteLength / blocks
      const until = from + part.length
      if (!kept?.ranges.some(([first, end]) => first * each <= from && until <= end * each)) return false
      part.set(kept.bytes.subarray(from, until))
      kept.left -= part.length
      if (kept.left <= 0) planes.delete(layout)
      return true
    },
  }
}

/** Ranges in order, those that touch as one. */
function merged(ranges: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  const found: (readonly [number, number])[] = []
  for (const [first, end] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = found.at(-1)
    if (last !== undefined && first <= last[1]) found[found.length - 1] = [last[0], Math.max(last[1], end)]
    else found.push([first, end])
  }
  return found
}
