/** Rows of weights out of whatever they are stored in, some at a time: those of the whole. */
import { describe, expect, test } from "vitest"
import { rowChunks } from "../../cli/quantize/tensors.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import type { Format } from "../../runtime/weights/formats/format.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import type { WeightTensor } from "../../runtime/weights/parameters.js"

/** Canonical bytes whose fields are any, but for groups, which exist, and numbers, which are small. */
function randomBytes(format: Format, shape: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(formatBytes(format, shape))
  let state = 7
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state >>> 24
  }
  const groupsBy = format.planes.find(({ by }) => by !== undefined)
  for (const { plane, offset, byteLength, storage } of planeLayout(format, shape)) {
    for (let i = offset; i < offset + byteLength; i++) {
      const high = storage === "f32" ? i % 4 === 3 : i % 2 === 1
      bytes[i] = storage === "u32" ? next() : high ? 0x38 | (next() & 0x81) : next()
    }
    if (plane.name === groupsBy?.by)
      for (let i = offset; i < offset + byteLength; i += 2)
        bytes.set([next() % Math.ceil(shape[1]! / Number(groupsBy!.per)), 0], i)
  }
  return bytes
}

async function chunksOf(format: Format, shape: readonly number[], head: number | undefined, most: number) {
  const bytes = randomBytes(format, shape)
  const tensor = { name: "a", dtype: format.name, shape } as unknown as WeightTensor
  const read: Checkpoint["read"] = async (_, from = 0, length = bytes.length - from, into = new Uint8Array(length)) => {
    into.set(bytes.subarray(from, from + length))
    return into
  }
  const chunks: Float32Array[] = []
  for await (const chunk of rowChunks({ read }, { name: "b", shape, parts: [tensor], head }, most)) chunks.push(chunk)
  return { chunks, whole: decodeTensor(format, shape, bytes) }
}

describe.each(["q8_0", "q4_k", "q6_k", "int4-g64", "int4-g64-ordered", "fp8-128x128"])("%s", (name) => {
  const format = formatNamed(name)
  test("rows by rows", async () => {
    expect(format).toBeDefined()
    const { chunks, whole } = await chunksOf(format!, [300, 128], undefined, 40 * 128)
    expect(chunks.length).toBe(name.startsWith("fp8") ? 3 : 8)
    expect(chunks.flatMap((chunk) => [...chunk])).toEqual([...whole])
  })
})

test("the halves of heads in turns", async () => {
  const { chunks, whole } = await chunksOf(formatNamed("q8_0")!, [48, 32], 8, 9 * 32)
  expect(chunks.length).toBe(6)
  const turned = chunks.flatMap((chunk) => [...chunk])
  for (let row = 0; row < 48; row++) {
    const [head, r] = [row - (row % 8), row % 8]
    const to = head + (r < 4 ? 2 * r : 2 * (r - 4) + 1)
    expect(turned.slice(to * 32, (to + 1) * 32), `${row}`).toEqual([...whole.subarray(row * 32, (row + 1) * 32)])
  }
})
