/** Formats as devices hold them, with wider numbers or with scales across: the weights and any range of their bytes the same. */
import { expect, test } from "vitest"
import { randomPlanes } from "../../cli/bench/random-formats.js"
import { acrossFormat, acrossReader } from "../../runtime/weights/formats/across.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { wideFormat, wideReader } from "../../runtime/weights/formats/wide.js"

const kinds = {
  wide: { held: wideFormat, reader: wideReader, names: ["q8_0", "q4_k", "int8-g32-bf16"] },
  across: {
    held: acrossFormat,
    reader: acrossReader,
    names: ["q8_0", "q4_k", "q6_k", "q5_k", "q5_1", "int8-g32-bf16", "int4-g64", "int8-g32-f32"],
  },
}

test.each(Object.entries(kinds))("%s: the weights, and any range of the bytes", async (_, { held, reader, names }) => {
  for (const name of names) {
    const format = formatNamed(name)!
    const other = held(format)
    expect(other, name).not.toBe(format)
    expect(formatNamed(other.name)).toBe(other)
    const shape = [3, 5, 512]
    const bytes = randomPlanes(format, shape, 3)(0, new Uint8Array(formatBytes(format, shape)))
    const read = reader(format, shape, async (from, length, into = new Uint8Array(length)) => {
      into.set(bytes.subarray(from, from + length))
      return into
    })
    const size = formatBytes(other, shape)
    const whole = await read(0, size)
    expect(decodeTensor(other, shape, whole)).toEqual(decodeTensor(format, shape, bytes))
    for (let at = 0; at < size; at += 701) {
      const length = Math.min(size - at, 997)
      expect(await read(at, length)).toEqual(whole.slice(at, at + length))
    }
  }
})

test("wide numbers have 32 bits, and integers stay", () => {
  for (const name of kinds.wide.names) {
    const fields = (of: string) => formatNamed(of)!.planes.map((p) => p.field)
    expect(fields(`${name}-wide`)).toEqual(fields(name).map((f) => (f === "f16" || f === "bf16" ? "f32" : f)))
  }
})

test("scales across are those of several weights that have an order and rows of their own", () => {
  const across = (name: string) => acrossFormat(formatNamed(name)!).planes.flatMap((p) => (p.across ? [p.name] : []))
  expect(across("q4_k")).toEqual(["scale", "minimum", "blockScale", "blockMinimum"])
  expect(across("q8_0")).toEqual(["scale"])
  expect(across("q5_0")).toEqual(["scale"])
  expect(across("int4-g32")).toEqual(["scale", "zero"])
  const pairs = (name: string) => acrossFormat(formatNamed(name)!).planes.flatMap((p) => (p.paired ? [p.name] : []))
  expect(["q6_k", "q5_k", "q5_0", "q4_k", "int2-g64"].map(pairs)).toEqual([["high"], ["high"], ["high"], [], []])
  for (const name of ["int4-g32-ordered", "fp8-128x128", "fp8-row", "int8-row-symmetric"]) {
    expect(across(name), name).toEqual([])
    expect(acrossFormat(formatNamed(name)!)).toBe(formatNamed(name))
  }
  // Rows of a column are neighbours: of the second row, 32 columns on, the fourth number of two rows.
  const format = acrossFormat(formatNamed("q8_0")!)
  const bytes = new Uint8Array(formatBytes(format, [2, 64]))
  new Uint32Array(bytes.buffer).fill(0x01010101, 0, 32)
  const [, scale] = planeLayout(format, [2, 64])
  new Uint16Array(bytes.buffer, scale!.offset, 4).set([0x3c00, 0x4000, 0x4200, 0x4400])
  const weights = decodeTensor(format, [2, 64], bytes)
  expect([0, 32, 64, 96].map((i) => weights[i])).toEqual([1, 3, 2, 4])
})

test("a format without such numbers is its own, and has no name besides", () => {
  const fp8 = formatNamed("fp8-row")!
  const wide = wideFormat(fp8)
  expect(wide === fp8 || wide.planes.some((p) => p.field === "f32")).toBe(true)
  for (const name of ["q8_0-wide-wide", "q8_0-across-across", "none-wide", "none-across", "fp8-128x128-across"])
    expect(formatNamed(name), name).toBeUndefined()
})
