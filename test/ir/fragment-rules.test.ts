/** What lanes do together and what they begin: what the verifier refuses, and what the interpreter finds. */
import { describe, expect, test } from "vitest"
import { interpretLoop, LoopFault } from "../../compiler/interpret/loop.js"
import { allocateBuffer, memoryOf } from "../../compiler/interpret/memory.js"
import { add, apply, fetch, literal, mul, variable, vector } from "../../compiler/ir/expression.js"
import { atoms } from "../../compiler/ir/fragments/atoms.js"
import { coordinatesOf } from "../../compiler/ir/fragments/layout.js"
import type { Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import {
  arrays,
  barrier,
  commit,
  copy,
  fill,
  held,
  kernel,
  lane,
  loop,
  multiply,
  n,
  place,
  store,
  tile,
  wait,
  warp,
  when,
  wide,
} from "../support/fragments.js"

const problemsOf = (body: readonly Statement[], options = {}) =>
  verifyLoop(kernel(body, options)).map(({ code, message }) => `${code}: ${message.split(", in: ")[0]}`)

describe("the verifier", () => {
  const whole: readonly (readonly [string, readonly Statement[], object?])[] = [
    ["fills and products of a subgroup", [...arrays, fill(), multiply()]],
    [
      "under a condition on the number of the subgroup",
      [...arrays, when(apply("lt", apply("floordiv", lane, n(32)), n(1)), multiply())],
      { threads: 64 },
    ],
    [
      "with offsets by the number of the subgroup",
      [...arrays, fill({ from: place("tile", mul(apply("floordiv", lane, n(32)), n(256))) })],
      { threads: 64 },
    ],
    [
      "with offsets by an integer that is assigned, the same in the subgroup",
      [
        ...arrays,
        { kind: "let", name: "slot", value: n(0), mutable: true },
        loop(4, fill({ from: place("tile", mul(variable("slot"), n(256))) }), {
          kind: "assign",
          name: "slot",
          value: apply("select", apply("eq", variable("slot"), n(3)), n(0), add(variable("slot"), n(1))),
        }),
      ],
    ],
    [
      "results that are a left operand: two side by side",
      [...arrays, { ...held("a", 8), name: "p" }, multiply({ a: place("p") })],
    ],
    ["copies under any condition", [when(apply("lt", lane, n(3)), copy()), commit, wait()]],
  ]
  for (const [title, body, options] of whole)
    test(`takes ${title}`, () => {
      expect(problemsOf(body, options)).toEqual([])
    })

  const odd = variable("odd")
  const refused: readonly (readonly [string, readonly Statement[], object?])[] = [
    ["fragment: there is no atom mma.m8", [multiply({ atom: "mma.m8" })]],
    ["fragment: 48 threads are no groups of 32", [...arrays, multiply()], { threads: 48 }],
    [
      "fragment: 32 lanes do this together, and control may differ between them",
      [...arrays, when(apply("lt", lane, n(16)), multiply())],
    ],
    [
      "fragment: 32 lanes do this together, and control may differ between them",
      [...arrays, loop(fetchCount(), multiply())],
    ],
    ["fragment: the 32 lanes of a group may give different offsets", [...arrays, fill({ from: place("tile", lane) })]],
    [
      "fragment: the 32 lanes of a group may give different offsets",
      [
        ...arrays,
        { kind: "let", name: "odd", value: n(0), mutable: true },
        when(apply("lt", lane, n(3)), { kind: "assign", name: "odd", value: n(256) }),
        fill({ from: place("tile", odd) }),
      ],
    ],
    ["fragment: b is b of mma.m16n8k16.bf16, not a of mma.m16n8k16.bf16", [...arrays, multiply({ a: place("b") })]],
    ["fragment: tile is not of fragments", [...arrays, multiply({ a: place("tile") })]],
    ["fragment: 4 is no multiple of the 8 of a fragment", [...arrays, multiply({ a: place("a", 4) })]],
    [
      "fragment: a of mma.m16n8k16.bf16 may not lie in a shared array",
      [...arrays, multiply({ a: { ...place("tile"), stride: 16, transposed: false } })],
    ],
    ["fragment: c has 6 elements, not a multiple of the 4 of a fragment", [held("c", 6)]],
    ["fragment: c is of fragments, which lie in registers", [{ ...held("c", 4), space: "shared" }], { shared: [] }],
    [
      "fragment: a holds f32; a of mma.m16n8k16.bf16 is bf16",
      [{ ...held("c", 8), name: "a", layout: { atom: warp, operand: "a" } }],
    ],
    ["fragment: 12 bytes are copied at once, not 4, 8, 16", [copy({ width: 6 })]],
    ["fragment: y is copied, and no buffer that is only read", [copy({ from: place("y") })]],
    ["fragment: tile is copied, and no buffer that is only read", [copy({ from: place("tile") })]],
    ["fragment: a is copied to, and not shared", [held("a", 8), copy({ to: place("a") })]],
    ["fragment: -1 groups are no whole number from 0 on", [wait(-1)]],
    [
      "fragment: products are waited for by 128 lanes together",
      [when(apply("lt", lane, n(64)), { kind: "wait", of: "products", groups: 0 })],
      { threads: 128 },
    ],
    [
      "fragment: the stride 12 is no multiple of 8",
      [
        held("c", 32, wide),
        multiply({
          atom: wide,
          a: { ...place("tile"), stride: 16, transposed: false },
          b: { ...place("tile"), stride: 12, transposed: true },
        }),
      ],
      { threads: 128 },
    ],
    [
      "fragment: 32 bytes of tile are touched at once, which do not lie side by side",
      [store("y", n(0), lane0(fetch("tile", n(0), "f32", 16)))],
      { shared: [{ ...tile, swizzle: 64 }] },
    ],
    [
      "fragment: tile is swizzled, and no multiple of 1024 bytes",
      [barrier],
      { shared: [{ ...tile, size: 768, swizzle: 128 }] },
    ],
  ]
  function fetchCount(): Expression {
    return apply("toI32", fetch("x", n(0), "f32"))
  }
  function lane0(x: Expression): Expression {
    return { kind: "lane", dtype: "f32", width: 1, of: x, lane: 0 } as Expression
  }
  for (const [problem, body, options] of refused)
    test(`refuses: ${problem}`, () => {
      expect(problemsOf(body, options).filter((p) => p.startsWith("fragment"))).toContain(problem)
    })
})

describe("the interpreter", () => {
  const runs = (body: readonly Statement[], options = {}) => {
    const y = allocateBuffer("f32", "f32", 1024)
    interpretLoop(
      kernel(body, options),
      new Map([
        [
          "x",
          memoryOf(
            "bf16",
            Array.from({ length: 1024 }, (_, k) => k % 128),
          ),
        ],
        ["y", y],
      ]),
      new Map(),
    )
    return y.values
  }
  const faultOf = (body: readonly Statement[], options = {}) => {
    try {
      runs(body, options)
    } catch (e) {
      if (e instanceof LoopFault) return e.code
      throw e
    }
    return "none"
  }
  const read = (offset: Expression) => store("y", lane, fetch("tile", offset, "f32"))
  const other = apply("bitxor", lane, n(1))

  test("copies are there after the wait of who copied, and a barrier for others", () => {
    expect([...runs([copy(), commit, wait(), read(mul(lane, n(8)))]).slice(0, 17)]).toEqual(
      Array.from({ length: 17 }, (_, l) => (8 * l) % 128),
    )
    expect(faultOf([copy(), commit, wait(), barrier, read(mul(other, n(8)))])).toBe("none")
    expect(faultOf([copy(), commit, wait(), read(mul(other, n(8)))])).not.toBe("none")
    expect(faultOf([copy(), commit, read(mul(lane, n(8))), wait()])).toBe("pending")
    expect(faultOf([copy(), commit, barrier, read(mul(other, n(8))), wait()])).toBe("pending")
    expect(faultOf([copy(), commit, wait(1), read(mul(lane, n(8)))])).toBe("pending")
    expect(faultOf([copy(), wait(), read(mul(lane, n(8)))])).toBe("pending")
    expect(faultOf([copy(), commit])).toBe("pending")
    expect(faultOf([copy({ from: place("x", mul(lane, n(64))) }), commit, wait()])).toBe("out-of-range")
  })
  test("a copy may write from where it begins: what was there must have been read before a barrier", () => {
    const zeros = vector(Array.from({ length: 2 }, () => literal(0, "f32")))
    const first = [store("tile", mul(lane, n(2)), zeros), barrier, read(mul(other, n(2)))]
    const second = copy({ to: place("tile", mul(lane, n(2))), from: place("x", mul(lane, n(2))), width: 2 })
    expect(faultOf([...first, barrier, second, commit, wait()])).toBe("none")
    expect(faultOf([...first, second, commit, wait()])).toBe("race")
  })
  test("where a copy is not valid zeros are written, and nothing is read", () => {
    const far = copy({ from: place("x", n(4096)), valid: apply("lt", lane, n(0)) })
    expect([...runs([far, commit, wait(), read(mul(lane, n(8)))]).slice(0, 32)]).toEqual(Array(32).fill(0))
  })
  test("products are summed one after the other, k ascending, in f32", () => {
    const { a, b, c } = atoms.get(warp)!
    // Column `big` of a is 2^24, all else 1: a 1 is lost behind it, and none before it.
    const valuesFor = (big: number): readonly Statement[] => {
      const element = (layout: typeof a.layout, operand: "a" | "b") =>
        Array.from({ length: operand === "a" ? 4 : 2 }, (_, pair) => {
          const of = (register: number): Expression => {
            const isBig = Array.from({ length: 32 }, (_, l) => coordinatesOf(layout!, l, register).column === big)
            const lanes = isBig.flatMap((is, l) => (is ? [apply("eq", lane, n(l))] : []))
            const any = lanes.reduce<Expression>((x, y) => apply("or", x, y), literal(0, "bool"))
            return operand === "b"
              ? literal(1, "f32")
              : apply("select", any, literal(2 ** 24, "f32"), literal(1, "f32"))
          }
          return store(operand, n(2 * pair), vector([of(2 * pair), of(2 * pair + 1)]))
        })
      return [...element(a.layout, "a"), ...element(b.layout, "b")]
    }
    const zero = Array.from({ length: 4 }, (_, r) => store("c", n(r), literal(0, "f32")))
    const sums = (big: number) =>
      runs([...arrays, ...valuesFor(big), ...zero, multiply(), store("y", lane, fetch("c", n(0), "f32"))])[0]
    expect(coordinatesOf(c.layout!, 0, 0)).toEqual({ row: 0, column: 0 })
    expect(sums(0)).toBe(2 ** 24)
    expect(sums(15)).toBe(2 ** 24 + 16)
    // 13, then 2^24 + 13, which is no f32, and 1 twice more.
    expect(sums(13)).toBe(2 ** 24 + 12)
  })
  test("what only the hardware knows is drained, never fetched or stored to", () => {
    const atom = "subgroup.m16n16k16.f16"
    const opaque = held("c", 8, atom)
    const drain: Statement = {
      kind: "drain",
      atom,
      from: place("c"),
      to: place("sums"),
      stride: n(16),
      transposed: false,
    }
    const sums: Statement = { kind: "alloc", name: "sums", dtype: "f32", size: 256, space: "shared" }
    const body = [opaque, drain, barrier, store("y", lane, fetch("sums", lane, "f32"))]
    expect([...runs(body, { shared: [sums] }).slice(0, 32)]).toEqual(Array(32).fill(0))
    const unseen = `only ${atom} knows which elements the registers of c hold`
    for (const touch of [store("c", n(0), literal(0, "f32")), store("y", lane, fetch("c", n(0), "f32"))])
      expect(problemsOf([opaque, touch])).toContain(`fragment: ${unseen}`)
    expect(problemsOf([opaque, drain], { shared: [sums] })).toEqual([])
  })
  test("lanes of a group come together, in the same iteration, with the same offsets", () => {
    const zero = Array.from({ length: 8 }, (_, r) =>
      store("tile", add(mul(lane, n(16)), n(2 * r)), vector([literal(0, "f32"), literal(0, "f32")])),
    )
    const ready = [...zero, barrier, ...arrays]
    expect(faultOf([...ready, fill()])).toBe("none")
    expect(faultOf([...ready, when(apply("lt", lane, n(31)), fill())])).toBe("group")
    expect(faultOf([...ready, fill({ from: place("tile", mul(apply("floordiv", lane, n(31)), n(16))) })])).toBe("group")
    expect(faultOf([...ready, loop(add(n(1), apply("floordiv", lane, n(16))), fill())])).toBe("group")
    expect(faultOf([...arrays, fill()])).toBe("uninitialised")
    expect(faultOf([...ready, fill({ to: place("a", 4) })])).toBe("misaligned")
  })
})
