/** Blocks of GGUF files: repacked and decoded they are the numbers of gguf-py, and of ggml's own loops, to the last bit. */
import { readFileSync } from "node:fs"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { blockReader } from "../../runtime/weights/formats/block-reader.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { type BlockType, blockTypes } from "../../runtime/weights/formats/repack.js"
import { runs, seed } from "../laws/settings.js"
import { watched } from "../weights/support.js"
import { weightOf } from "./ggml.js"

const types: readonly (readonly [string, BlockType])[] = Object.entries(blockTypes)
const file = new URL("blocks.json", import.meta.url)
const vectors = JSON.parse(readFileSync(file, "utf8")) as Record<string, Record<"blocks" | "weights", string>>
const bytesOf = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"))
const bitsOf = (weights: Float32Array) => new Uint32Array(weights.buffer, weights.byteOffset, weights.length)

/** A tensor of random blocks; its numbers in half precision may be anything but infinite. */
function randomBlocks({ format, bytes, extract }: BlockType, count: number, seed: number): Uint8Array {
  const source = new Uint8Array(count * bytes)
  for (let i = 0, state = seed | 1; i < source.length; i++) {
    state = Math.imul(state, 1664525) + 1013904223
    source[i] = state >>> 23
  }
  // Where the halves are is read off what is taken for them.
  const place = new Uint16Array(1)
  for (const { name, field } of format.planes.filter((p) => p.field === "f16")) {
    const marked = Uint16Array.from({ length: bytes / 2 }, (_, i) => i)
    extract[name]!(marked, 1, new Uint8Array(place.buffer))
    expect(field).toBe("f16")
    for (let block = 0; block < count; block++) source[block * bytes + place[0]! * 2 + 1]! &= 0xbf
  }
  return source
}

describe("blocks", () => {
  test("each type is here with gguf-py's numbers", () => {
    expect(Object.keys(vectors).sort()).toEqual(types.map(([name]) => name).sort())
  })

  test.each(types)("%s decodes to the bits of gguf-py", async (name, type) => {
    const source = watched(bytesOf(vectors[name]!.blocks))
    const shape = [3, type.format.block]
    const read = blockReader(type, shape, (offset, length) => source.read(offset, length))
    const weights = decodeTensor(type.format, shape, await read(0, formatBytes(type.format, shape)))
    const expected = new Uint32Array(bytesOf(vectors[name]!.weights).buffer)
    expect(expected.length).toBe(3 * type.format.block)
    expect([...bitsOf(weights)]).toEqual([...expected])
  })

  test.each(types)("%s decodes to what ggml's loop makes of the block", async (name, type) => {
    const [rows, across] = [5, 3]
    const { block } = type.format
    const shape = [rows, across * block]
    const source = randomBlocks(type, rows * across, 7)
    const read = blockReader(type, shape, async (offset, length) => source.subarray(offset, offset + length))
    const weights = decodeTensor(type.format, shape, await read(0, formatBytes(type.format, shape)))
    const straight = Float32Array.from(weights, (_, i) => {
      const at = Math.floor(i / block) * type.bytes
      return weightOf[name]!(source.subarray(at, at + type.bytes), i % block)
    })
    expect([...bitsOf(weights)]).toEqual([...bitsOf(straight)])
  })
})

/** A tensor and ranges of its bytes. */
const ranges = fc.record({
  type: fc.constantFrom(...types),
  rows: fc.integer({ min: 1, max: 9 }),
  across: fc.integer({ min: 1, max: 5 }),
  odd: fc.boolean(),
  /** Where each of them begins, and how much of the rest it has. */
  parts: fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 6,
  }),
})

