/**
 * Statements of the loop language executed on the adapter: each claim is one small kernel, all are compiled together and run in one submit.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { add, apply, fetch, lane, literal, mul, splat, variable, vector } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import { storageType } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import { wgslKernel } from "../../compiler/targets/wgsl/emit.js"
import type { DeviceBuffer } from "../../runtime/devices/device.js"
import { createWebgpuDevice, type WebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import { toFloat32 } from "../../runtime/weights/dtypes.js"
import { available } from "../devices/conformance.js"

const v = (name: string, dtype: DType = "i32", width = 1) => variable(name, dtype, width)
const n = (value: number) => literal(value)
const f = (value: number) => literal(value, "f32")
const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
const bind = (name: string, value: Expression, mutable = false): Statement => ({ kind: "let", name, value, mutable })
const serial = (name: string, extent: number, ...body: Statement[]): Statement => ({
  kind: "for",
  variable: name,
  extent: n(extent),
  bind: "serial",
  body,
})
const barrier: Statement = { kind: "barrier" }

interface Claim {
  readonly lanes: number
  readonly extent?: number
  readonly groups?: number
  readonly buffers: readonly (readonly [
    name: string,
    storage: Storage,
    access: LoopBuffer["access"],
    elements: number,
  ])[]
  readonly shared?: readonly (readonly [name: string, size: number, dtype?: DType])[]
  readonly body: readonly Statement[]
  /** Iterations of the lane loop, when fewer than the lanes. */
  readonly active?: number
  readonly input: Readonly<Record<string, ArrayBufferView>>
}

function kernelOf(name: string, c: Claim): LoopKernel {
  const buffers = c.buffers.map(
    ([b, storage, access, size]): LoopBuffer => ({
      name: b,
      dtype: storageType(storage),
      storage,
      size: n(size),
      access,
    }),
  )
  const lanes: Statement = { kind: "for", variable: "l", extent: n(c.active ?? c.lanes), bind: "lane", body: c.body }
  const shared = (c.shared ?? []).map(
    ([s, size, dtype = "f32"]): Statement => ({ kind: "alloc", name: s, dtype, size, space: "shared" }),
  )
  const grid: Statement = {
    kind: "for",
    variable: "g",
    extent: n(c.extent ?? 1),
    bind: "grid",
    body: [...shared, lanes],
  }
  return { name, buffers, symbols: [], threads: c.lanes, groups: c.groups ?? 1, body: [grid] }
}

const iota = (size: number, of = (i: number) => i) => Float32Array.from({ length: size }, (_, i) => of(i))
const words16 = Uint16Array.from({ length: 65536 }, (_, i) => i)
const bf16 = (xs: Float32Array) => Uint16Array.from(new Uint32Array(xs.buffer), (b) => b >>> 16)
const at = add(mul(v("g"), n(64)), v("l"))

/** Values between two f16 or bf16, exact ones, ties, the edges of the ranges. */
const rounded = iota(4096, (i) => {
  const sign = i % 2 === 0 ? 1 : -1
  const edges = [
    0,
    65504,
    65519,
    65520,
    65536,
    1e6,
    2 ** -14,
    2 ** -24,
    2 ** -25,
    1.5 * 2 ** -24,
    2 ** -26,
    1 + 2 ** -11,
    1 + 3 * 2 ** -11,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    3.4e38,
  ]
  return sign * (i < 32 ? edges[i >> 1]! : Math.abs(Math.sin(i)) * 2 ** ((i % 48) - 28))
})

const staged = add(mul(v("s"), n(8)), v("l"))
const column = (width: number) => mul(v("i"), n(width))
/** A row's element times `width` columns. */
function term(k: number, width: number): Expression {
  const left = fetch("as", add(mul(v("l"), n(k)), v("k")), "f32")
  const right = fetch("bs", add(mul(v("k"), n(8)), column(width)), "f32", width)
  return mul(width === 1 ? left : splat(left, width), right)
}
const product = (k: number, width: number): Claim => ({
  lanes: 8,
  buffers: [
    ["a", "bf16", "read", 8 * k],
    ["b", "f32", "read", k * 8],
    ["c", "f32", "write", 64],
  ],
  shared: [
    ["as", 8 * k],
    ["bs", k * 8],
  ],
  body: [
    serial("s", k, store("as", staged, fetch("a", staged, "f32")), store("bs", staged, fetch("b", staged, "f32"))),
    barrier,
    { kind: "alloc", name: "acc", dtype: "f32", size: 8, space: "register" },
    serial("i", 8 / width, store("acc", column(width), width === 1 ? f(0) : splat(f(0), width))),
    serial(
      "k",
      k,
      serial(
        "i",
        8 / width,
        store("acc", column(width), add(fetch("acc", column(width), "f32", width), term(k, width))),
      ),
    ),
    serial(
      "o",
      8 / width,
      store("c", add(mul(v("l"), n(8)), mul(v("o"), n(width))), fetch("acc", mul(v("o"), n(width)), "f32", width)),
    ),
  ],
  input: { a: bf16(iota(8 * k, (i) => (i % 7) - 3)), b: iota(8 * k, (i) => (i % 5) - 2) },
})

