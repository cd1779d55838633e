/** Formats as devices hold them, with wider numbers or with scales across: the weights and any range of their bytes the same. */
import { expect, test } from "vitest"
import { randomPlanes } from "../../cli/bench/random-formats.js"
import { acrossFormat, acrossReader } from "../../runtime/weights/formats/across.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { wideFormat, wideReader } from "../../runtime/weights/formats/wide.js"
import { weightReader } from "../../runtime/weights/reader.js"

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
    const given = bytes.slice()
    const readView = reader(format, shape, async (from, length) => bytes.subarray(from, from + length))
    const size = formatBytes(other, shape)
    const whole = await read(0, size)
    expect(decodeTensor(other, shape, whole)).toEqual(decodeTensor(format, shape, bytes))
    for (let at = 0; at < size; at += 701) {
      const length = Math.min(size - at, 997)
      expect(await read(at, length)).toEqual(whole.slice(at, at + length))
      // What is in memory already is not read into what is given, nor written to.
      expect(await readView(at, length)).toEqual(whole.slice(at, at + length))
    }
    expect(bytes).toEqual(given)
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

test("what could not be read is read again", async () => {
  const format = formatNamed("q8_0")!
  const bytes = randomPlanes(format, [3, 64], 3)(0, new Uint8Array(formatBytes(format, [3, 64])))
  let isLost = true
  const read = acrossReader(format, [3, 64], async (from, length) => {
    if (isLost) throw new Error("lost")
    return bytes.subarray(from, from + length)
  })
  const [, scale] = planeLayout(format, [3, 64])
  for (let i = 0; i < 2; i++) await expect(read(scale!.offset, 4)).rejects.toThrow("lost")
  isLost = false
  expect(decodeTensor(acrossFormat(format), [3, 64], await read(0, bytes.length))).toEqual(
    decodeTensor(format, [3, 64], bytes),
  )
})

test.each(["q8_0-across", "q8_0-wide", "q8_0"])("what takes %s is said to take q8_0", async (format) => {
  const found = { name: "w", dtype: "q4_0", shape: [1, 32], file: "f", begin: 0, end: 18, byteLength: 18 } as const
  const read = weightReader({ read: async () => new Uint8Array(0) }, new Map([["w", found]]))
  const weight = { buffer: 0, offset: 0, tensor: "w", shape: [1, 32], storage: "u32", format } as const
  await expect(read(weight, 0, 4)).rejects.toThrow(/^w is q4_0, the artifact takes q8_0$/m)
})

test("a format without such numbers is its own, and has no name besides", () => {
  const fp8 = formatNamed("fp8-row")!
  const wide = wideFormat(fp8)
  expect(wide === fp8 || wide.planes.some((p) => p.field === "f32")).toBe(true)
  for (const name of ["q8_0-wide-wide", "q8_0-across-across", "none-wide", "none-across", "fp8-128x128-across"])
    expect(formatNamed(name), name).toBeUndefined()
})
