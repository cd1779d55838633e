import { setFlagsFromString } from "node:v8"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Code, encodeModule } from "../../compiler/targets/wasm/encode.js"
import { hasMultiplyAdd, withMultiplyAdd } from "../../runtime/devices/wasm/module.js"

const flag = "experimental-wasm-relaxed-simd"
const hadIt = hasMultiplyAdd()

/** b[0 … 3] = x · y + z, and b[4 … 7] = x · y + z that is not contractible. */
function module() {
  const code = new Code(["i32"])
  const load = (at: number) => code.get(0).memory("v128.load", at)
  code.get(0)
  load(0)
  load(16)
  code.multiplyAdd(() => load(32))
  code.memory("v128.store", 48).get(0)
  load(0)
  load(16)
  code.op("f32x4.mul")
  load(32)
  code.op("f32x4.add").memory("v128.store", 64)
  const name = "sums"
  // Another function in front and behind: places are those in the module.
  const functions = [
    { name: "before", code: new Code(["i32"]) },
    { name, code },
    { name: "behind", code: new Code(["i32", "i32"]) },
  ]
  return encodeModule({ functions, memory: { shared: false } })
}

/** x = y = 1 + 2^-12, z = -(1 + 2^-11): the product has a bit that rounding to f32 takes away. */
async function run(bytes: Uint8Array): Promise<readonly number[]> {
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 65536 })
  const { instance } = await WebAssembly.instantiate(bytes as Uint8Array<ArrayBuffer>, { env: { memory } })
  const x = 1 + 2 ** -12
  new Float32Array(memory.buffer, 65536, 12).set([x, x, x, x, x, x, x, x, ...Array(4).fill(-(1 + 2 ** -11))])
  ;(instance.exports.sums as (at: number) => void)(65536)
  return [...new Float32Array(memory.buffer, 65536 + 48, 8)]
}

describe("contractible sums", () => {
  beforeAll(() => {
    if (!hadIt) setFlagsFromString(`--${flag}`)
  })
  afterAll(() => {
    if (!hadIt) setFlagsFromString(`--no-${flag}`)
  })

  test("are products and sums as they come", async () => {
    expect(await run(module())).toEqual([0, 0, 0, 0, 0, 0, 0, 0])
  })
  // Of the six bytes of a mul and an add two are the same as in their places.
  test("become fused multiply-adds of the same length, and nothing else does", async () => {
    const plain = module()
    const fused = withMultiplyAdd(plain)
    expect(fused.length).toBe(plain.length)
    expect(fused.filter((b, i) => b !== plain[i])).toHaveLength(4)
    expect(hasMultiplyAdd()).toBe(true)
    const rest = 2 ** -24
    expect(await run(fused)).toEqual([rest, rest, rest, rest, 0, 0, 0, 0])
  })
  test("a module without any stays as it is", () => {
    const functions = [{ name: "f", code: new Code(["i32"]) }]
    const bytes = encodeModule({ functions, memory: { shared: false } })
    expect(withMultiplyAdd(bytes)).toEqual(bytes)
  })
  test("a list that names something else is refused", () => {
    const bytes = module()
    bytes[bytes.length - 1]! += 1
    expect(() => withMultiplyAdd(bytes)).toThrow("contractible")
  })
})
