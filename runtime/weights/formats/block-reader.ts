/**
 * Canonical bytes of a tensor out of the blocks of a file, as ranges ask for them.
 *
 *     q4_0 [1, 128], bytes 16 … 48   →   blocks 1 and 2 of the file, 36 bytes from 18 on, of which the codes are taken
 *
 * Each block has as many bytes of a plane as any other, so a range of a plane is a range of blocks.
 */
import { fault } from "../../errors.js"
import { type PlaneFill, planeReader, type RangeReader } from "./plane-reader.js"
import type { BlockType, Extract } from "./repack.js"

/** Bytes of blocks that are read at a time. */
const readBytes = 1 << 22
/** Bytes of blocks that are taken apart at a time: they stay in the processor's second cache. */
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
  const fill: PlaneFill = async ({ plane, byteLength }, from, part) => {
    const each = byteLength / blocks
    const end = Math.ceil((from + part.length) / each)
    const most = Math.floor(readBytes / bytes)
    for (let first = Math.floor(from / each); first < end; first += most) {
      const count = Math.min(most, end - first)
      const source = halfWords(await read(first * bytes, count * bytes))
      for (const [at, some] of piecesOf(count, Math.floor(chunkBytes / bytes))) {
        const found = source.subarray((at * bytes) / 2, ((at + some) * bytes) / 2)
        put(extract[plane.name]!, found, some, each, part, (first + at) * each - from)
      }
    }
  }
  return planeReader(format, shape, Object.fromEntries(format.planes.map(({ name }) => [name, fill])))
}

function* piecesOf(count: number, most: number): Generator<readonly [at: number, count: number]> {
  for (let at = 0; at < count; at += most) yield [at, Math.min(most, count - at)]
}

/** Writes the fields of some blocks, `each` bytes a block, at `at` of `part`, of which they may stand out at both ends. */
function put(extract: Extract, blocks: Uint16Array, count: number, each: number, part: Uint8Array, at: number) {
  const bytes = count * each
  const place = at >= 0 && at + bytes <= part.length ? part.subarray(at, at + bytes) : undefined
  if (place !== undefined && place.byteOffset % 4 === 0) return extract(blocks, count, place)
  const aside = new Uint8Array(bytes)
  extract(blocks, count, aside)
  part.set(aside.subarray(Math.max(0, -at), Math.min(bytes, part.length - at)), Math.max(0, at))
}

/** Bytes as half words: a view where they begin at an even place. */
function halfWords(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes)
  return new Uint16Array(even.buffer, even.byteOffset, even.length / 2)
}
