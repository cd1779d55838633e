/**
 * Canonical bytes of a tensor out of the blocks of a file, as ranges ask for them.
 *
 *     q4_0 [1, 128], bytes 16 … 48   →   blocks 1 and 2 of the file, 36 bytes from 18 on, of which the codes are taken
 *
 * Each block has as many bytes of a plane as any other, so a range of a plane is a range of blocks.
 */
import { fault } from "../../errors.js"
import { checkRange } from "../source.js"
import { formatBytes, type PlaneLayout, planeLayout } from "./layout.js"
import type { BlockType } from "./repack.js"

/** Bytes from a place on; what is returned is `into`, where that is given, which has the length. */
export type RangeReader = (byteOffset: number, byteLength: number, into?: Uint8Array) => Promise<Uint8Array>

/** Bytes of blocks that are in hand at a time: they stay in the processor's second cache while they are taken apart. */
const chunkBytes = 1 << 18

/**
 * Reads a tensor in blocks as its canonical bytes.
 *
 * @param shape of the weights; the last dimension is a multiple of the format's block
 * @param read bytes of the blocks, from the beginning of the first on
 */
export function blockReader(
  { format, bytes, extract }: BlockType,
  shape: readonly number[],
  read: (byteOffset: number, byteLength: number) => Promise<Uint8Array>,
): RangeReader {
  if (shape.at(-1)! % format.block !== 0) throw fault(`rows of ${shape.at(-1)} weights in ${format.name}`)
  const blocks = shape.reduce((n, extent) => n * extent, 1) / format.block
  const layout = planeLayout(format, shape)
  const size = formatBytes(format, shape)

  /** Bytes `from … to` of a plane, from the beginning of `part` on. */
  const fill = async ({ plane, byteLength }: PlaneLayout, from: number, to: number, part: Uint8Array) => {
    const each = byteLength / blocks
    const chunk = Math.max(1, Math.floor(chunkBytes / bytes))
    const end = Math.ceil(to / each)
    const loaded = Math.floor((1 << 22) / bytes)
    for (let first = Math.floor(from / each); first < end; first += loaded) {
      const count = Math.min(loaded, end - first)
      const source = halfWords(await read(first * bytes, count * bytes))
      for (let done = 0; done < count; done += chunk) {
        const some = Math.min(chunk, count - done)
        const begin = (first + done) * each
        const found = source.subarray((done * bytes) / 2, ((done + some) * bytes) / 2)
        const whole = begin >= from && begin + some * each <= to
        const place = whole ? part.subarray(begin - from, begin - from + some * each) : undefined
        if (place !== undefined && place.byteOffset % 4 === 0) extract[plane.name]!(found, some, place)
        else {
          const aside = new Uint8Array(Math.ceil((some * each) / 4) * 4).subarray(0, some * each)
          extract[plane.name]!(found, some, aside)
          const skipped = Math.max(0, from - begin)
          const last = Math.min(some * each, to - begin)
          part.set(aside.subarray(skipped, last), begin + skipped - from)
        }
      }
    }
  }

  return async (byteOffset, byteLength, into = new Uint8Array(byteLength)) => {
    checkRange(format.name, size, byteOffset, byteLength)
    const end = byteOffset + byteLength
    let filled = byteOffset
    for (const plane of layout) {
      const from = Math.max(byteOffset, plane.offset)
      const to = Math.min(end, plane.offset + plane.byteLength)
      if (from >= to) continue
      into.fill(0, filled - byteOffset, from - byteOffset)
      await fill(plane, from - plane.offset, to - plane.offset, into.subarray(from - byteOffset, to - byteOffset))
      filled = to
    }
    into.fill(0, filled - byteOffset)
    return into
  }
}

/** Bytes as half words: a view where they begin at an even place. */
function halfWords(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes)
  return new Uint16Array(even.buffer, even.byteOffset, even.length / 2)
}
