/** Weights in bf16 as f16: each number that f16 holds is the same, and rows that it does not hold are refused, however they are read. */
import { describe, expect, test } from "vitest"
import { allocateBuffer, fromBytes, toBytes, writeElement } from "../../compiler/interpret/memory.js"
import { roundToHalf } from "../../compiler/ir/operations.js"
import type { ArtifactWeight } from "../../runtime/artifact.js"
import { narrower } from "../../runtime/weights/narrow.js"
import { weightReader } from "../../runtime/weights/reader.js"

const brainFloats = (values: readonly number[]): Uint8Array => {
  const made = allocateBuffer("f32", "bf16", values.length)
  for (const [i, value] of values.entries()) writeElement(made, i, value)
  return toBytes(made)
}
const read = (bytes: Uint8Array) => [...fromBytes("f16", bytes).values]

test("each bf16 in range becomes the nearest f16", () => {
  const all = fromBytes("bf16", new Uint8Array(Uint16Array.from({ length: 1 << 16 }, (_, i) => i).buffer)).values
  const finite = [...all].filter((x) => Math.abs(x) < 65536)
  expect(finite.length).toBeGreaterThan(36000)
  // One row: the largest of it are far above what is lost.
  const made = read(narrower("w", finite.length)(brainFloats(finite), 0))
  expect(finite.filter((x, i) => !Object.is(made[i], roundToHalf(x)))).toEqual([])
  expect(finite.filter((x, i) => (x === 0 || Math.abs(x) >= 2 ** -17) && made[i] !== x)).toEqual([])
})

describe("rows", () => {
  const narrowed = (rows: readonly (readonly number[])[]) => narrower("w", rows[0]!.length)(brainFloats(rows.flat()), 0)
  test.each<readonly [what: string, row: readonly number[], refused?: RegExp]>([
    ["as large as f16 goes", [65280, -65280, 1]],
    ["beyond it", [1, 65536, 1], /row 1 of "w" is too large for f16/],
    ["an infinity", [1, -Infinity, 1], /too large/],
    ["a NaN", [Number.NaN, 1, 1], /too large/],
    ["zeros", [0, -0, 0]],
    ["what is small beside others", [2 ** -13, 2 ** -20, 0]],
    ["small and exact", [2 ** -17, 2 ** -17, 0]],
    ["nothing but what is small", [2 ** -14, 2 ** -20, 0], /row 1 of "w" is too small for f16/],
  ])("%s", (_, row, refused) => {
    const rows = [[1, 2, 3], row as readonly number[], [4, 5, 6]]
    if (refused === undefined) expect(read(narrowed(rows))).toEqual(rows.flat().map((x) => roundToHalf(x)))
    else expect(() => narrowed(rows)).toThrow(refused)
  })

  test("that are read in parts count as a whole, in any order", () => {
    const rows = [
      [1, 2 ** -20, 0, 3],
      [2 ** -20, 2 ** -30, 0.5, 2 ** -20],
    ]
    const [bytes, narrow] = [brainFloats(rows.flat()), narrower("w", 4)]
    expect(read(narrow(bytes.subarray(12), 6))).toEqual([0.5, roundToHalf(2 ** -20)])
    expect(read(narrow(bytes.subarray(0, 12), 0))).toHaveLength(6)
    const small = narrower("w", 4)
    const wrong = brainFloats([2 ** -20, 2 ** -20, 0, 0])
    small(wrong.subarray(4), 2)
    expect(() => small(wrong.subarray(0, 4), 0)).toThrow(/row 0 of "w" is too small/)
  })
})

test("the reader narrows where it is told to, and nowhere else", async () => {
  const bytes = brainFloats([1, 2, 3, 4])
  const tensor = { name: "w", dtype: "BF16", shape: [2, 2] }
  const tensors = new Map([["w", tensor]]) as never
  const checkpoint = { read: async (_: unknown, at: number, length: number) => bytes.slice(at, at + length) } as never
  const weight = { tensor: "w", storage: "f16", shape: [2, 2] } as unknown as ArtifactWeight
  expect(read(await weightReader(checkpoint, tensors, true)(weight, 2, 4))).toEqual([2, 3])
  await expect(weightReader(checkpoint, tensors)(weight, 0, 8)).rejects.toMatchObject({ code: "checkpoint/storage" })
})