describe("ranges", () => {
  test("any bytes of a tensor are those of the whole, wherever they are put, and only their blocks are read", async () => {
    const property = fc.asyncProperty(ranges, ({ type: [, type], rows, across, odd, parts }) =>
      rangesAreSlices(type, [rows, across * type.format.block], odd, parts),
    )
    await fc.assert(property, { seed, numRuns: runs(300) })
  })

  test("a range that goes through several reads", async () => {
    const type = blockTypes.Q4_0
    const shape = [3, 4 * 1024 * 1024]
    const source = randomBlocks(type, (shape[0]! * shape[1]!) / 32, 3)
    const reads: number[] = []
    const read = blockReader(type, shape, async (offset, length) => {
      reads.push(length)
      return source.subarray(offset, offset + length)
    })
    const whole = await read(0, formatBytes(type.format, shape))
    expect(Math.max(...reads)).toBeLessThanOrEqual(1 << 22)
    const [codes] = planeLayout(type.format, shape)
    const [begin, end] = [1_000_001, codes!.byteLength - 77]
    const some = await read(begin, end - begin)
    expect(Buffer.compare(some, whole.subarray(begin, end))).toBe(0)
    // Of every thousandth block, four weights.
    for (let block = 0; block < source.length / 18; block += 1000)
      for (const j of [0, 15, 16, 31]) {
        const code = (whole[block * 16 + (j >> 1)]! >> ((j & 1) * 4)) & 15
        expect(code).toBe(j < 16 ? source[block * 18 + 2 + j]! & 15 : source[block * 18 + j - 14]! >> 4)
      }
  })

  test("planes that are asked for at a time are read once", async () => {
    const [type, shape] = [blockTypes.Q5_K, [512, 4096]]
    const source = randomBlocks(type, (512 * 4096) / 256, 5)
    let taken = 0
    const read = blockReader(type, shape, async (offset, length) => {
      taken += length
      await new Promise((done) => setImmediate(done))
      return source.subarray(offset, offset + length)
    })
    const pieces = planeLayout(type.format, shape).flatMap(({ offset, byteLength }) => {
      const half = Math.ceil(byteLength / 512) * 256
      return [
        [offset, half],
        [offset + half, byteLength - half],
      ] as const
    })
    const found = await Promise.all(pieces.map(([from, length]) => read(from, length)))
    expect(taken).toBe(source.length)
    const alone = blockReader(type, shape, async (offset, length) => source.subarray(offset, offset + length))
    for (const [i, [from, length]] of [...pieces.entries()].reverse())
      expect(Buffer.compare(found[i]!, await alone(from, length))).toBe(0)
    // Nothing is kept that was asked for: the same again is read again.
    await read(...pieces.at(-1)!)
    expect(taken).toBeGreaterThan(source.length)
  })

  test("ranges outside of the tensor are refused", async () => {
    const read = blockReader(blockTypes.Q8_0, [1, 32], async () => new Uint8Array(34))
    await expect(read(0, 35)).rejects.toThrow("35 bytes from byte 0")
    await expect(read(-1, 2)).rejects.toThrow("-1")
  })
})

async function rangesAreSlices(
  type: BlockType,
  shape: readonly number[],
  odd: boolean,
  parts: readonly (readonly [from: number, length: number])[],
) {
  const blocks = (shape[0]! * shape[1]!) / type.format.block
  const source = randomBlocks(type, blocks, shape[1]!)
  let taken = 0
  const reader = () =>
    blockReader(type, shape, async (offset, bytes) => {
      taken += bytes
      if (!odd) return source.subarray(offset, offset + bytes)
      const aside = new Uint8Array(bytes + 1).subarray(1)
      aside.set(source.subarray(offset, offset + bytes))
      return aside
    })
  const size = formatBytes(type.format, shape)
  const whole = await reader()(0, size)
  // What is in the codes' blocks is not read again for the other planes.
  expect(taken).toBe(source.length)
  const read = reader()
  const check = async ([from, length]: readonly [number, number]) => {
    const begin = Math.floor(from * size)
    const end = begin + Math.floor(length * (size - begin))
    const into = new Uint8Array(end - begin + 1).fill(0xa5).subarray(odd ? 1 : 0, end - begin + (odd ? 1 : 0))
    expect(await read(begin, end - begin, into)).toBe(into)
    expect(Buffer.compare(into, whole.subarray(begin, end))).toBe(0)
    return [begin, end] as const
  }
  taken = 0
  const [begin, end] = await check(parts[0]!)
  // What a range needs: of each plane its blocks and those that its ends are in, but for what the codes' have brought along.
  const touched = planeLayout(type.format, shape).map(({ offset, byteLength }) => {
    const [a, b] = [Math.max(begin, offset), Math.min(end, offset + byteLength)]
    const each = byteLength / blocks
    return a < b ? ([Math.floor((a - offset) / each), Math.ceil((b - offset) / each)] as const) : ([0, 0] as const)
  })
  const needed = touched.map(([a, b], i) => (i > 0 && a >= touched[0]![0] && b <= touched[0]![1] ? 0 : b - a))
  expect(taken).toBe(needed.reduce((n, count) => n + count * type.bytes, 0))
  for (const part of parts.slice(1)) await check(part)
  await Promise.all(parts.map(check))
}
