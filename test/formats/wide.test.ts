/** Wide formats: numbers of 32 bits in place of 16, the weights and any range of their bytes the same. */
import { expect, test } from "vitest"
import { randomPlanes } from "../../cli/bench/random-formats.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes } from "../../runtime/weights/formats/layout.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { wideFormat, wideReader } from "../../runtime/weights/formats/wide.js"

test("numbers are widened, integers stay, and the weights are what they were", async () => {
  for (const name of ["q8_0", "q4_k", "int8-g32-bf16"]) {
    const narrow = formatNamed(name)!
    const wide = wideFormat(narrow)
    expect(formatNamed(wide.name)).toBe(wide)
    expect(wide.planes.map((p) => p.field)).not.toContain("f16")
    const shape = [3, 512]
    const bytes = randomPlanes(narrow, shape, 3)(0, new Uint8Array(formatBytes(narrow, shape)))
    const read = wideReader(narrow, shape, async (from, length) => bytes.slice(from, from + length))
    const size = formatBytes(wide, shape)
    const whole = await read(0, size)
    expect(decodeTensor(wide, shape, whole)).toEqual(decodeTensor(narrow, shape, bytes))
    for (let at = 0; at < size; at += 701) {
      const length = Math.min(size - at, 997)
      expect(await read(at, length)).toEqual(whole.slice(at, at + length))
    }
  }
})

test("a format without such numbers is its own, and has no name besides", () => {
  const fp8 = formatNamed("fp8-row")!
  const wide = wideFormat(fp8)
  expect(wide === fp8 || wide.planes.some((p) => p.field === "f32")).toBe(true)
  expect(formatNamed("q8_0-wide-wide")).toBeUndefined()
  expect(formatNamed("none-wide")).toBeUndefined()
})
