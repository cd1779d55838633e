/** The text of CUDA kernels: heads, accesses of each width, shared memory, and what is refused. */
import { describe, expect, it } from "vitest"
import { compile } from "../../../compiler/index.js"
import { sizeSymbol } from "../../../compiler/ir/dim.js"
import { add, apply, fetch, literal, mul, splat, variable } from "../../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../../compiler/ir/loop.js"
import type { Expression } from "../../../compiler/ir/nodes.js"
import { emitCuda } from "../../../compiler/targets/cuda/emit.js"
import { partNames } from "../../../compiler/targets/cuda/parts.js"
import { prelude, preludeWith } from "../../../compiler/targets/cuda/prelude.js"
import { reserved } from "../../../compiler/targets/cuda/words.js"
import { checkArtifact } from "../../../runtime/artifact-check.js"
import { bind, bound, buffer, serial, store } from "../wasm-support.js"

const v = (name: string) => variable(name)
const n = (value: number) => literal(value)
const at = (array: string, offset: Expression, width = 1) => fetch(array, offset, "f32", width)

function kernel(
  body: readonly Statement[],
  buffers: readonly LoopBuffer[],
  shared: readonly Statement[] = [],
): LoopKernel {
  const grid = bound("grid", "g", n(2), [...shared, bound("lane", "l", n(64), body)])
  return { name: "twice", buffers, symbols: [], threads: 64, groups: 2, body: [grid] }
}
const emit = (k: LoopKernel, sharedBytes = 4096) =>
  emitCuda(k, { symbol: "k0_twice", symbolOrder: ["past", "n"], sharedBytes, multiprocessors: 132 })
/** The statements of the lane loop. */
const lines = (body: readonly Statement[], buffers: readonly LoopBuffer[], shared?: readonly Statement[]) => {
  const all = emit(kernel(body, buffers, shared), 8192)
    .source.trimEnd()
    .split("\n")
  const start = all.findIndex((line) => line.includes("lane_number()") || line.includes("lane_of_cell<"))
  return all.slice(start + 1, -3).map((line) => line.trim())
}

