/**
 * Formats for devices of which neighbours read several rows at once, and make pairs of halves of what they read: scales lie across, column by column, so that
 * those of a column are neighbours in memory, where they would be a row apart; thin fields lie so in their words that those of a pair are 16 bits apart, as
 * codes of four bits are whose numbers differ by four.
 *
 *     q8_0: scale f16 [rows, columns / 32]   →   q8_0-across: scale f16 [columns / 32, rows]
 *     q6_k: high u2, fields 0 1 2 3 4 5 …    →   q6_k-across: fields 0 1 2 3 8 9 10 11 | 4 5 6 7 12 13 14 15 in a word
 */
import type { Format, Plane } from "./format.js"
import { type PlaneLayout, planeLayout } from "./layout.js"
import { planeReader, type RangeReader } from "./plane-reader.js"

const suffix = "-across"
const made = new WeakMap<Format, Format>()

/** Planes of several weights each: of every row, and in order. */
const liesAcross = ({ per, rows, shared, by }: Plane): boolean =>
  per !== "row" && per > 1 && rows === 1 && shared !== true && by === undefined

/** Planes of the bits of a weight that its code has no room for: those of a pair come out of a word together then, as the codes do. */
const liesPaired = ({ field, per }: Plane, { planes }: Format): boolean =>
  per === 1 && (field === "u1" || field === "u2") && planes.some((p) => p.per === 1 && p.field === "u4")

/** The format as such devices hold it; itself where it has no such planes. */
export function acrossFormat(format: Format): Format {
  const known = made.get(format)
  if (known !== undefined) return known
  if (format.planes.some((p) => p.across || p.paired)) return format
  const planes = format.planes.map(
    (plane): Plane =>
      liesAcross(plane) ? { ...plane, across: true } : liesPaired(plane, format) ? { ...plane, paired: true } : plane,
  )
  const isOther = planes.some((plane, i) => plane !== format.planes[i])
  const across = isOther ? { ...format, name: `${format.name}${suffix}` as const, planes } : format
  made.set(format, across)
  return across
}

/** The name of the format that the one of this name is held so of, if it is one. */
export const alongName = (name: string): string | undefined =>
  name.endsWith(suffix) ? name.slice(0, -suffix.length) : undefined

/**
 * Reads the canonical bytes of the format as it is held so out of those of `format`: a plane of scales as a whole where any of it is asked for, which is
 * kept until all of it has been.
 *
 * @param read bytes of `format`; they may have been read into what it is given, and are not written to
 */
export function acrossReader(format: Format, shape: readonly number[], read: RangeReader): RangeReader {
  const kept = new Map<string, { readonly bytes: Promise<Uint8Array>; left: number }>()
  const fill = planeLayout(acrossFormat(format), shape).map((layout) => {
    const { plane, offset, byteLength } = layout
    return [
      plane.name,
      async (_: PlaneLayout, from: number, part: Uint8Array) => {
        if (plane.paired) {
          const first = from - (from % 4)
          const words = new Uint8Array(await read(offset + first, Math.ceil((from + part.length - first) / 4) * 4))
          part.set(paired(plane, words).subarray(from - first, from - first + part.length))
          return
        }
        if (!plane.across) {
          const bytes = await read(offset + from, part.length, part)
          if (bytes !== part) part.set(bytes)
          return
        }
        const whole = kept.get(plane.name) ?? { bytes: turned(layout, read), left: byteLength }
        kept.set(plane.name, whole)
        whole.left -= part.length
        if (whole.left <= 0) kept.delete(plane.name)
        try {
          part.set((await whole.bytes).subarray(from, from + part.length))
        } catch (cause) {
          // Whoever asks again reads again.
          if (kept.get(plane.name) === whole) kept.delete(plane.name)
          throw cause
        }
      },
    ] as const
  })
  return planeReader(acrossFormat(format), shape, Object.fromEntries(fill))
}

/**
 * Rows that are turned together: they stay in the processor's first cache. 151,936 rows of 128 halves took 28 to 44 ms by 32 of them, 170 to 445 all at once
 * (Node 20, an x86 processor).
 */
const together = 32

/** A plane, column by column. */
async function turned({ offset, byteLength, rows, fields, storage, wordsPerRow }: PlaneLayout, read: RangeReader) {
  const columns = wordsPerRow ?? fields
  const bytes = new Uint8Array(await read(offset, byteLength))
  const arrayOf = (of: Uint8Array) =>
    storage === "f16" || storage === "bf16" ? new Uint16Array(of.buffer) : new Uint32Array(of.buffer)
  const turnedBytes = new Uint8Array(byteLength)
  const [from, to] = [arrayOf(bytes), arrayOf(turnedBytes)]
  for (let first = 0; first < rows; first += together) {
    const end = Math.min(rows, first + together)
    for (let column = 0; column < columns; column++)
      for (let row = first, at = column * rows; row < end; row++) to[at + row] = from[row * columns + column]!
  }
  return turnedBytes
}

/** Words with their fields by pairs: `pairedPlace`. */
function paired({ field }: Plane, bytes: Uint8Array): Uint8Array {
  const words = new Uint32Array(bytes.buffer)
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    words[i] =
      field === "u2"
        ? (word & 0xff0000ff) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00)
        : nibbles(word) | (nibbles(word >>> 4) << 16)
  }
  return bytes
}

/** The lower four bits of each byte, one behind the other. */
function nibbles(word: number): number {
  const low = word & 0x0f0f0f0f
  const two = (low | (low >>> 4)) & 0x00ff00ff
  return (two | (two >>> 8)) & 0xffff
}