const widening = (storage: "bf16" | "f16", width: number): Claim => ({
  lanes: 64,
  extent: 1024 / width,
  groups: 16,
  buffers: [
    ["x", storage, "read", 65536],
    ["y", "u32", "write", 65536],
  ],
  body: [store("y", mul(at, n(width)), apply("bits", fetch("x", mul(at, n(width)), "f32", width)))],
  input: { x: words16 },
})
const narrowing = (storage: "bf16" | "f16", width: number): Claim => ({
  lanes: 64,
  extent: 64 / width,
  buffers: [
    ["x", "f32", "read", 4096],
    ["y", storage, "write", 4096],
  ],
  body: [store("y", mul(at, n(width)), fetch("x", mul(at, n(width)), "f32", width))],
  input: { x: rounded },
})

const eight = v("e", "f32", 8)
const claims: Readonly<Record<string, Claim>> = {
  product: product(16, 4),
  "scalar product": product(5, 1),
  "widen bf16 1": widening("bf16", 1),
  "widen bf16 8": widening("bf16", 8),
  "widen f16 1": widening("f16", 1),
  "widen f16 4": widening("f16", 4),
  "narrow bf16 2": narrowing("bf16", 2),
  "narrow bf16 8": narrowing("bf16", 8),
  "narrow f16 2": narrowing("f16", 2),
  "narrow f16 4": narrowing("f16", 4),
  shuffle: {
    lanes: 32,
    buffers: [
      ["x", "f32", "read", 32],
      ["y", "f32", "write", 32],
    ],
    body: [
      bind("s", fetch("x", v("l"), "f32"), true),
      { kind: "shuffle", name: "one", value: v("s", "f32"), mask: 1 },
      { kind: "assign", name: "s", value: add(v("s", "f32"), v("one", "f32")) },
      { kind: "shuffle", name: "two", value: v("s", "f32"), mask: 2 },
      store("y", v("l"), add(v("s", "f32"), v("two", "f32"))),
    ],
    input: { x: iota(32, (i) => i * i) },
  },
  bins: {
    lanes: 32,
    buffers: [
      ["x", "i32", "read", 32],
      ["y", "i32", "write", 32],
    ],
    shared: [["counts", 32, "i32"]],
    body: [
      store("counts", v("l"), n(0)),
      { kind: "barrier" },
      {
        kind: "store",
        array: "counts",
        offset: apply("bitand", fetch("x", v("l"), "i32"), n(3)),
        value: v("l"),
        adds: true,
      },
      { kind: "barrier" },
      store("y", v("l"), fetch("counts", v("l"), "i32")),
    ],
    input: { x: Int32Array.from({ length: 32 }, (_, i) => i * 3) },
  },
  "reversed eight": {
    lanes: 1,
    buffers: [
      ["x", "f32", "read", 8],
      ["y", "f32", "write", 8],
    ],
    body: [
      bind("e", fetch("x", n(0), "f32", 8), true),
      { kind: "assign", name: "e", value: vector([7, 6, 5, 4, 3, 2, 1, 0].map((i) => lane(eight, i))) },
      store("y", n(0), eight),
    ],
    input: { x: iota(8) },
  },
  "large grid": {
    lanes: 1,
    extent: 70000,
    groups: 70000,
    buffers: [["y", "i32", "write", 70000]],
    body: [store("y", v("g"), v("g"))],
    input: {},
  },
  "fewer lanes": {
    lanes: 8,
    active: 5,
    buffers: [["y", "i32", "write", 8]],
    body: [store("y", v("l"), n(1))],
    input: {},
  },
  "not numbers": {
    lanes: 4,
    buffers: [
      ["x", "u32", "read", 4],
      ["y", "i32", "write", 4],
      ["z", "u32", "write", 4],
    ],
    body: [
      store("y", v("l"), apply("toI32", apply("fromBits", fetch("x", v("l"), "u32")))),
      store("z", v("l"), apply("toU32", apply("fromBits", fetch("x", v("l"), "u32")))),
    ],
    input: { x: Uint32Array.of(0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000) },
  },
  unrolled: {
    lanes: 1,
    buffers: [["y", "bool", "write", 8]],
    body: [
      {
        kind: "for",
        variable: "i",
        extent: n(8),
        bind: "unroll",
        body: [bind("j", mul(v("i"), v("i"))), store("y", v("i"), apply("gt", v("j"), n(10)))],
      },
    ],
    input: {},
  },
}

const open = () => createWebgpuDevice()
const present = await available("webgpu", open)