describe("CUDA text", () => {
  it("reads memory by no assembly that a compiler may take for arithmetic, and do where the program does not", () => {
    const statements = [...preludeWith(partNames).matchAll(/asm( volatile)?\("([^"]*)"/g)]
    expect(statements.length).toBeGreaterThan(20)
    const reading = statements.filter(
      ([, isVolatile, text]) => /\b(ld|ldmatrix|cp|atom|red)\b/.test(text!) && !isVolatile,
    )
    expect(reading.map(([text]) => text)).toEqual([])
  })

  it("has a pointer for each buffer, then the symbols; shared arrays one behind the other", () => {
    const shared: Statement[] = [
      { kind: "alloc", name: "row", dtype: "f32", storage: "bf16", size: 5, space: "shared" },
      { kind: "alloc", name: "part", dtype: "f32", size: 8, space: "shared" },
    ]
    const guarded: Statement = {
      kind: "if",
      condition: apply("lt", v("l"), sizeSymbol("n", 100, 10)),
      body: [store("y", v("l"), mul(at("x", v("l")), literal(2, "f32")))],
      otherwise: [],
    }
    const k = kernel([guarded, { kind: "barrier" }], [buffer("x", "bf16", 64), buffer("y", "f32", 64, "write")], shared)
    expect(emit({ ...k, symbols: ["n"] })).toEqual({
      sharedBytes: 48,
      parts: new Set(),
      source: `// twice
KERNEL(64, 1) k0_twice(const bf16* x, f32* y, const i32* symbols) {
  bf16* const row = (bf16*)(shared_pool + 0);
  f32* const part = (f32*)(shared_pool + 1);
  const i32 n = symbols[1];
  for (i32 g = workgroup_number(); g < 2; g += workgroup_count()) {
    {
      const i32 l = lane_number();
      if (l < n) {
        y[l] = load<Plain>(x + l) * 2.0f;
      }
      barrier();
    }
  }
}
`,
    })
  })

  it("moves as many elements as an access has at once; arrays in registers one by one", () => {
    const registers: Statement = { kind: "alloc", name: "r", dtype: "f32", size: 8, space: "register" }
    const eight = mul(v("l"), n(8))
    const body = [
      registers,
      store("r", n(0), at("x", eight, 8)),
      store("y", eight, add(at("r", n(0), 8), splat(literal(1, "f32"), 8))),
    ]
    expect(lines(body, [buffer("x", "bf16", 512), buffer("y", "bf16", 512, "write")])).toEqual([
      "f32 r[8];",
      "scatter(r + 0, load<8>(x + (l * 8)));",
      "store(y + (l * 8), (gather<8>(r + 0) + splat<f32x8>(1.0f)));",
    ])
  })

  it("wraps integers that may be below 0, and leaves indices to the compiler", () => {
    const body = [
      bind("a", mul(add(v("l"), n(3)), n(2))),
      bind("b", mul(add(v("l"), n(-3)), n(2))),
      serial("i", sizeSymbol("n", 100, 10), [store("y", v("i"), apply("toF32", add(v("a"), v("b"))))]),
    ]
    const k = { ...kernel(body, [buffer("y", "f32", 512, "write")]), symbols: ["n"] }
    const text = emit(k).source
    expect(text).toContain("const i32 a = (l + 3) * 2;")
    expect(text).toContain("const i32 b = wrapped_product(wrapped_sum(l, -3), 2);")
    expect(text).toContain("for (i32 i = 0; i < n; i += 1) {")
  })

  it("leaves loops alone whose turns wait for what earlier ones began", () => {
    const wait: Statement = { kind: "wait", of: "copies", groups: 1 }
    const turns = (body: readonly Statement[]) => lines([serial("i", n(12), body)], [buffer("y", "i32", 12, "write")])
    const plain = store("y", v("i"), v("i"))
    expect(turns([plain])[0]).toBe("for (i32 i = 0; i < 12; i += 1) {")
    expect(turns([wait, plain]).slice(0, 2)).toEqual(["#pragma unroll 1", "for (i32 i = 0; i < 12; i += 1) {"])
  })

  it("keeps names from what the prelude and the compilers have", () => {
    for (const name of ["load", "steady", "shared_pool", "f32x8", "KERNEL", "larger", "threadIdx", "template"])
      expect(reserved.has(name), name).toBe(true)
    expect(lines([bind("load", n(1))], [])).toEqual(["const i32 load_ = 1;"])
  })

  it("wishes for as many workgroups at a time as a launch has, where registers allow so many", () => {
    const resident = (groups: number, threads = 256) => {
      const { source } = emit({ ...kernel([], []), groups, threads })
      const wish = /#define RESIDENT_k0_twice (\d+)/.exec(source)?.[1]
      expect(source).toContain(`KERNEL(${threads}, ${wish === undefined ? 1 : "RESIDENT_k0_twice"}) k0_twice(`)
      return Number(wish ?? 1)
    }
    expect([1, 132, 133, 512, 528, 529].map((groups) => resident(groups))).toEqual([1, 1, 2, 4, 4, 1])
    expect([resident(512, 512), resident(200, 512), resident(1000, 128)]).toEqual([1, 2, 8])
  })

  it("is refused beyond what a block has", () => {
    const shared: Statement[] = [{ kind: "alloc", name: "row", dtype: "f32", size: 2048, space: "shared" }]
    expect(() => emit(kernel([], [], shared))).toThrow("needs 8192 bytes of shared memory; a block has 4096")
    expect(() => emit({ ...kernel([], []), threads: 2048 })).toThrow("has 2048 threads")
    const far: Statement = { kind: "shuffle", name: "other", value: v("l"), mask: 32 }
    expect(() => emit(kernel([far], []))).toThrow("exchanges over mask 32")
    const unknown = store("y", n(0), apply("toF32", sizeSymbol("seq", 8, 4)))
    expect(() => emit(kernel([unknown], [buffer("y", "f32", 1, "write")]))).toThrow("reads 'seq'")
  })

  const atom = "mma.m16n8k16.bf16"
  const fragment = (name: string, operand: "a" | "b" | "c", size: number): Statement => {
    const storage = operand === "c" ? {} : { storage: "bf16" as const }
    return { kind: "alloc", name, dtype: "f32", ...storage, size, space: "register", layout: { atom, operand } }
  }
  const tile: Statement = {
    kind: "alloc",
    name: "s",
    dtype: "f32",
    storage: "bf16",
    size: 4096,
    space: "shared",
    swizzle: 128,
  }

  it("copies what comes by itself to swizzled rows: whole periods stay outside of the exchange", () => {
    const to = { array: "s", offset: add(mul(v("i"), n(1024)), mul(v("l"), n(8))) }
    const body: Statement[] = [
      serial("i", n(4), [
        {
          kind: "copy",
          to,
          from: { array: "x", offset: mul(v("l"), n(8)) },
          width: 8,
          valid: apply("lt", v("l"), n(9)),
        },
      ]),
      { kind: "copy", to: { array: "s", offset: v("l") }, from: { array: "x", offset: v("l") }, width: 1 },
      { kind: "commit", of: "copies" },
      { kind: "wait", of: "copies", groups: 1 },
      bind("first", at("s", mul(v("l"), n(4)), 4)),
    ]
    expect(lines(body, [buffer("x", "bf16", 512)], [tile])).toEqual([
      "for (i32 i = 0; i < 4; i += 1) {",
      "const i32 t1 = l * 8;",
      "copy_bytes<16>(swizzled<128>(s, t1) + (i * 1024), x + t1, (l < 9));",
      "}",
      "store(swizzled<128>(s, l), load<Plain>(x + l));",
      "commit_copies();",
      "wait_copies<1>();",
      "const f32x4 first = load<4>(swizzled<128>(s, l * 4));",
    ])
  })

  it("computes the places of eight copies at a time where registers are scarce, but goes through them in straight lines", () => {
    const to = { array: "s", offset: mul(v("i"), n(64)) }
    const copy: Statement = { kind: "copy", to, from: { array: "x", offset: mul(v("i"), n(8)) }, width: 8 }
    const held = (size: number): Statement => ({ kind: "alloc", name: "r", dtype: "f32", size, space: "register" })
    const told = (times: number, size: number, ...body: readonly Statement[]) =>
      lines([held(size), bound("unroll", "i", n(times), [copy, ...body])], [buffer("x", "bf16", 512)], [tile])[1]
    expect(told(8, 160)).toBe("#pragma unroll")
    expect(told(16, 128)).toBe("#pragma unroll")
    expect(told(16, 160)).toBe("#pragma unroll 8")
    expect(told(16, 160, store("r", v("i"), literal(0, "f32")))).toBe("#pragma unroll")
  })

  it("multiplies fragments, whose halves share words, and fills them by matrices where rows begin at 16 bytes", () => {
    const fill = (array: string, operand: "a" | "b", offset: Expression, count = 1): Statement => ({
      kind: "fill",
      atom,
      operand,
      to: { array, offset: n(0) },
      from: { array: "s", offset },
      stride: n(64),
      transposed: operand === "b",
      count,
      step: 512,
    })
    const place = (array: string, offset: number) => ({ array, offset: n(offset) })
    const body: Statement[] = [
      fragment("a", "a", 8),
      fragment("b", "b", 8),
      fragment("c", "c", 4),
      fill("a", "a", n(32)),
      fill("b", "b", n(0), 2),
      { kind: "multiply", atom, c: place("c", 0), a: place("a", 0), b: place("b", 4) },
      store("a", n(3), at("c", n(1))),
      store("a", n(4), at("c", n(2), 2)),
      bind("two", at("b", n(2), 2)),
    ]
    const lane = "lane_number()"
    expect(lines(body, [], [tile])).toEqual([
      "bf16_pair a[4];",
      "bf16_pair b[4];",
      "f32 c[4];",
      `load_matrices_4(a + 0, swizzled<128>(s, (((${lane} % 16) * 64) + (((${lane} / 16) % 2) * 8)) + 32));`,
      `load_matrices_4(b + 0, swizzled<128>(s, ((${lane} % 8) * 64) + (((${lane} / 8) % 2) * 8)) + (((${lane} / 16) % 2) * 512));`,
      "multiply_mma_m16n8k16_bf16(c + 0, a + 0, b + 2);",
      "put_half(a, 3, c[1]);",
      "put_halves(a, 4, gather<2>(c + 2));",
      "const f32x2 two = halves_at<2>(b, 2);",
    ])
    const odd = lines([fragment("a", "a", 8), fill("a", "a", n(1))], [], [tile])
    expect(odd).toContain("for (i32 element_of_lane = 0; element_of_lane < 8; element_of_lane += 1) {")
  })

  it("begins products that go on by themselves once registers are there, and looks at results after the wait", () => {
    const atom = "wgmma.m64n64k16.bf16"
    const tiles = (t: Expression, stride = 64) => {
      const of = (transposed: boolean) => ({ array: "s", offset: mul(t, n(16)), stride, transposed })
      return { a: of(false), b: of(true) }
    }
    const c: Statement = {
      kind: "alloc",
      name: "c",
      dtype: "f32",
      size: 32,
      space: "register",
      layout: { atom, operand: "c" },
    }
    const product = (stride?: number): Statement => ({
      kind: "multiply",
      atom,
      c: { array: "c", offset: n(0) },
      ...tiles(v("t"), stride),
    })
    const body = (stride?: number): Statement[] => [
      c,
      { kind: "store", array: "s", offset: n(8), value: literal(1, "f32") },
      { kind: "barrier" },
      serial("t", n(4), [product(stride)]),
      { kind: "commit", of: "products" },
      { kind: "wait", of: "products", groups: 0 },
    ]
    const tiled = (stride?: number) => lines(body(stride), [], [tile])
    expect(tiled()).toEqual([
      "f32 c[32];",
      "store(swizzled<128>(s, 8), 1.0f);",
      "show_products();",
      "barrier();",
      "keep<32>(c);",
      "begin_products();",
      "for (i32 t = 0; t < 4; t += 1) {",
      "const i32 t1 = t * 16;",
      "multiply_wgmma_m64n64k16_bf16<0, 0>(c + 0, tile_of_rows<128>(s + t1), tile_of_rows<128>(s + t1));",
      "}",
      "commit_products();",
      "wait_products<0>();",
      "keep<32>(c);",
    ])
    expect(() => tiled(32)).toThrow("a tile of 's' has rows of 64 bytes and is swizzled by 128")
  })

  it("has in its prelude what its kernels call, and no more", () => {
    const parts = (text: string) =>
      ["copy_bytes", "load_matrices_4", "wgmma", "swizzled"].filter((w) => text.includes(w))
    expect(parts(prelude)).toEqual([])
    expect(parts(preludeWith(["copies"]))).toEqual(["copy_bytes"])
    expect(parts(preludeWith(["wgmma.m64n64k16.bf16", "swizzled"]))).toEqual(["wgmma", "swizzled"])
    const copies: Statement = {
      kind: "copy",
      to: { array: "s", offset: n(0) },
      from: { array: "x", offset: n(0) },
      width: 8,
    }
    expect([...emit(kernel([copies], [buffer("x", "bf16", 512)], [tile]), 8192).parts]).toEqual(["swizzled", "copies"])
  })

  it("is in artifacts with a function for each kernel", async () => {
    const artifact = await compile("examples/mandelbrot.ts", {}, "cuda")
    checkArtifact(JSON.parse(JSON.stringify(artifact)))
    for (const { source, symbol, threads } of artifact.kernels)
      expect(source).toMatch(new RegExp(`KERNEL\\(${threads}, (1|RESIDENT_${symbol})\\) ${symbol}\\(`))
  })
})
