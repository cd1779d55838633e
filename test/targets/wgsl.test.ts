import { describe, expect, it } from "vitest"
import { sizeSymbol } from "../../compiler/ir/dim.js"
import { add, apply, fetch, lane, literal, mul, splat, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import { storageType } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { emitWgsl, type WgslOptions } from "../../compiler/targets/wgsl/emit.js"
import { defaultWgslLimits } from "../../compiler/targets/wgsl/limits.js"
import { literalText } from "../../compiler/targets/wgsl/types.js"

const v = (name: string, dtype: "i32" | "f32" = "i32", width = 1) => variable(name, dtype, width)
const n = (value: number) => literal(value)
const f = (value: number) => literal(value, "f32")
const at = (array: string, offset: Expression, width = 1) => fetch(array, offset, "f32", width)
const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
const buffer = (name: string, access: LoopBuffer["access"], storage: Storage = "f32"): LoopBuffer => ({
  name,
  dtype: storageType(storage),
  storage,
  size: n(64),
  access,
})
const x = buffer("x", "read")
const y = buffer("y", "write")

function kernel(body: readonly Statement[], buffers: readonly LoopBuffer[] = [x, y], threads = 4): LoopKernel {
  return { name: "kernel", buffers, symbols: [], threads, groups: 1, body }
}
const text = (k: LoopKernel, options: Partial<WgslOptions> = {}) =>
  emitWgsl(k, { symbolOrder: ["n"], unrollable: true, limits: { ...defaultWgslLimits, subgroups: true }, ...options })
    .source
/** The statements of `main`, without the two lines that number the workgroups. */
const main = (k: LoopKernel, options?: Partial<WgslOptions>) => {
  const lines = text(k, options).trimEnd().split("\n")
  const start = lines.findIndex((line) => line.includes("let workgroups"))
  return lines.slice(start + 1, -1).map((line) => line.replace(/^ {2}/, ""))
}
const body = (...statements: Statement[]) => main(kernel(statements))
const code = (k: LoopKernel, options?: Partial<WgslOptions>) => {
  try {
    text(k, options)
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe("a whole kernel", () => {
  it("binds the symbols, then the buffers; shares the grid out over the workgroups", () => {
    const length = sizeSymbol("n", 100, 10)
    const index = add(mul(v("g"), n(4)), v("l"))
    const guarded: Statement = {
      kind: "if",
      condition: apply("lt", index, length),
      body: [store("y", index, mul(at("x", index), f(2)))],
      otherwise: [],
    }
    const blocks = apply("floordiv", add(length, n(3)), n(4))
    const k: LoopKernel = {
      name: "twice",
      buffers: [x, y],
      symbols: ["n"],
      threads: 4,
      groups: 2,
      body: [
        {
          kind: "for",
          variable: "g",
          extent: blocks,
          bind: "grid",
          body: [{ kind: "for", variable: "l", extent: n(4), bind: "lane", body: [guarded] }],
        },
      ],
    }
    expect(text(k, { symbolOrder: ["a", "b", "c", "d", "m", "n"] })).toBe(`// twice
@group(0) @binding(0) var<uniform> symbols: array<vec4<i32>, 2>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(num_workgroups) workgroup_count: vec3<u32>,
    @builtin(local_invocation_index) local_index: u32) {
  let workgroup = i32(workgroup_id.x + workgroup_id.y * workgroup_count.x);
  let workgroups = i32(workgroup_count.x * workgroup_count.y);
  let n = symbols[1].y;
  let t1 = (n + 3) / 4;
  for (var g = workgroup; g < t1; g += workgroups) {
    {
      let l = i32(local_index);
      if (((g * 4) + l) < n) {
        let t2 = (g * 4) + l;
        y[t2] = x[t2] * 2f;
      }
    }
  }
}
`)
  })
})

describe("expressions", () => {
  it("names what a statement uses twice, and only that", () => {
    const d = apply("sub", at("x", v("workgroup")), f(1))
    const loop: Statement = {
      kind: "for",
      variable: "i",
      extent: n(2),
      bind: "serial",
      body: [store("y", v("i"), mul(apply("sub", at("x", v("i")), f(1)), apply("sub", at("x", v("i")), f(1))))],
    }
    expect(d.kind).toBe("operation")
    expect(body(loop)).toEqual(["for (var i = 0; i < 2; i += 1) {", "  let t1 = x[i] - 1f;", "  y[i] = t1 * t1;", "}"])
  })

  it("stays linear in the size of the graph", () => {
    let sum: Expression = at("x", n(0))
    for (let i = 0; i < 60; i++) sum = add(sum, sum)
    expect(text(kernel([store("y", n(0), sum)])).length).toBeLessThan(4000)
    let known: Expression = apply("toF32", v("i"))
    for (let i = 0; i < 60; i++) known = apply("mul", known, add(known, f(1)))
    const loop: Statement = {
      kind: "for",
      variable: "i",
      extent: n(3),
      bind: "serial",
      body: [store("y", n(0), known)],
    }
    expect(text(kernel([loop])).length).toBeLessThan(20000)
  })

  it("bounds the nesting of parentheses", () => {
    let sum: Expression = at("x", n(0))
    for (let i = 1; i < 200; i++) sum = add(sum, at("x", n(i)))
    expect(Math.max(...body(store("y", n(0), sum)).map((line) => line.split("(").length))).toBeLessThan(30)
  })

  it("splits vectors of 8 and divides their offsets", () => {
    const wide = mul(at("x", mul(v("i"), n(8)), 8), splat(f(2), 8))
    const loop: Statement = {
      kind: "for",
      variable: "i",
      extent: n(2),
      bind: "serial",
      body: [store("y", mul(v("i"), n(8)), wide)],
    }
    expect(body(loop)).toEqual([
      "for (var i = 0; i < 2; i += 1) {",
      "  let t1 = i * 2;",
      "  let t2 = x[t1] * vec4<f32>(2f);",
      "  let t3 = x[t1 + 1] * vec4<f32>(2f);",
      "  y[t1] = t2;",
      "  y[t1 + 1] = t3;",
      "}",
    ])
  })

  it("assembles vectors of an array that is also read by element", () => {
    const lines = body(store("y", n(0), add(lane(at("x", n(4), 4), 1), at("x", n(3)))))
    expect(lines).toEqual(["y[0] = vec4<f32>(x[4], x[5], x[6], x[7]).y + x[3];"])
  })

  it("reads eight packed values in one access and stores them in one", () => {
    const buffers = [buffer("x", "read", "bf16"), buffer("y", "write", "bf16")]
    const k = kernel([store("y", n(8), apply("neg", at("x", n(16), 8)))], buffers)
    expect(text(k)).toContain("var<storage, read> x: array<vec4<u32>>;")
    expect(main(k)).toEqual([
      "let t1 = x[2];",
      "let t2 = widenBf16x4(t1.xy);",
      "let t3 = widenBf16x4(t1.zw);",
      "let t4 = -t2;",
      "let t5 = -t3;",
      "y[1] = vec4<u32>(packBf16(t4.xy), packBf16(t4.zw), packBf16(t5.xy), packBf16(t5.zw));",
    ])
  })

  it("moves packed values as words, through shared memory, too", () => {
    const tile: Statement = { kind: "alloc", name: "tile", dtype: "f32", storage: "bf16", size: 16, space: "shared" }
    const move = [store("tile", n(4), at("x", n(16), 4)), store("tile", n(8), at("x", n(24), 4))]
    const k = kernel(
      [tile, ...move, store("y", n(0), at("tile", n(5)))],
      [buffer("x", "read", "bf16"), buffer("y", "write")],
    )
    expect(text(k)).toContain("var<workgroup> tile: array<u32, 8>;")
    expect(text(k)).toContain("var<storage, read> x: array<vec2<u32>>;")
    const same = kernel(
      [tile, ...move, store("y", n(0), at("tile", n(4), 4))],
      [buffer("x", "read", "bf16"), buffer("y", "write")],
    )
    expect(text(same)).toContain("var<workgroup> tile: array<vec2<u32>, 4>;")
    expect(main(same)).toEqual(["tile[1] = x[4];", "tile[2] = x[6];", "y[0] = widenBf16x4(tile[1]);"])
  })

  it("divides plainly where the dividend is known not to be negative", () => {
    const index = (of: Expression) => apply("floordiv", of, n(3))
    const loop = (of: Expression): Statement => ({
      kind: "for",
      variable: "i",
      extent: n(9),
      bind: "serial",
      body: [store("y", index(of), f(0))],
    })
    expect(body(loop(v("i")))[1]).toBe("  y[i / 3] = 0f;")
    expect(body(loop(add(v("i"), n(-1))))[1]).toBe("  y[floorDivide(i + (-1), 3)] = 0f;")
  })

  it("divides floats plainly by what is known to be below 2^125 only: WGSL promises nothing beyond 2^126", () => {
    const by = (divisor: Expression) => body(store("y", n(0), apply("div", at("x", n(0)), divisor)))
    expect(by(f(3))).toEqual(["y[0] = x[0] / 3f;"])
    expect(by(at("x", n(1)))).toEqual(["y[0] = quotient(x[0], x[1]);"])
    expect(by(apply("sqrt", at("x", n(1))))).toEqual(["y[0] = x[0] / sqrt(x[1]);"])
    expect(by(f(1e38)).at(-1)).toMatch(/^y\[0\] = quotient\(x\[0\], /)
  })

  it("keeps an operation on constants from WGSL's own evaluation", () => {
    expect(main(kernel([store("y", n(0), apply("exp", f(1)))]), { lacks: new Set() })).toEqual([
      "let t1 = 1f;",
      "y[0] = exp(t1);",
    ])
  })

  describe("that a driver may fold as with real numbers", () => {
    const [a, b, c] = [at("x", n(0)), at("x", n(1)), at("x", n(2))]
    const hides = (...body: Statement[]) => main(kernel(body)).join("\n").includes("bitcast<u32>(zero)")
    const alone = (value: Expression) => hides(store("y", n(0), value))
    const less = apply("sub", a, b)
    const counter = apply("toF32", v("i"))
    const loop = (bind: "serial" | "unroll", value: Expression): Statement => {
      return { kind: "for", variable: "i", extent: n(3), bind, body: [store("y", v("i"), value)] }
    }
    const define = (name: string, value: Expression): Statement => ({ kind: "let", name, value, mutable: false })

    it.each<[string, Expression]>([
      ["a sum with a part of it", apply("sub", less, a)],
      ["a sum with a part of it, by way of its bits", apply("sub", apply("fromBits", apply("bits", less)), a)],
      ["a value and its own negative", add(a, mul(a, f(-1)))],
      ["a value and a choice that it may be", apply("sub", apply("select", apply("lt", b, c), a, b), a)],
      ["a common factor", add(mul(a, b), mul(c, a))],
      ["a comparison of a sum with a part of it", apply("toF32", apply("lt", add(a, b), a))],
      ["a choice by a comparison", apply("select", apply("lt", a, b), a, b)],
      ["x / x", apply("div", a, a)],
      ["0 · x", mul(f(0), a)],
      ["x + 0", add(a, f(0))],
      ["a truth as a factor", mul(apply("toF32", apply("lt", a, b)), c)],
    ])("hides %s", (_, value) => expect(alone(value)).toBe(true))

    it("hides what names stand for", () => {
      const [named, first] = [v("v", "f32"), v("w", "f32")]
      const after = (value: Expression) =>
        hides(define("w", a), define("v", value), store("y", n(0), apply("sub", named, first)))
      expect(after(apply("sub", first, b))).toBe(true)
      expect(after(b)).toBe(false)
    })

    it("hides a factor that is 0 once a loop is unrolled", () => {
      expect(hides(loop("serial", mul(counter, a)))).toBe(true)
      expect(hides(loop("serial", mul(apply("select", apply("eq", v("i"), n(0)), f(0), b), a)))).toBe(true)
      expect(hides(loop("unroll", mul(counter, a)))).toBe(true)
      expect(hides(loop("unroll", mul(add(counter, f(1)), a)))).toBe(false)
    })

    it.each<[string, Expression]>([
      ["products of what lies in memory", mul(a, b)],
      ["sums of them", add(mul(a, b), c)],
      ["factors that are numbers but 0", add(mul(a, f(0.5)), f(1))],
      ["what a mask leaves", mul(apply("select", apply("lt", v("workgroup"), n(3)), a, f(0)), b)],
    ])("leaves %s alone", (_, value) => expect(alone(value)).toBe(false))
  })

  it("has infinities and NaN from bits that no compiler knows", () => {
    expect(body(store("y", n(0), f(Number.NEGATIVE_INFINITY)))).toEqual([
      "let zero = i32(workgroup_count.z) - 1;",
      "let minusInfinity = bitcast<f32>(0xff800000u | bitcast<u32>(zero));",
      "y[0] = minusInfinity;",
    ])
  })
})

describe("literals", () => {
  it.each([
    [0.1, "f32", "0.1f"],
    [-0, "f32", "minusZero"],
    [1e-7, "f32", "1e-7f"],
    [16777216, "f32", "16777216f"],
    [3.4028234663852886e38, "f32", "3.4028234663852886e+38f"],
    [1e-45, "f32", "bitcast<f32>(1u)"],
    [-2147483648, "i32", "(-2147483648)"],
    [4294967295, "u32", "4294967295u"],
    [1, "bool", "true"],
  ] as const)("%s as %s", (value, dtype, expected) => {
    expect(literalText(literal(value, dtype))).toBe(expected)
  })

  it("come back exactly", () => {
    for (let i = 0; i < 2000; i++) {
      const value = Math.fround((Math.random() - 0.5) * 10 ** (Math.random() * 60 - 30))
      const found = literalText(literal(value, "f32")).replace(/[()f]/g, "")
      expect(Math.fround(Number(found))).toBe(value)
    }
  })
})

describe("statements", () => {
  it("hides the extent of a serial loop from the driver, but not where it walks over registers", () => {
    const sum = kernel([
      { kind: "alloc", name: "r", dtype: "f32", size: 3, space: "register" },
      { kind: "for", variable: "i", extent: n(3), bind: "serial", body: [store("r", v("i"), at("x", v("i")))] },
      { kind: "for", variable: "j", extent: n(5), bind: "serial", body: [store("y", v("j"), at("x", v("j")))] },
    ])
    expect(main(sum, { unrollable: false })).toEqual([
      "let zero = i32(workgroup_count.z) - 1;",
      "var r: array<f32, 3>;",
      "for (var i = 0; i < 3; i += 1) {",
      "  r[i] = x[i];",
      "}",
      "for (var j = 0; j < 5 + zero; j += 1) {",
      "  y[j] = x[j];",
      "}",
    ])
  })

  it("unrolls a loop with a literal extent", () => {
    const loop: Statement = {
      kind: "for",
      variable: "i",
      extent: n(2),
      bind: "unroll",
      body: [store("y", v("i"), at("x", mul(v("i"), n(8))))],
    }
    expect(body(loop)).toEqual(["y[0] = x[0];", "y[1] = x[8];"])
  })

  it("spells odd names and keeps them apart", () => {
    const buffers = [buffer("w.0-q", "read"), buffer("w_0_q", "read"), buffer("loop", "write")]
    const k = kernel([store("loop", n(0), add(at("w.0-q", n(0)), at("w_0_q", n(0))))], buffers)
    expect(main(k)).toEqual(["loop_[0] = w_0_q[0] + w_0_q_2[0];"])
  })

  it("places shared arrays at the top, in vectors where every access is one", () => {
    const k = kernel([
      { kind: "alloc", name: "b", dtype: "f32", size: 32, space: "shared" },
      { kind: "alloc", name: "c", dtype: "f32", size: 8, space: "register" },
      store("c", n(4), mul(splat(at("x", n(1)), 4), fetch("b", n(8), "f32", 4))),
    ])
    expect(text(k)).toContain("var<workgroup> b: array<vec4<f32>, 8>;")
    expect(main(k)).toEqual(["var c: array<vec4<f32>, 2>;", "c[1] = vec4<f32>(x[1]) * b[2];"])
  })

  it("orders accesses to buffers too at a barrier where a buffer is read and written", () => {
    const counts: LoopBuffer = { name: "counts", dtype: "i32", storage: "i32", size: n(8), access: "readwrite" }
    const k = kernel([store("counts", n(3), n(1)), { kind: "barrier" }], [counts])
    expect(main(k)).toEqual(["counts[3] = 1;", "storageBarrier();", "workgroupBarrier();"])
  })

  it("asks for subgroups when lanes exchange values", () => {
    const k = kernel([{ kind: "shuffle", name: "other", value: at("x", n(0)), mask: 2 }])
    expect(text(k)).toMatch(/^enable subgroups;\n/)
    expect(main(k)).toEqual(["let other = subgroupShuffleXor(x[0], 2u);"])
  })
})

describe("refusals", () => {
  it("of a store of half a word", () => {
    expect(code(kernel([store("y", n(0), f(1))], [buffer("y", "write", "f16")]))).toBe("wgsl/packed-store")
    const tile: Statement = { kind: "alloc", name: "tile", dtype: "f32", storage: "bf16", size: 8, space: "shared" }
    expect(code(kernel([tile, store("tile", n(0), f(1))], []))).toBe("wgsl/packed-store")
  })
  it("of more than the adapter has", () => {
    const shared: Statement = { kind: "alloc", name: "tile", dtype: "f32", size: 5000, space: "shared" }
    expect(code(kernel([shared]))).toBe("wgsl/shared-bytes")
    expect(code(kernel([{ ...shared, storage: "bf16" }]))).toBeUndefined()
    expect(code(kernel([], [], 257))).toBe("wgsl/threads")
    expect(
      code(
        kernel(
          [],
          Array.from({ length: 9 }, (_, i) => buffer(`x${i}`, "read")),
        ),
      ),
    ).toBe("wgsl/buffers")
  })
  it("of shuffles without subgroups or beyond the smallest one", () => {
    const shuffle = (mask: number) => kernel([{ kind: "shuffle", name: "o", value: at("x", n(0)), mask }])
    expect(code(shuffle(1), { limits: defaultWgslLimits })).toBe("wgsl/subgroups")
    expect(code(shuffle(4))).toBe("wgsl/shuffle")
    expect(() => text(shuffle(4))).toThrow("kernel 'kernel' exchanges over mask 4; a subgroup may have 4 lanes")
  })
  it("of a symbol that the artifact does not list", () => {
    expect(code(kernel([store("y", sizeSymbol("m", 9, 1), f(0))]))).toBe("wgsl/symbol")
  })
})
