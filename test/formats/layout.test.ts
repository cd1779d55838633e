/** Where fields of quantized tensors are, what formats are called, and what their decode functions say of fields that are written here. */
import { describe, expect, test } from "vitest"
import { blockFormats } from "../../runtime/weights/formats/blocks.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import type { Arithmetic } from "../../runtime/weights/formats/format.js"
import { formatBytes, planeLayout } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"

const layoutOf = (name: string, shape: readonly number[]) =>
  planeLayout(formatNamed(name)!, shape).map(
    ({ plane, offset, byteLength, rows, fields, storage, wordsPerRow }) =>
      `${plane.name} ${offset}+${byteLength} ${storage} ${rows}x${fields}${wordsPerRow === undefined ? "" : `/${wordsPerRow}`}`,
  )

describe("layout", () => {
  test("planes follow each other from multiples of 16 bytes on, rows of fields begin at words", () => {
    expect(layoutOf("q8_0", [3, 64])).toEqual(["codes 0+192 u32 3x64/16", "scale 192+12 f16 3x2"])
    expect(layoutOf("q4_k", [2, 5, 256])).toEqual([
      "codes 0+1280 u32 10x256/32",
      "scale 1280+80 u32 10x8/2",
      "minimum 1360+80 u32 10x8/2",
      "blockScale 1440+20 f16 10x1",
      "blockMinimum 1472+20 f16 10x1",
    ])
    expect(layoutOf("int4-g32-ordered-bf16", [3, 68])).toEqual([
      "codes 0+108 u32 3x68/9",
      "scale 112+18 bf16 3x3",
      "zero 144+12 u32 3x3/1",
      "group 160+136 u32 1x68/34",
    ])
    expect(layoutOf("fp8-128x128", [130, 257])).toEqual(["codes 0+33800 u32 130x257/65", "scale 33808+24 f32 2x3"])
    expect(layoutOf("fp8-tensor", [4, 8])).toEqual(["codes 0+32 u32 4x8/2", "scale 32+4 f32 1x1"])
    expect(layoutOf("int8-row-symmetric", [0, 8])).toEqual(["codes 0+0 u32 0x8/2", "scale 0+0 f16 0x1"])
  })

  test("a byte of a K block more than its file has is all that alignment costs", () => {
    const inFiles = { q8_0: 34, q4_0: 18, q4_1: 20, q5_0: 22, q5_1: 24, iq4_nl: 18 }
    const inLargeFiles = { q4_k: 144, q5_k: 176, q6_k: 210, iq4_xs: 136 }
    for (const format of blockFormats) {
      const packed = { ...inFiles, ...inLargeFiles }[format.name as "q4_k"]
      const ours = formatBytes(format, [64, 4096]) / ((64 * 4096) / format.block)
      expect(ours / packed).toBeGreaterThanOrEqual(1)
      expect(ours / packed).toBeLessThan(1.03)
    }
  })
})

describe("names", () => {
  test("each format is found by its name, the same each time", () => {
    for (const name of [
      ...blockFormats.map((f) => f.name),
      "int4-g128",
      "int2-row",
      "int8-g64-symmetric-ordered-f32",
      "fp8-row",
      "fp8-1x128",
    ]) {
      expect(formatNamed(name)?.name).toBe(name)
      expect(formatNamed(name)).toBe(formatNamed(name))
    }
    for (const name of [
      "",
      "F16",
      "BF16",
      "q2_k",
      "Q4_K",
      "int3-g128",
      "int4-g0",
      "int4-ordered",
      "fp8",
      "fp8-0x1",
      "constructor",
    ])
      expect(formatNamed(name)).toBeUndefined()
  })
})

const numbers: Arithmetic<number> = {
  number: (x) => x,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  pick: (table, index) => table[index]!,
}

describe("decode", () => {
  test("a table is indexed, minima are taken off, halves of codes are joined", () => {
    const value = (name: string, fields: Record<string, number>) => formatNamed(name)!.decode(numbers, fields)
    expect(value("iq4_nl", { codes: 15, scale: 0.5 })).toBe(56.5)
    expect(value("q4_k", { codes: 3, scale: 5, minimum: 7, blockScale: 2, blockMinimum: 0.5 })).toBe(26.5)
    expect(value("q5_0", { codes: 15, high: 1, scale: 2 })).toBe(30)
    expect(value("q6_k", { codes: 1, high: 3, scale: -2, blockScale: 0.25 })).toBe(-8.5)
    expect(value("int4-g128-symmetric", { codes: 0, scale: 2 })).toBe(-16)
    expect(value("int8-g128", { codes: 255, scale: 2, zero: 250 })).toBe(10)
  })

  test("columns of an ordered format take the group that they name", () => {
    const format = formatNamed("int4-g4-ordered")!
    const bytes = new Uint8Array(formatBytes(format, [2, 8]))
    const at = Object.fromEntries(planeLayout(format, [2, 8]).map((l) => [l.plane.name, l.offset]))
    bytes.set([0x21, 0x43, 0x65, 0x87, 0xff, 0xff, 0xff, 0xff], at.codes)
    bytes.set(new Uint8Array(new Uint16Array([0x3c00, 0x4000, 0x3c00, 0x4400]).buffer), at.scale) // 1, 2, 1, 4
    bytes.set([0x10, 0, 0, 0, 0xf0, 0, 0, 0], at.zero) // 0, 1 and 0, 15
    bytes.set(new Uint8Array(new Uint16Array([1, 0, 1, 0, 0, 0, 1, 1]).buffer), at.group)
    expect([...decodeTensor(format, [2, 8], bytes)]).toEqual([0, 2, 4, 4, 5, 6, 12, 14, 0, 15, 0, 15, 15, 15, 0, 0])
  })

  test("the 254 numbers of eight bits", () => {
    const format = formatNamed("fp8-tensor")!
    const bytes = new Uint8Array(260)
    for (let i = 0; i < 256; i++) bytes[i] = i
    bytes.set(new Uint8Array(new Float32Array([1]).buffer), 256)
    const values = decodeTensor(format, [256], bytes)
    expect([0, 1, 7, 8, 0x38, 0x7e, 0x80, 0x81, 0xfe].map((i) => values[i])).toEqual([
      0,
      2 ** -9,
      7 * 2 ** -9,
      2 ** -6,
      1,
      448,
      -0,
      -(2 ** -9),
      -448,
    ])
    expect([...values.keys()].filter((i) => Number.isNaN(values[i]))).toEqual([0x7f, 0xff])
    for (let i = 1; i < 0x7f; i++) expect(values[i]! > values[i - 1]! && values[i | 0x80] === -values[i]!).toBe(true)
  })
})
