import { describe, expect, test } from "vitest"
import { Code, encodeModule, signed, unsigned } from "../../compiler/targets/wasm/encode.js"
import { withSharedMemory } from "../../runtime/devices/wasm/module.js"

describe("LEB128", () => {
  test("unsigned", () => {
    expect(unsigned(0)).toEqual([0])
    expect(unsigned(127)).toEqual([0x7f])
    expect(unsigned(128)).toEqual([0x80, 0x01])
    expect(unsigned(624485)).toEqual([0xe5, 0x8e, 0x26])
    expect(unsigned(0xffffffff)).toEqual([0xff, 0xff, 0xff, 0xff, 0x0f])
  })
  test("signed", () => {
    expect(signed(63)).toEqual([0x3f])
    expect(signed(64)).toEqual([0xc0, 0x00])
    expect(signed(-64)).toEqual([0x40])
    expect(signed(-123456)).toEqual([0xc0, 0xbb, 0x78])
    expect(signed(-2147483648)).toEqual([0x80, 0x80, 0x80, 0x80, 0x78])
  })
})

describe("modules", () => {
  test("have these bytes", () => {
    const code = new Code(["i32"])
    code.get(code.local("v128")).op("drop")
    code.get(0).integer(-1).memory("i32.store", 300)
    const module = encodeModule({ functions: [{ name: "f", code }], memory: { shared: false } })
    expect([...module]).toEqual(
      [
        [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
        [1, 5, 1, 0x60, 1, 0x7f, 0], // (i32) → ()
        [2, 18, 1, 3, 0x65, 0x6e, 0x76, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 0x01, 0, 0x80, 0x80, 0x04],
        [3, 2, 1, 0],
        [7, 5, 1, 1, 0x66, 0, 0],
        [10, 17, 1, 15, 1, 1, 0x7b, 0x20, 1, 0x1a, 0x20, 0, 0x41, 0x7f, 0x36, 2, 0xac, 0x02, 0x0b],
      ].flat(),
    )
    expect(WebAssembly.validate(module as Uint8Array<ArrayBuffer>)).toBe(true)
  })
  test("of either memory differ in one byte, which the runtime can set", () => {
    const functions = [{ name: "f", code: new Code(["i32", "i32"]) }]
    const alone = encodeModule({ functions, memory: { shared: false } })
    const shared = encodeModule({ functions, memory: { shared: true } })
    expect(alone.filter((b, i) => b !== shared[i])).toHaveLength(1)
    expect(withSharedMemory(alone)).toEqual(shared)
    expect(() => withSharedMemory(new Uint8Array(20))).toThrow("does not import its memory")
  })
  test("every instruction is valid", () => {
    const code = new Code(["i32", "f32", "v128"])
    const [i, f, v] = [0, 1, 2] as const
    code.get(v).get(v).shuffle([0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27]).set(v)
    code.get(v).lane("f32x4.extract_lane", 3).set(f)
    code.get(v).get(i).lane("i32x4.replace_lane", 2).set(v)
    code.get(i).get(v).memory("v128.store64_lane", 8, 0)
    code.get(i).get(i).memory("i32.store", 4)
    code.block().loop().get(i).branchIf(1).get(i).if("f32").float(1.5).else().get(f).end().set(f).branch(0).end().end()
    const module = encodeModule({ functions: [{ name: "f", code }], memory: { shared: false } })
    expect(WebAssembly.validate(module as Uint8Array<ArrayBuffer>)).toBe(true)
  })
})
