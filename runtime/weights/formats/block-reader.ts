/**
 * Canonical bytes of a tensor out of the blocks of a file, as ranges ask for them.
 *
 *     q4_0 [1, 128], bytes 16 … 48   →   blocks 1 and 2 of the file, 36 bytes from 18 on, of which the codes are taken
 *
 * Each block has as many bytes of a plane as any other, so a range of a plane is a range of blocks. A reader keeps the scales that it comes by
 * until they are asked for: make one for a tensor, not for each range.
 */
import { fault } from "../../errors.js"
import { keptPlanes } from "./kept-planes.js"
import { type PlaneLayout, planeLayout } from "./layout.js"
import { type PlaneFill, planeReader, type RangeReader } from "./plane-reader.js"
import type { BlockType, Extract } from "./repack.js"

/** Bytes of blocks that are read and taken apart at a time: they stay in the processor's second cache. */
const chunkBytes = 1 << 20
/** Memory that is read into again and again: to touch new memory takes as long as to read it. */
const idle: Uint8Array[] = []

/**
 * Reads a tensor in blocks as its canonical bytes.
 *
 * @param shape of the weights; the last dimension is a multiple of the format's block
 * @param read bytes of the blocks, from the beginning of the first on; they may have been read into `into`, which has their length
 */
export function blockReader(
  { format, bytes, extract }: BlockType,
  shape: readonly number[],
  read: (byteOffset: number, byteLength: number, into: Uint8Array) => Promise<Uint8Array>,
): RangeReader {
  if (shape.at(-1)! % format.block !== 0) throw fault(`rows of ${shape.at(-1)} weights in ${format.name}`)
  const blocks = shape.reduce((n, extent) => n * extent, 1) / format.block
  const [codes, ...others] = planeLayout(format, shape)
  const kept = keptPlanes(blocks)
  const underWay = new Set<Promise<void>>()
  const fillCodes: PlaneFill = async (layout, from, part) => {
    const work = fill(layout, from, part, others)
    underWay.add(work)
    return work.finally(() => underWay.delete(work))
  }
  const fillOther: PlaneFill = async (layout, from, part) => {
    // Which other ranges of the codes may bring along.
    await Promise.allSettled(underWay)
    const found = others.find(({ plane }) => plane === layout.plane)!
    if (!kept.take(found, from, part)) await fill(found, from, part, [])
  }
  const fill = async ({ plane, byteLength }: PlaneLayout, from: number, part: Uint8Array, along: typeof others) => {
    const each = byteLength / blocks
    const end = Math.ceil((from + part.length) / each)
    const most = Math.floor(chunkBytes / bytes)
    const memory = idle.pop() ?? new Uint8Array(chunkBytes)
    for (let first = Math.floor(from / each); first < end; first += most) {
      const count = Math.min(most, end - first)
      const halves = halfWords(await read(first * bytes, count * bytes, memory.subarray(0, count * bytes)))
      put(extract[plane.name]!, halves, count, each, part, first * each - from)
      for (const other of along)
        kept.keep(other, first, first + count, (into) => extract[other.plane.name]!(halves, count, into))
    }
    idle.push(memory)
  }
  return planeReader(format, shape, {
    ...Object.fromEntries(others.map(({ plane }) => [plane.name, fillOther])),
    [codes!.plane.name]: fillCodes,
  })
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
