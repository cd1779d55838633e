import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  allocateBuffer,
  fromBytes,
  memoryOf,
  readElement,
  roundToStorage,
  toBytes,
  writeElement,
} from "../../compiler/interpret/memory.js"
import { toFloat32 } from "../../runtime/weights/dtypes.js"

/** Every value of a 16-bit storage, by its bits, as the checkpoint reader decodes it. */
const words = Uint16Array.from({ length: 65536 }, (_, i) => i)
const decoded = {
  f16: toFloat32("F16", new Uint8Array(words.buffer)),
  bf16: toFloat32("BF16", new Uint8Array(words.buffer)),
}
const anyFloat = fc.oneof(
  fc.float(),
  fc.float({ min: Math.fround(-70000), max: Math.fround(70000) }),
  fc.float({ min: Math.fround(-1e-4), max: Math.fround(1e-4) }),
)

describe("memory", () => {
  for (const storage of ["f16", "bf16"] as const) {
    it(`decodes and encodes all 65,536 values of ${storage}`, () => {
      const memory = fromBytes(storage, new Uint8Array(words.buffer))
      expect(memory.values).toEqual(decoded[storage])
      const back = new Uint16Array(toBytes(memory).buffer)
      const wrong = words.filter((w) => back[w] !== w && !Number.isNaN(memory.values[w]))
      expect([...wrong]).toEqual([])
    })

    it(`rounds to the nearest ${storage}, halves to even`, () => {
      // Neighbours in size are neighbours in bits; the even one has an even word.
      const infinity = storage === "f16" ? 0x7c00 : 0x7f80
      const sizeOf = (word: number) =>
        word === infinity ? 2 ** (storage === "f16" ? 16 : 128) : decoded[storage][word]!
      fc.assert(
        fc.property(anyFloat, (x) => {
          const rounded = roundToStorage(storage, x)
          if (Number.isNaN(x)) {
            expect(rounded).toBeNaN()
            return
          }
          let [low, high] = [0, infinity]
          while (high - low > 1) {
            const middle = (low + high) >> 1
            if (sizeOf(middle) <= Math.abs(x)) low = middle
            else high = middle
          }
          const [below, above] = [Math.abs(x) - sizeOf(low), sizeOf(high) - Math.abs(x)]
          const word = below < above || (below === above && low % 2 === 0) ? low : high
          const size = decoded[storage][word]!
          expect(rounded).toBe(x < 0 || Object.is(x, -0) ? -size : size)
        }),
        { numRuns: 3000 },
      )
    })
  }

  it("lets f16 overflow to infinity from 65520 on, and keeps subnormals", () => {
    const x = [65504, 65519.99, 65520, -1e6, 2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, 2 ** -15 + 2 ** -25]
    const infinity = Number.POSITIVE_INFINITY
    expect(x.map((e) => roundToStorage("f16", e))).toEqual([
      65504,
      65504,
      infinity,
      -infinity,
      2 ** -24,
      0,
      2 ** -24,
      2 ** -15,
    ])
    expect(roundToStorage("bf16", 3.4e38)).toBe(infinity)
    expect(roundToStorage("bf16", 1 + 2 ** -8)).toBe(1)
    expect(roundToStorage("bf16", 1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6)
  })

  it("wraps integers, makes bools 0 or 1, and never rounds f64", () => {
    expect([...memoryOf("i32", [2 ** 31, -1, 1.9]).values]).toEqual([-(2 ** 31), -1, 1])
    expect([...memoryOf("u32", [-1, 2 ** 32]).values]).toEqual([2 ** 32 - 1, 0])
    expect([...fromBytes("bool", new Uint8Array(Uint32Array.of(0, 7).buffer)).values]).toEqual([0, 1])
    expect([...memoryOf("f64", [0.1]).values]).toEqual([0.1])
    expect([...memoryOf("f32", [0.1]).values]).toEqual([Math.fround(0.1)])
  })

  it("reads what was written, through the storage", () => {
    const memory = allocateBuffer("f32", "bf16", 2)
    writeElement(memory, 1, 3.15)
    expect([readElement(memory, 0), readElement(memory, 1)]).toEqual([0, 3.15625])
    expect([...toBytes(memory)]).toEqual([0, 0, 0x4a, 0x40])
    expect(() => allocateBuffer("i32", "bf16", 2)).toThrow("bf16 does not hold i32")
  })
})
