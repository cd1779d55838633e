/** Widening is exact: every 16-bit pattern, and float32 by its bits. */

import { expect, test } from "vitest"
import { isStoredType, tensorBytes, toFloat32 } from "../../runtime/weights/dtypes.js"
import { thrown } from "./support.js"

const every16 = Uint16Array.from({ length: 65536 }, (_, i) => i)
const bytesOf = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
const bitsOf = (numbers: Float32Array) => new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length)

test("every F16 pattern has the value of its formula", () => {
  const numbers = toFloat32("F16", bytesOf(every16))
  for (let word = 0; word < 65536; word++) {
    const exponent = (word >> 10) & 31
    const fraction = word & 1023
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
    const magnitude = exponent === 31 ? (fraction ? Number.NaN : Number.POSITIVE_INFINITY) : size
    if (!Object.is(numbers[word], word >> 15 ? -magnitude : magnitude)) expect.fail(`F16 ${word}: ${numbers[word]}`)
  }
})

test("every BF16 pattern is the upper half of a float32", () => {
  const bits = bitsOf(toFloat32("BF16", bytesOf(every16)))
  expect(bits.every((word, index) => word === index * 65536)).toBe(true)
})

test("F32 keeps its bits, NaN payloads included, in a new array", () => {
  const words = new Uint32Array([0, 0x80000000, 1, 0x7f800001, 0xffc12345, 0x7f800000, 0x3f800000])
  const numbers = toFloat32("F32", bytesOf(words))
  expect([...bitsOf(numbers)]).toEqual([...words])
  expect(numbers.buffer).not.toBe(words.buffer)
})

test("F64 is rounded to nearest even", () => {
  expect([...toFloat32("F64", bytesOf(new Float64Array([0.1, 1 + 2 ** -24, 1 + 3 * 2 ** -24, -1e300])))]).toEqual([
    Math.fround(0.1),
    1,
    1 + 2 ** -22,
    Number.NEGATIVE_INFINITY,
  ])
})

test("bytes may begin anywhere, also in a Node buffer", () => {
  const padded = new Uint8Array([9, 0, 0, 128, 63, 0, 0, 0, 192])
  expect([...toFloat32("F32", padded.subarray(1))]).toEqual([1, -2])
  expect([...toFloat32("F32", Buffer.from(padded.buffer, 1, 8))]).toEqual([1, -2])
})

test("half an element is refused", async () => {
  expect(await thrown(() => toFloat32("BF16", new Uint8Array(3)))).toBe(
    "checkpoint/size: 3 bytes are not a whole number of BF16 elements\nhint: read a multiple of 2 bytes",
  )
})

test("the table has no inherited names, and sizes do not round", () => {
  expect(isStoredType("BF16")).toBe(true)
  expect(isStoredType("constructor")).toBe(false)
  expect(tensorBytes("F32", [3, 0])).toBe(0)
  expect(tensorBytes("U8", [2 ** 26, 2 ** 26])).toBe(2 ** 52)
  expect(tensorBytes("F32", [2 ** 26, 2 ** 26])).toBeUndefined()
})