describe.skipIf(!present)("statements on the adapter", () => {
  let device: WebgpuDevice
  const outputs = new Map<string, DeviceBuffer>()
  const names = Object.keys(claims)
  const read = async (claim: string, buffer = "y") => {
    const from = outputs.get(`${claim} ${buffer}`)!
    return (await device.read(from, 0, from.bytes)).slice().buffer
  }

  beforeAll(async () => {
    device = await open()
    const kernels = names.map((name) => kernelOf(name, claims[name]!))
    const texts = kernels.map((k) => wgslKernel(k, { symbolOrder: [], limits: device.adapterInfo.limits }))
    expect(await validateWgsl(texts)).toEqual([])
    const compiled = await device.compile({ kernels: texts }, 0)
    const commands = compiled.map((kernel, i) => {
      const claim = claims[names[i]!]!
      const buffers = claim.buffers.map(([name, storage, , size]) => {
        const buffer = device.allocate(size * (storage === "bf16" || storage === "f16" ? 2 : 4), name)
        const data = claim.input[name]
        if (data !== undefined) device.upload(buffer, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
        outputs.set(`${names[i]} ${name}`, buffer)
        return buffer
      })
      return { kernel, buffers, groups: kernels[i]!.groups }
    })
    device.submit([device.record(commands)], new Int32Array(0))
  })
  afterAll(() => device?.dispose())

  it.each([
    ["product", 16],
    ["scalar product", 5],
  ] as const)("%s through shared memory", async (claim, k) => {
    const a = (i: number) => (i % 7) - 3
    const b = (i: number) => (i % 5) - 2
    const expected = iota(64, (i) => {
      const [row, column] = [i >> 3, i & 7]
      return Array.from({ length: k }, (_, j) => a(row * k + j) * b(j * 8 + column)).reduce((x, y) => x + y, 0)
    })
    expect(new Float32Array(await read(claim, "c"))).toEqual(expected)
  })

  it.each(["bf16 1", "bf16 8", "f16 1", "f16 4"])("widens every word of %s exactly", async (claim) => {
    const bits = new Uint32Array(await read(`widen ${claim}`))
    const type = claim.startsWith("bf16") ? "BF16" : "F16"
    const expected = toFloat32(type, new Uint8Array(words16.buffer))
    const found = new Float32Array(bits.buffer)
    const wrong = [...expected.keys()].filter((i) => {
      // A subnormal f32 may be flushed.
      if (Math.abs(expected[i]!) < 2 ** -126) return Math.abs(found[i]!) >= 2 ** -126
      return !Object.is(found[i], expected[i])
    })
    expect(wrong).toEqual([])
  })

  it.each(["bf16 2", "bf16 8", "f16 2", "f16 4"])("rounds to the nearest %s, ties to even", async (claim) => {
    const half = new Uint16Array(await read(`narrow ${claim}`))
    const type = claim.startsWith("bf16") ? "BF16" : "F16"
    const widened = toFloat32(type, new Uint8Array(words16.buffer))
    const largest = type === "F16" ? 65504 : 3.3895313892515355e38
    const limit = type === "F16" ? 65520 : 3.3961775292304e38
    const wrong = [...rounded.keys()].filter((i) => {
      const [x, w] = [rounded[i]!, half[i]!]
      const found = widened[w]!
      if (Math.abs(x) >= limit) return found !== Math.sign(x) * Number.POSITIVE_INFINITY
      const distance = Math.abs(found - x)
      const others = [w - 1, w + 1].filter((o) => o >= 0 && o < 65536 && Math.abs(widened[o]!) <= largest)
      const nearer = others.some((o) => Math.abs(widened[o]! - x) < distance)
      const tie = others.some((o) => Math.abs(widened[o]! - x) === distance && (w & 1) === 1)
      return nearer || tie
    })
    expect(wrong.map((i) => `${rounded[i]} → ${half[i]}`)).toEqual([])
  })

  it("exchanges values between lanes", async () => {
    const expected = iota(32, (i) => [0, 1, 2, 3].map((j) => ((i & ~3) + j) ** 2).reduce((x, y) => x + y, 0))
    expect(new Float32Array(await read("shuffle"))).toEqual(expected)
  })

  it("adds what lanes bring to one element", async () => {
    const expected = new Int32Array(32)
    for (let l = 0; l < 32; l++) expected[(3 * l) & 3]! += l
    expect(new Int32Array(await read("bins"))).toEqual(expected)
  })

  it("assigns all lanes of a vector of eight at once", async () => {
    expect([...new Float32Array(await read("reversed eight"))]).toEqual([7, 6, 5, 4, 3, 2, 1, 0])
  })

  it("runs more workgroups than one dimension of a dispatch has", async () => {
    expect(new Int32Array(await read("large grid"))).toEqual(Int32Array.from({ length: 70000 }, (_, i) => i))
  })

  it("runs a lane loop on some of the lanes", async () => {
    expect([...new Int32Array(await read("fewer lanes"))]).toEqual([1, 1, 1, 1, 1, 0, 0, 0])
  })

  it("converts NaN to 0 and saturates infinities", async () => {
    expect([...new Int32Array(await read("not numbers"))]).toEqual([0, 0, 2147483647, -2147483648])
    expect([...new Uint32Array(await read("not numbers", "z"))]).toEqual([0, 0, 4294967295, 0])
  })

  it("stores truth values of an unrolled loop", async () => {
    expect([...new Uint32Array(await read("unrolled"))]).toEqual([0, 0, 0, 0, 1, 1, 1, 1])
  })
})
