/**
 * Any range of a tensor's canonical bytes, out of what fills ranges of its planes.
 *
 *     q8_0 [2, 64], bytes 120 … 132   →   bytes 120 … 128 of the codes, bytes 0 … 4 of the scales
 *
 * What lies between planes is zero.
 */
import { checkRange } from "../source.js"
import type { Format } from "./format.js"
import { formatBytes, type PlaneLayout, planeLayout } from "./layout.js"

/** Bytes from a place on; what is returned is `into`, where that is given, which has the length. */
export type RangeReader = (byteOffset: number, byteLength: number, into?: Uint8Array) => Promise<Uint8Array>

/** Writes bytes of a plane, from byte `from` of it on, into all of `part`, which may begin anywhere. */
export type PlaneFill = (layout: PlaneLayout, from: number, part: Uint8Array) => Promise<void>

/**
 * @param shape of the weights
 * @param fill by the names of the format's planes
 */
export function planeReader(
  format: Format,
  shape: readonly number[],
  fill: Readonly<Record<string, PlaneFill>>,
): RangeReader {
  const layout = planeLayout(format, shape)
  const size = formatBytes(format, shape)
  return async (byteOffset, byteLength, into = new Uint8Array(byteLength)) => {
    checkRange(format.name, size, byteOffset, byteLength)
    const end = byteOffset + byteLength
    let filled = byteOffset
    for (const plane of layout) {
      const from = Math.max(byteOffset, plane.offset)
      const to = Math.min(end, plane.offset + plane.byteLength)
      if (from >= to) continue
      into.fill(0, filled - byteOffset, from - byteOffset)
      await fill[plane.plane.name]!(plane, from - plane.offset, into.subarray(from - byteOffset, to - byteOffset))
      filled = to
    }
    into.fill(0, filled - byteOffset)
    return into
  }
}
