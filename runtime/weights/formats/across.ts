/**
 * Formats whose scales lie across, column by column, for devices of which neighbours read the scales of several rows at once: those of a column are
 * neighbours in memory then, where they would be a row apart.
 *
 *     q8_0: scale f16 [rows, columns / 32]   →   q8_0-across: scale f16 [columns / 32, rows]
 */
import type { Format, Plane } from "./format.js"
import { type PlaneLayout, planeLayout } from "./layout.js"
import { planeReader, type RangeReader } from "./plane-reader.js"

const suffix = "-across"
const made = new WeakMap<Format, Format>()

/** Planes of several weights each: of every row, and in order. */
const liesAcross = ({ per, rows, shared, by }: Plane): boolean =>
  per !== "row" && per > 1 && rows === 1 && shared !== true && by === undefined

/** The format with scales that lie across; itself where it has no such planes. */
export function acrossFormat(format: Format): Format {
  if (!format.planes.some(liesAcross) || format.planes.some((p) => p.across)) return format
  const planes = format.planes.map((plane): Plane => (liesAcross(plane) ? { ...plane, across: true } : plane))
  const across = made.get(format) ?? { ...format, name: `${format.name}${suffix}` as const, planes }
  made.set(format, across)
  return across
}

/** The name of the format that the one of this name is the one with scales across of, if it is one. */
export const alongName = (name: string): string | undefined =>
  name.endsWith(suffix) ? name.slice(0, -suffix.length) : undefined

/**
 * Reads the canonical bytes of the format with scales across out of those of `format`, which `read` reads: a plane as a whole where any of it is asked for,
 * which is kept until all of it has been.
 */
export function acrossReader(format: Format, shape: readonly number[], read: RangeReader): RangeReader {
  const kept = new Map<string, { readonly bytes: Promise<Uint8Array>; left: number }>()
  const fill = planeLayout(acrossFormat(format), shape).map((layout) => {
    const { plane, offset, byteLength } = layout
    return [
      plane.name,
      async (_: PlaneLayout, from: number, part: Uint8Array) => {
        if (!plane.across) {
          await read(offset + from, part.length, part)
          return
        }
        const whole = kept.get(plane.name) ?? { bytes: turned(layout, read), left: byteLength }
        kept.set(plane.name, whole)
        whole.left -= part.length
        if (whole.left <= 0) kept.delete(plane.name)
        part.set((await whole.bytes).subarray(from, from + part.length))
      },
    ] as const
  })
  return planeReader(acrossFormat(format), shape, Object.fromEntries(fill))
}

/** A plane, column by column. */
async function turned({ offset, byteLength, rows, fields, storage, wordsPerRow }: PlaneLayout, read: RangeReader) {
  const columns = wordsPerRow ?? fields
  const bytes = new Uint8Array(await read(offset, byteLength))
  const arrayOf = (of: Uint8Array) =>
    storage === "f16" || storage === "bf16" ? new Uint16Array(of.buffer) : new Uint32Array(of.buffer)
  const turnedBytes = new Uint8Array(byteLength)
  const [from, to] = [arrayOf(bytes), arrayOf(turnedBytes)]
  for (let column = 0; column < columns; column++)
    for (let row = 0, at = column * rows; row < rows; row++) to[at + row] = from[row * columns + column]!
  return turnedBytes
}
