/**
 * Formats whose numbers are widened to f32 while they are read, for devices that take long to widen one.
 *
 *     q8_0: codes i8, scale f16   →   q8_0-wide: codes i8, scale f32
 */
import { halfNumber } from "../half.js"
import type { Format, Plane } from "./format.js"
import { planeLayout } from "./layout.js"
import { type PlaneFill, planeReader, type RangeReader } from "./plane-reader.js"

const suffix = "-wide"
const made = new WeakMap<Format, Format>()

const isHalf = ({ field }: Plane): boolean => field === "f16" || field === "bf16"

/** The format with numbers of 32 bits; itself where it has no others. */
export function wideFormat(format: Format): Format {
  if (!format.planes.some(isHalf)) return format
  const planes = format.planes.map((plane): Plane => (isHalf(plane) ? { ...plane, field: "f32" } : plane))
  const wide = made.get(format) ?? { ...format, name: `${format.name}${suffix}` as const, planes }
  made.set(format, wide)
  return wide
}

/** The name of the format that the one of this name is the wide one of, if it is one. */
export const narrowName = (name: string): string | undefined =>
  name.endsWith(suffix) ? name.slice(0, -suffix.length) : undefined

/** Reads the canonical bytes of the wide format out of those of `format`, which `read` reads. */
export function wideReader(format: Format, shape: readonly number[], read: RangeReader): RangeReader {
  const wide = wideFormat(format)
  const fill = planeLayout(format, shape).map(({ plane, offset }): readonly [string, PlaneFill] => [
    plane.name,
    async (_, from, part) => {
      if (!isHalf(plane)) part.set(await read(offset + from, part.length))
      else {
        const first = from >> 2
        const halves = await read(offset + 2 * first, 2 * (Math.ceil((from + part.length) / 4) - first))
        part.set(widened(plane, halves).subarray(from - 4 * first, from - 4 * first + part.length))
      }
    },
  ])
  return planeReader(wide, shape, Object.fromEntries(fill))
}

/** The bytes of numbers in 32 bits, from those of as many in 16. */
function widened({ field }: Plane, halves: Uint8Array): Uint8Array {
  const view = new DataView(halves.buffer, halves.byteOffset, halves.byteLength)
  const numbers = new DataView(new ArrayBuffer(2 * halves.byteLength))
  for (let i = 0; i < halves.byteLength; i += 2) {
    const bits = view.getUint16(i, true)
    if (field === "bf16") numbers.setUint32(2 * i, bits << 16, true)
    else numbers.setFloat32(2 * i, halfNumber(bits), true)
  }
  return new Uint8Array(numbers.buffer)
}
